"""The attributes of DAVIS's sequences, from the benchmark's `db_info.yml`.

Source: Perazzi et al., CVPR 2016, table of video attributes; rotation is in the file alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tinct.errors import DatasetError
from tinct.io.regular_files import read_regular

ATTRIBUTES = {
    "AC": "appearance change",
    "BC": "background clutter",
    "CS": "camera shake",
    "DB": "dynamic background",
    "DEF": "deformation",
    "EA": "edge ambiguity",
    "FM": "fast motion",
    "HO": "heterogeneous object",
    "IO": "interacting objects",
    "LR": "low resolution",
    "MB": "motion blur",
    "OCC": "occlusion",
    "OV": "out of view",
    "ROT": "rotation",
    "SC": "shape complexity",
    "SV": "scale variation",
}
"""Abbreviation → attribute."""

FILE_NAMES = ("db_info.yml", "db_info.yaml")
"""The names of the file in DAVIS-2016 and DAVIS-2017."""


def find_attributes(root: Path) -> Path | None:
    """The file in a dataset's root or in its `Annotations`; None if there is none.

    Args:
        root: The root, or a folder up to two levels below it, such as `DAVIS/Annotations/480p`.
    """
    for folder in (root, *root.resolve().parents[:2]):
        for candidate in (folder / "Annotations", folder):
            for name in FILE_NAMES:
                if (candidate / name).is_file():
                    return candidate / name
    return None


def read_attributes(path: Path) -> dict[str, tuple[str, ...]]:
    """The attributes of every sequence, by the sequence's name.

    Returns:
        Abbreviations as in `ATTRIBUTES`, in the order of the file; unknown ones stay.

    Raises:
        DatasetError: The file is missing, no YAML, or lists no sequences with attributes.
    """
    try:
        content = yaml.safe_load(read_regular(path).decode())
        return {str(entry["name"]): _letters(entry) for entry in content["sequences"]}
    except (
        OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DatasetError(
            f"{path} cannot be read as the benchmark's attributes ({reason}); expected "
            "a list `sequences` of entries with `name` and `attributes`. Fetch the file again."
        ) from error


def _letters(entry: dict[str, Any]) -> tuple[str, ...]:
    """YAML 1.1 has values that are no text (NO, ON); no attribute is called so, but a file may."""
    return tuple(str(letter) for letter in entry.get("attributes") or ())
