"""Methods that other packages bring: their rows join the zoo's by an entry point.

A package declares, in the group `tinct.methods`, a name and where its `MethodRecord` lies:

    [project.entry-points."tinct.methods"]
    mynet = "my_package.tinct_method:RECORD"

The module with the row imports `tinct.zoo.records` and nothing else of the zoo, which is being loaded then.
Every verb then knows `--method mynet`. `docs/add-a-method.md` has a whole example.
"""

from __future__ import annotations

import warnings
from collections.abc import Container
from importlib.metadata import entry_points

from tinct.zoo.records import MethodRecord

GROUP = "tinct.methods"
"""The group of entry points."""


class PluginWarning(UserWarning):
    """A plugin's method is left out, since its row cannot be had."""


def plugin_methods(own: Container[str]) -> dict[str, MethodRecord]:
    """The rows of all installed plugins, by name.

    A plugin that cannot be imported, or takes a name of tinct's own, is left out with a `PluginWarning`: it
    must not take the other methods away.

    Args:
        own: The names that are taken.
    """
    found: dict[str, MethodRecord] = {}
    for entry in entry_points(group=GROUP):
        try:
            record = entry.load()
        except Exception as error:  # whatever foreign code raises
            reason = f"{type(error).__name__}: {error}"
        else:
            if entry.name in own or entry.name in found:
                reason = "the name is taken"
            elif not isinstance(record, MethodRecord):
                reason = f"{entry.value} is a {type(record).__name__}, not a tinct.zoo.records.MethodRecord"
            else:
                found[entry.name] = record
                continue
        warnings.warn(f"The method {entry.name} ({entry.value}) is left out: {reason}.", PluginWarning, 2)
    return found
