"""Soft masks: one 16-bit grey PNG per object and frame.

    OUT/<object id>_<name>/<frame name>.png      value / 65535 is the object's probability

Exact to half a step of 16 bits. Needs a run that was made with `--soft`, or a finishing that softens edges.
"""

from __future__ import annotations

from tinct.interchange.exports.formats import ExportJob
from tinct.io.soft_masks import write_soft_mask


def write_soft_pngs(job: ExportJob) -> None:
    """Write the probabilities of every object in every frame."""
    source = job.source
    folders = job.object_folders()
    for index in job.indices():
        for folder, probabilities in zip(folders, source.read_soft(index).probs, strict=True):
            write_soft_mask(job.frame_path(index, ".png", folder), probabilities)
