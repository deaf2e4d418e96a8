"""The overlay video, with the masks drawn in: MP4, H.264, yuv420p.

For viewing, not for reading back: a lossy picture of the frames with every object filled,
outlined and numbered. A side of odd length grows by one pixel, because yuv420p has none.
"""

from __future__ import annotations

from tinct.interchange.exports.formats import ExportJob
from tinct.io.overlay import draw_masks
from tinct.io.video_writer import VideoWriter


def write_overlay_video(job: ExportJob) -> None:
    """Write the overlay video."""
    with VideoWriter(job.out, job.rate, job.source.size, job.source.require_video().pixel_aspect) as writer:
        for index, frame in job.frames():
            writer.write(draw_masks(frame, job.source.read(index)))
