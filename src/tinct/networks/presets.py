"""The options of a method's variant, for which there are weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tinct.errors import OptionError

Options = TypeVar("Options", bound=Any)


def variant_options(
    presets: Mapping[str, Mapping[str, Options]], variant: str, preset: str, overrides: Mapping[str, Any]
) -> Options:
    """A preset with some options changed, of the backbone that the variant's weights are for.

    Args:
        presets: Variant → preset → options, each with a `backbone`.
        variant: One of them.
        preset: One of the variant's.
        overrides: Option → value.

    Raises:
        OptionError: Another backbone than the variant's.
    """
    options: Options = replace(presets[variant][preset], **overrides)
    if options.backbone != presets[variant]["default"].backbone:
        raise OptionError(
            f"backbone={options.backbone} changes the network of {variant}; train it again with that option."
        )
    return options
