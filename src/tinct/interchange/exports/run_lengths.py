"""COCO's run-length encoding of masks.

Runs go down the columns (Fortran order) and alternate, beginning with pixels outside; the counts are then
compressed to text (pycocotools, `common/maskApi.c`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinct.io.masks import object_ids_of
from tinct.io.optional import import_optional
from tinct.shapes import LabelMap


@dataclass(frozen=True)
class RunLengths:
    """One object's mask in one frame.

    Args:
        segmentation: `{"size": [H, W], "counts": text}`.
        area: Pixels inside.
        bbox: [x, y, width, height] of the bounding box, in pixels from the top left.
    """

    segmentation: dict[str, Any]
    area: int
    bbox: list[float]


def coco_module() -> Any:
    """`pycocotools.mask`; OptionError if it is not installed."""
    return import_optional("pycocotools.mask", "coco", "COCO's run lengths")


def run_lengths(labels: LabelMap) -> dict[int, RunLengths]:
    """The run lengths of every object in a label map [H, W]; an absent object has none."""
    coco = coco_module()
    # Transposed once: comparisons with it then have the column order that the encoder expects.
    columns = np.ascontiguousarray(labels.T)
    found = {}
    for object_id in object_ids_of(labels):
        packed = coco.encode((columns == object_id).view(np.uint8).T)
        segmentation = {"size": list(labels.shape), "counts": packed["counts"].decode("ascii")}
        bbox = [float(side) for side in coco.toBbox(packed)]
        found[object_id] = RunLengths(segmentation, int(coco.area(packed)), bbox)
    return found
