"""A project's masks as `tinct.interchange.exports` takes them."""

from __future__ import annotations

import numpy as np

from tinct.interchange.exports import LabelledVideo
from tinct.shapes import LabelMap
from tinct.web.project import Project


def labelled_project(project: Project) -> LabelledVideo:
    """The masks that the page shows; a frame without a mask has no objects.

    Raises:
        VideoError: The video is missing.
    """
    video, objects = project.video, dict(project.journal.objects)
    nothing = np.zeros(project.info.size, np.uint8)
    nothing.setflags(write=False)

    def labels(index: int) -> LabelMap:
        found = project.labels(index)
        return nothing if found is None else found

    return LabelledVideo(
        video.names,
        video.size,
        tuple(objects),
        labels,
        video,
        video.rate,
        {object_id: made.name for object_id, made in objects.items()},
        title=project.info.name,
    )
