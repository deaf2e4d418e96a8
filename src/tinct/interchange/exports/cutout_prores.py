"""The objects cut out: ProRes 4444 with straight alpha, in a MOV.

Colours are 10-bit Y'CbCr 4:4:4 of BT.709, video range, and tagged so; they differ from the frame's by a
few of 255 steps where it is busy. Alpha is coded without loss and comes back exactly at 8 bits.
It is straight: the frame's picture stays whole under it, also where alpha is 0. This is what
compositors expect of a fill with its matte, and black beside an object would smear into its rim,
for ProRes codes blocks of 8 × 8. The time code starts at the number of the first frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from tinct.errors import OutputError
from tinct.interchange.exports.alpha import alpha_of
from tinct.interchange.exports.formats import ExportJob

_BT709 = 1
"""The code of BT.709 for colour spaces, primaries and transfers (ITU-T H.273)."""

DEFAULT_RATE = Fraction(24)
"""Frames per second of a video whose rate is unknown."""


def write_cutout_prores(job: ExportJob) -> None:
    """Write the video.

    Raises:
        OutputError: The file cannot be written.
    """
    rate = job.rate or DEFAULT_RATE
    with _as_output_error(job), av.open(str(job.out.resolve()), "w", format="mov") as container:
        stream = container.add_stream("prores_ks", rate=rate, options={"profile": "4444", "alpha_bits": "16"})
        _describe(stream, job)
        stream.metadata["timecode"] = timecode(job.number(job.first), rate)
        for number, (index, frame) in enumerate(job.frames()):
            rgba = np.concatenate([frame, alpha_of(job, index)[..., None]], axis=2)
            # One thread: FFmpeg's scaler, sliced over several, now and then lost rows of planes with alpha.
            picture = VideoFrame.from_ndarray(rgba, format="rgba").reformat(
                format="yuva444p10le",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def timecode(index: int, rate: Fraction) -> str:
    """The time code of a frame, `hours:minutes:seconds:frames`, no frames dropped."""
    per_second = max(1, round(rate))
    seconds, frames = divmod(index, per_second)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def _describe(stream: VideoStream, job: ExportJob) -> None:
    stream.height, stream.width = job.source.size
    stream.pix_fmt = "yuva444p10le"
    codec = stream.codec_context
    codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
    codec.color_range = int(ColorRange.MPEG)
    if (aspect := job.source.require_video().pixel_aspect) is not None:
        codec.sample_aspect_ratio = aspect


@contextmanager
def _as_output_error(job: ExportJob) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise OutputError(f"{job.out.name} cannot be written: {error.strerror or error}.") from error
