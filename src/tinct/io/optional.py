"""Packages that only some people need: imported when they are used, and named when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from tinct.errors import MissingExtraError


def needed(module: str, extra: str, what: str) -> Any:
    """A module that comes with one of tinct's extras.

    Args:
        module: Its name, `pycocotools.mask` for example.
        extra: The extra that brings it.
        what: What it is needed for, as the start of the message.

    Raises:
        OptionError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs the package {module.partition('.')[0]}, which is not installed; "
            f"`pip install 'tinct[{extra}]'` brings it."
        ) from error
