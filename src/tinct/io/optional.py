"""Optional packages: imported when they are used, with an error that tells how to install them."""

from __future__ import annotations

import importlib
from typing import Any

from tinct.errors import MissingExtraError


def import_optional(module: str, extra: str, what: str) -> Any:
    """Import a module of one of tinct's extras.

    Args:
        module: The name of the module, such as `pycocotools.mask`.
        extra: The extra that installs it.
        what: The subject of the message: what needs the module.

    Raises:
        OptionError: The module is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs the package {module.partition('.')[0]}, which is not installed; "
            f"`pip install 'tinct[{extra}]'` brings it."
        ) from error
