"""COCO's run lengths of masks.

A mask is counted down its columns, first column first (Fortran order), beginning with the pixels
outside; the counts are then packed into text (pycocotools, `common/maskApi.c`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinct.io.masks import object_ids_of
from tinct.io.optional import needed
from tinct.shapes import LabelMap


@dataclass(frozen=True)
class RunLengths:
    """One object's mask in one frame.

    Args:
        segmentation: `{"size": [H, W], "counts": text}`.
        area: Pixels inside.
        bbox: [x, y, width, height] of the smallest box around them, in pixels from the top left.
    """

    segmentation: dict[str, Any]
    area: int
    bbox: list[float]


def packing() -> Any:
    """`pycocotools.mask`; OptionError where it is not installed."""
    return needed("pycocotools.mask", "coco", "COCO's run lengths")


def run_lengths(labels: LabelMap) -> dict[int, RunLengths]:
    """The run lengths of every object in a label map [H, W]; an absent object has none."""
    coco = packing()
    # Turned once: a comparison with it is then laid out by columns, as the encoder wants it.
    columns = np.ascontiguousarray(labels.T)
    found = {}
    for object_id in object_ids_of(labels):
        packed = coco.encode((columns == object_id).view(np.uint8).T)
        segmentation = {"size": list(labels.shape), "counts": packed["counts"].decode("ascii")}
        bbox = [float(side) for side in coco.toBbox(packed)]
        found[object_id] = RunLengths(segmentation, int(coco.area(packed)), bbox)
    return found
