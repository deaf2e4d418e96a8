"""FEELVOS on several views of every frame at once, mirrored and of other sizes: the mean of what they say.

Beyond the paper, for the preset `best`. Each view is a run of its own, with its own reference and memory, so
that one that errs for a while does not draw the others along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinct.backends.feelvos import FeelvosBackend
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.methods.feelvos import Feelvos, FeelvosState, Options
from tinct.shapes import Image, LabelMap, holds_arrays


@holds_arrays
@dataclass(frozen=True, repr=False)
class FeelvosViewsState:
    """What is carried from frame to frame.

    Attributes:
        views: The state of each view.
    """

    views: tuple[FeelvosState, ...]


class FeelvosViews(StreamingSegmenter[FeelvosViewsState]):
    """Averages the probabilities of views that know nothing of each other.

    Args:
        backend: The network, and what runs it.
        options: Of each view, but for its height; `views` says which there are.
    """

    def __init__(self, backend: FeelvosBackend, options: Options) -> None:
        self.options = options
        self.mirrored = tuple(mirrored for _, mirrored in options.views)
        self.views = tuple(
            Feelvos(backend, replace(options, working_height=height, views=())) for height, _ in options.views
        )

    @property
    def device(self) -> Any:
        """Where it runs."""
        return self.views[0].device

    def start(self, frame: Image, labels: LabelMap) -> FeelvosViewsState:
        """Every view starts at the annotated frame."""
        pairs = zip(self.views, self.mirrored, strict=True)
        return FeelvosViewsState(tuple(view.start(turned(frame, m), turned(labels, m)) for view, m in pairs))

    def start_at_each(self, frames: Sequence[Image], labels: Sequence[LabelMap]) -> list[FeelvosViewsState]:
        """As `Feelvos.start_at_each`, of every view."""
        of_views = [
            view.start_at_each([turned(f, m) for f in frames], [turned(y, m) for y in labels])
            for view, m in zip(self.views, self.mirrored, strict=True)
        ]
        return [FeelvosViewsState(states) for states in zip(*of_views, strict=True)]

    def step(
        self, state: FeelvosViewsState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[FeelvosViewsState, ObjectMasks]:
        """The mean of the views' probabilities; a corrected frame comes out as it was annotated."""
        states, probs, object_ids = [], [], state.views[0].object_ids
        for view, m, own in zip(self.views, self.mirrored, state.views, strict=True):
            after, masks = view.step(own, turned(frame, m), None if labels is None else turned(labels, m))
            states.append(after)
            probs.append(masks.probs[..., ::-1] if m else masks.probs)
            object_ids = masks.object_ids
        return FeelvosViewsState(tuple(states)), ObjectMasks(object_ids, np.mean(probs, 0))


def turned(picture: np.ndarray, mirrored: bool) -> np.ndarray:
    """A frame [H, W, 3] or labels [H, W], mirrored left to right or as they are."""
    return np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture
