"""The objects of seen and of unseen categories, which YouTube-VOS averages apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinct.data.youtube_vos import read_meta, seen_categories

Groups = Mapping[str, Mapping[int, str]]
"""Per sequence and object id "seen" or "unseen"."""


def find_groups(labels: Path) -> Groups:
    """The groups of a split's objects: a category is seen if the training split has it.

    Args:
        labels: The split's Annotations, beside meta.json; or the split's folder itself.

    Returns:
        Nothing where the split's meta.json or train/meta.json is missing or names no category.

    Raises:
        DatasetError: A meta.json is broken.
    """
    split = next((folder for folder in (labels, labels.parent) if (folder / "meta.json").is_file()), None)
    if split is None:
        return {}
    seen = seen_categories(split.parent)
    if seen is None:
        return {}
    return {
        video: {
            object_id: "seen" if facts.category in seen else "unseen"
            for object_id, facts in objects.items()
            if facts.category is not None
        }
        for video, objects in read_meta(split).items()
    }
