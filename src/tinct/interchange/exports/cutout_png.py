"""The objects cut out: RGBA PNG sequence, 8 bits, straight alpha.

    OUT/<frame name>.png

Exact: where alpha is above 0 the colours are the frame's own, not multiplied with it (PNG has no
other alpha). Where alpha is 0 the pixel is black, so that the background cannot be recovered.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures

from tinct.interchange.exports.alpha import alpha_of
from tinct.interchange.exports.formats import ExportJob
from tinct.io.atomic import atomic_write


def write_cutout_pngs(job: ExportJob) -> None:
    """Write the objects of every frame on a transparent background."""
    for index, frame in job.frames():
        alpha = alpha_of(job, index)[..., None]
        picture = Pictures.fromarray(np.concatenate([np.where(alpha > 0, frame, 0), alpha], axis=2))
        with atomic_write(job.frame_path(index, ".png")) as part:
            picture.save(part, format="PNG", compress_level=2)
