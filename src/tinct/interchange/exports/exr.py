"""OpenEXR sequence: half-float, one named channel per object.

    OUT/<frame name>.exr

Channels are called after the objects (`dog`, `object_3`), the same ones in every frame; values are 0
and 1, or the probabilities with soft edges. Hard masks are exact; soft ones are rounded to half
floats (11 bits of precision, so within 1/4096). The data window and the display window are the frame.
A matte has no colours, so nothing is premultiplied. `frameRate` and `imageCounter` (the frame's index, or
its number) are in the header. Compression is ZIP, without loss.
"""

from __future__ import annotations

import io

import numpy as np

from tinct.interchange.exports.formats import ExportJob
from tinct.interchange.exports.object_names import channel_names
from tinct.io.atomic import atomic_write
from tinct.io.optional import import_optional


def write_exrs(job: ExportJob) -> None:
    """Write a file per frame.

    Raises:
        OptionError: OpenEXR is not installed, or the soft masks are missing.
        OutputError: A file cannot be written.
    """
    exr = import_optional("OpenEXR", "vfx", "The format exr")
    source = job.source
    channels = channel_names(source.object_ids, source.object_names)
    for index in job.indices():
        header = {
            "compression": exr.ZIP_COMPRESSION,
            "type": exr.scanlineimage,
            "imageCounter": job.number(index),
        }
        if job.rate is not None:
            header["frameRate"] = str(job.rate)
        maps = source.read_object(index, soft=job.soft).astype(np.float16)
        with atomic_write(job.frame_path(index, ".exr")) as part:
            content = io.BytesIO()  # as a path, OpenEXR takes text only, which not every name is
            exr.File(header, dict(zip(channels, maps, strict=True))).write(content)
            part.write_bytes(content.getvalue())
