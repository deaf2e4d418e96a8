"""Safe names of folders and channels from the names of objects."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

MAX_NAME_LENGTH = 60
"""Maximum number of characters of a name."""


def folder_name(object_id: int, names: Mapping[int, str]) -> str:
    """`3`, or `3_dog` for an object with a name: letters and digits of any script, no path."""
    cleaned = re.sub(r"\W+", "_", unicodedata.normalize("NFC", names.get(object_id, ""))).strip("_")
    return f"{object_id}_{cleaned[:MAX_NAME_LENGTH]}" if cleaned else str(object_id)


def channel_names(object_ids: Sequence[int], names: Mapping[int, str]) -> list[str]:
    """A channel name for each object: letters of the Latin alphabet, digits and underscores; all different.

    Compositing programs read a dot as the end of a layer, fail on spaces, and give single letters
    (R, G, B, A, Z) a meaning; their expressions cannot use names that begin with a digit.
    """
    channels: list[str] = []
    taken: set[str] = set()
    for object_id in object_ids:
        plain = unicodedata.normalize("NFKD", names.get(object_id, "")).encode("ascii", "ignore").decode()
        cleaned = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:MAX_NAME_LENGTH]
        if len(cleaned) < 2 or cleaned[0].isdigit():
            cleaned = f"object_{cleaned or object_id}"
        if cleaned.lower() in taken:
            cleaned = f"{cleaned}_{object_id}"
        while cleaned.lower() in taken:
            cleaned += "_"
        taken.add(cleaned.lower())
        channels.append(cleaned)
    return channels
