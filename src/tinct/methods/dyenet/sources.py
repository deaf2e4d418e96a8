"""What a video gives to the loop: frames, flow, features and candidates, within a memory budget.

Features are computed once per frame and cached while the budget lasts, in half precision; past it they are
computed again when they are asked for again. A frame's candidates are taken from its features when these
are there for the first time, whoever asked for them, and are cached: they are small.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.inference.callbacks import report_progress
from tinct.io.video import Video
from tinct.methods.dyenet.members import EncodedViews, Member, averaged, joined
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.reid import Candidates
from tinct.methods.dyenet.tracklets import RoiMask
from tinct.networks.dyenet.patches import patch_view
from tinct.networks.dyenet.proposal_sources import ProposalSource
from tinct.networks.flow import FlowEstimator
from tinct.networks.frame_features import FrameFeatures
from tinct.ops.views import cut, cut_flow, full_view
from tinct.ops.working_size import working_frame, working_size
from tinct.shapes import Image

FRAMES_AT_ONCE = 16
"""Video files are read forwards: this number of frames is read at once, whichever way the loop walks."""

CHUNKS = 3
"""How many such lots are in memory."""

FLOW_SHARE = 0.3
"""Of the memory budget."""

Value = TypeVar("Value")


class BudgetCache(Generic[Value]):
    """Values that are computed when they are asked for, and cached while a budget lasts.

    What is there first stays, and of the rest only the newest: walks along a video start again from
    where they began, and dropping the oldest would drop exactly what is asked for next.

    Args:
        budget: In bytes.
        size_of: A value's bytes.
    """

    def __init__(self, budget: float, size_of: Callable[[Value], int]) -> None:
        self._left, self._size_of = budget, size_of
        self._values: dict[Hashable, Value] = {}
        self._newest: tuple[Hashable, Value] | None = None

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of a key."""
        if key in self._values:
            return self._values[key]
        if self._newest is not None and self._newest[0] == key:
            return self._newest[1]
        value = compute()
        size = self._size_of(value)
        if size <= self._left:
            self._left -= size
            self._values[key] = value
        else:
            self._newest = (key, value)
        return value


class Sources:
    """One video on its way through the loop.

    Args:
        video: The frames.
        members: Who looks at them.
        flow: Gives the optical flow.
        proposals: Gives boxes; None for the first member's own.
        options: Working size, budget, number of proposals, patches.
    """

    def __init__(
        self,
        video: Video,
        members: tuple[Member, ...],
        flow: FlowEstimator,
        proposals: ProposalSource | None,
        options: Options,
    ) -> None:
        self.video, self.members, self.options = video, members, options
        self.size = working_size(video.size, options.working_height)
        self.device = members[0].device
        self._flow_estimator, self._proposals = flow, proposals
        budget = options.feature_budget_mb * 1e6
        self._features: BudgetCache[tuple[FrameFeatures, ...]] = BudgetCache(
            (1 - FLOW_SHARE) * budget, _features_size
        )
        self._flows: BudgetCache[Tensor] = BudgetCache(FLOW_SHARE * budget, lambda flow: flow.nbytes)
        self._chunks: OrderedDict[int, list[Image]] = OrderedDict()
        self._candidates: dict[int, Candidates] = {}

    def __len__(self) -> int:
        return len(self.video)

    def frame(self, index: int) -> Image:
        """A frame at its working size."""
        chunk = index // FRAMES_AT_ONCE
        if chunk not in self._chunks:
            first = chunk * FRAMES_AT_ONCE
            frames = self.video.frames(first, min(first + FRAMES_AT_ONCE, len(self.video)))
            self._chunks[chunk] = [working_frame(f, self.options.working_height) for f in frames]
            if len(self._chunks) > CHUNKS:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk)
        return self._chunks[chunk][index % FRAMES_AT_ONCE]

    def flow(self, index: int, other: int) -> Float[Tensor, "1 2 h w"]:
        """The flow that lives on frame `index` and points into frame `other`."""

        def compute() -> Tensor:
            flow = self._flow_estimator.between(self.frame(index), self.frame(other))
            return torch.from_numpy(flow).permute(2, 0, 1)[None].half().to(self.device)

        return self._flows.get((index, other), compute).float()

    def whole(self, index: int) -> list[EncodedViews]:
        """What every member sees of a whole frame."""
        features = self._features.get(index, lambda: self._computed(index))
        encodings = [EncodedViews(f, (full_view(self.size),)) for f in features]
        if self.options.re_id and index not in self._candidates:
            self._candidates[index] = self._found(index, encodings)
            report_progress("look", len(self._candidates), len(self))
        return encodings

    def around(self, index: int, boxes: Float[Tensor, "N 4"]) -> list[EncodedViews]:
        """What every member sees of a frame where boxes are: the whole frame, or a patch for each."""
        if not self.options.patches:
            return self.whole(index)
        views = tuple(patch_view(box, self.size, self.options.patch_side) for box in boxes)
        pixels = _picture(self.video[index]).to(self.device)
        pictures = torch.cat([cut(pixels, view, self.size) for view in views])
        flow = self._backward_flow(index)
        flows = None if flow is None else torch.cat([cut_flow(flow, view) for view in views])
        return [EncodedViews(member.features(pictures, flows), views) for member in self.members]

    def candidates(self, index: int) -> Candidates:
        """The boxes of a frame and who is in them."""
        if index not in self._candidates:
            self.whole(index)
        return self._candidates[index]

    def looks(self, index: int) -> list[Float[Tensor, "D h w"]]:
        """What each cell of a frame looks like to every member."""
        return [m.looks(encoding) for m, encoding in zip(self.members, self.whole(index), strict=True)]

    def embeddings(self, index: int, boxes: Float[Tensor, "N 4"]) -> Float[np.ndarray, "N D"]:
        """Who is in some boxes of a frame."""
        encodings = zip(self.members, self.whole(index), strict=True)
        return (
            joined([m.embeddings(encoding, boxes.to(self.device)) for m, encoding in encodings]).cpu().numpy()
        )

    def masks(self, index: int, boxes: Float[Tensor, "N 4"]) -> list[RoiMask]:
        """The mask network's masks in some boxes of a frame."""
        boxes = boxes.to(self.device)
        encodings = zip(self.members, self.around(index, boxes), strict=True)
        probs = averaged([m.mask_probs(encoding, boxes) for m, encoding in encodings])
        return [RoiMask.of(box, patch) for box, patch in zip(boxes, probs, strict=True)]

    def _computed(self, index: int) -> tuple[FrameFeatures, ...]:
        picture = _picture(self.frame(index)).to(self.device)
        flow = self._backward_flow(index)
        return tuple(_stored(member.features(picture, flow)) for member in self.members)

    def _backward_flow(self, index: int) -> Tensor | None:
        """To the frame before, for members of two streams; zero on the first frame."""
        if not any(member.network.config.two_streams for member in self.members):
            return None
        if index == 0:
            return torch.zeros(1, 2, *self.size, device=self.device)
        return self.flow(index, index - 1)

    def _found(self, index: int, encodings: list[EncodedViews]) -> Candidates:
        if self._proposals is None:
            found = self.members[0].proposals(encodings[0], self.options.max_proposals)
            boxes, scores = found.boxes, found.scores.cpu().numpy()
        else:
            rows = self._proposals.boxes(index, self.frame(index))[: self.options.max_proposals]
            boxes, scores = torch.from_numpy(rows[:, :4]).to(self.device), rows[:, 4]
        if not len(boxes):
            return Candidates(
                index, np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float16), np.zeros(0, np.float32)
            )
        embedded = joined([m.embeddings(k, boxes) for m, k in zip(self.members, encodings, strict=True)])
        return Candidates(
            index, boxes.cpu().numpy(), embedded.cpu().numpy().astype(np.float16), scores.astype(np.float32)
        )


def _picture(frame: Image) -> Float[Tensor, "1 3 H W"]:
    """A frame as networks take it, in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frame))
    return pixels.permute(2, 0, 1)[None].float() / 255


def _stored(features: FrameFeatures) -> FrameFeatures:
    """As they are cached; those for which the budget has no room are rounded alike."""
    return FrameFeatures(*(None if maps is None else maps.half() for maps in features))  # type: ignore[arg-type]


def _features_size(features: tuple[FrameFeatures, ...]) -> int:
    return sum(maps.nbytes for of_member in features for maps in of_member if maps is not None)
