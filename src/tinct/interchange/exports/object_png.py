"""One binary PNG per object and frame.

    OUT/<object id>_<name>/<frame name>.png      8-bit grey PNG: 255 inside, 0 outside

Exact. Every object has a file in every frame, black where the object is absent, so that a program
that reads a numbered sequence finds no gap.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures

from tinct.interchange.exports.formats import ExportJob
from tinct.io.atomic import atomic_write


def write_object_pngs(job: ExportJob) -> None:
    """Write a black-and-white picture of every object in every frame."""
    source = job.source
    folders = job.object_folders()
    for index in job.indices():
        labels = source.read(index)
        for folder, object_id in zip(folders, source.object_ids, strict=True):
            picture = Pictures.fromarray((labels == object_id).view(np.uint8) * np.uint8(255))
            with atomic_write(job.frame_path(index, ".png", folder)) as part:
                picture.save(part, format="PNG", compress_level=2)
