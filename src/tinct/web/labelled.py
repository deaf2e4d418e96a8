"""A project's masks as `tinct.interchange.exports` takes them, and how they are finished."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image as Pictures

from tinct.interchange.exports import LabelledVideo
from tinct.io.masks import ObjectMasks
from tinct.ops.finishing import FinishingRule, FrameSource, finish, rule_of
from tinct.shapes import Image, LabelMap
from tinct.web.mask_store import ComputedMask
from tinct.web.project import Project
from tinct.web.prompt_png import labels_of


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

    def soft(index: int) -> ObjectMasks:
        return _soft_masks(project, index, labels(index), tuple(objects))

    return LabelledVideo(
        video.names,
        video.size,
        tuple(objects),
        labels,
        video,
        video.rate,
        {object_id: made.name for object_id, made in objects.items()},
        soft if project.file.has_soft_masks() else None,
        title=project.info.name,
    )


def _soft_masks(project: Project, index: int, labels: LabelMap, object_ids: tuple[int, ...]) -> ObjectMasks:
    """The stored probabilities of a frame; objects that have none are as certain as they were painted."""
    masks = ObjectMasks.from_label_map(labels, object_ids)
    with project.lock:
        source = project.source(index)
        stored = project.file.soft_masks(index, source.run) if isinstance(source, ComputedMask) else {}
    for object_id, png in stored.items():
        if object_id in object_ids:
            probs = labels_of(png, masks.size, modes=("L",)).astype(np.float32)
            masks.probs[object_ids.index(object_id)] = probs / 255
    return masks


def finishing_rules(project: Project) -> list[FinishingRule]:
    """What is done to which objects in which frames on their way out."""
    with project.lock:
        stored: dict[int, list[dict[str, Any]]] = dict(project.journal.finishing)
    return [rule_of({**rule, "objects": [i]}) for i, rules in stored.items() for rule in rules]


def finished_alpha(
    project: Project, index: int, object_ids: Sequence[int], frame: Callable[[int], Image]
) -> bytes:
    """The alpha of some objects in a frame, as an export would have it: a PNG of white with an alpha channel.

    Args:
        project: The project.
        index: The frame.
        object_ids: Their ids; those that do not exist are left out.
        frame: The picture of a frame.
    """
    source = labelled_project(project)
    soft = None if source.soft is None else source.read_soft
    masks = finish(
        FrameSource(len(source), source.read, soft, frame), finishing_rules(project), source.object_ids, index
    )
    wanted = [i for i in source.object_ids if i in object_ids]
    alpha = sum((masks[i] for i in wanted), np.zeros(masks.size, np.float32)).clip(0, 1)
    white = np.full(masks.size, 255, np.uint8)
    picture = Pictures.fromarray(np.stack([white, np.rint(255 * alpha).astype(np.uint8)], axis=2))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
