"""Palette PNG sequence: one label map per frame, as in DAVIS and YouTube-VOS.

    OUT/<frame name>.png      8-bit palette PNG with the PASCAL VOC palette; the value is the object id

Exact.
"""

from __future__ import annotations

from tinct.interchange.exports.formats import ExportJob
from tinct.io.mask_files import write_mask


def write_palette_pngs(job: ExportJob) -> None:
    """Write the label map of every frame."""
    for index in job.indices():
        write_mask(job.frame_path(index, ".png"), job.source.read(index))
