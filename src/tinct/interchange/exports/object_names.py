"""Names of objects as parts of file names and channels, whatever people call their objects."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

LONGEST = 60
"""Characters of a name that are kept."""


def folder_name(object_id: int, names: Mapping[int, str]) -> str:
    """`3`, or `3_dog` for an object with a name: letters and digits of any script, no path."""
    cleaned = re.sub(r"\W+", "_", unicodedata.normalize("NFC", names.get(object_id, ""))).strip("_")
    return f"{object_id}_{cleaned[:LONGEST]}" if cleaned else str(object_id)


def channel_names(object_ids: Sequence[int], names: Mapping[int, str]) -> list[str]:
    """A channel name for each object: letters of the Latin alphabet, digits and underscores; all different.

    Compositing programs take a dot for a layer's end, choke on spaces, and give single letters
    (R, G, B, A, Z) a meaning; names that begin with a digit are no names for their expressions.
    """
    channels: list[str] = []
    taken: set[str] = set()
    for object_id in object_ids:
        plain = unicodedata.normalize("NFKD", names.get(object_id, "")).encode("ascii", "ignore").decode()
        cleaned = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:LONGEST]
        if len(cleaned) < 2 or cleaned[0].isdigit():
            cleaned = f"object_{cleaned or object_id}"
        if cleaned.lower() in taken:
            cleaned = f"{cleaned}_{object_id}"
        while cleaned.lower() in taken:
            cleaned += "_"
        taken.add(cleaned.lower())
        channels.append(cleaned)
    return channels
