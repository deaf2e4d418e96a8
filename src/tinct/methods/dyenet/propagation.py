"""Recurrent mask propagation: from a starting point both ways in time, until a rule ends it (section 2.2).

Starting points of one frame are propagated together: they share the frame's features and flow, and are
independent of each other, unless they compete for pixels (`Options.compete`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tinct.methods.dyenet.cell_matching import CellMatching
from tinct.methods.dyenet.members import EncodedViews, averaged
from tinct.methods.dyenet.merging import shared_out
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.reid import TemplateSet
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import (
    RoiMask,
    StartingPoint,
    Stop,
    Tracklet,
    box_tensor,
    patch_tensor,
    reboxed,
    tight_boxes,
)
from tinct.networks.dyenet.matching_guide import BoxCells
from tinct.networks.dyenet.roll_out import recalled_in_boxes
from tinct.networks.frame_features import FINE_STRIDE, STRIDE
from tinct.ops.boxes import enlarged_boxes, mask_boxes
from tinct.ops.rois import cropped, pasted, warped_between_boxes
from tinct.ops.warp import warp
from tinct.shapes import holds_arrays


@dataclass(frozen=True)
class PropagationContext:
    """What a propagation knows of the rest of the loop.

    Attributes:
        tracklets: Those built so far.
        annotated: (frame, object id) of the annotated masks.
        areas: Object id → the area of its annotated mask in square pixels; the smallest, of several.
        templates: What the objects look like.
        matching: What frames recall of annotated ones; None for networks without a matching guide.
    """

    tracklets: Sequence[Tracklet]
    annotated: Collection[tuple[int, int]]
    areas: Mapping[int, float]
    templates: TemplateSet
    matching: CellMatching | None = None


@holds_arrays
@dataclass(frozen=True, repr=False)
class _Memory:
    """What is carried from frame to frame of the starting points that are still under way.

    Attributes:
        who: Their places in the list of starting points.
        boxes: [n, 4].
        probs: [n, M, M], the masks over the boxes.
        hidden: [n, d, m, m] of each member.
        cells: What the frame shows of the objects, for each member that asks.
        earlier: What an earlier frame of the walk shows of them (`Options.memory_every`).
    """

    who: tuple[int, ...]
    boxes: Tensor
    probs: Tensor
    hidden: tuple[Tensor, ...]
    cells: tuple[BoxCells | None, ...]
    earlier: tuple[BoxCells | None, ...]

    def select(self, keep: Sequence[bool]) -> _Memory:
        rows = torch.tensor(keep, dtype=torch.bool, device=self.boxes.device)
        who = tuple(w for w, stays in zip(self.who, keep, strict=True) if stays)
        hidden = tuple(h[rows] for h in self.hidden)
        cells, earlier = (
            tuple(None if c is None else c.select(rows) for c in of_members)
            for of_members in (self.cells, self.earlier)
        )
        return _Memory(who, self.boxes[rows], self.probs[rows], hidden, cells, earlier)

    def matched(self, member: int) -> BoxCells | None:
        """The cells with which the next frame's boxes are matched."""
        cells, earlier = self.cells[member], self.earlier[member]
        return cells if cells is None or earlier is None else cells.joined(earlier)


def propagated(
    starts: Sequence[StartingPoint], sources: Sources, options: Options, context: PropagationContext
) -> list[Tracklet]:
    """The tracklets of starting points that lie on one frame, in their order."""
    if not starts:
        return []
    first = _begun(starts, sources, options, context)
    backward, forward = (_Walk(starts, sources, options, context, way) for way in (-1, 1))
    backward.run(first)
    forward.run(first)
    return [
        Tracklet(
            start,
            {start.frame: start.mask, **backward.masks[i], **forward.masks[i]},
            (backward.stops[i], forward.stops[i]),
            {start.frame: start.similarity, **backward.similarities[i], **forward.similarities[i]},
        )
        for i, start in enumerate(starts)
    ]


def _begun(
    starts: Sequence[StartingPoint], sources: Sources, options: Options, context: PropagationContext
) -> _Memory:
    """The hidden states h_i of the starting points: N_R of their boxes' features alone."""
    masks = [start.mask for start in starts]
    boxes, probs = reboxed(box_tensor(masks), patch_tensor(masks), options.box_margin)
    boxes, probs = boxes.to(sources.device), probs.to(sources.device)
    encodings = sources.around(starts[0].frame, boxes)
    recalled = _recalled(
        context, starts[0].frame, [start.object_id for start in starts], boxes, probs.shape[-1]
    )
    hidden = (
        member.begin(encoding, boxes, probs, recalled)
        for member, encoding in zip(sources.members, encodings, strict=True)
    )
    cells = _seen(sources, encodings, boxes, probs)
    earlier = cells if options.memory_every else (None,) * len(cells)
    return _Memory(tuple(range(len(starts))), boxes, probs, tuple(hidden), cells, earlier)


def _recalled(
    context: PropagationContext, frame: int, ids: Sequence[int], boxes: Float[Tensor, "n 4"], grid: int
) -> Float[Tensor, "n 2 G G"] | None:
    """What boxes recall of the objects on annotated frames, if the networks ask for it."""
    if context.matching is None:
        return None
    return recalled_in_boxes(context.matching.guides(frame, ids), boxes, grid)


def _seen(
    sources: Sources,
    encodings: Sequence[EncodedViews],
    boxes: Float[Tensor, "n 4"],
    probs: Float[Tensor, "n M M"],
) -> tuple[BoxCells | None, ...]:
    """What a frame shows of objects, for every member that asks."""
    members = zip(sources.members, encodings, strict=True)
    return tuple(member.remember(encoding, boxes, probs) for member, encoding in members)


class _Walk:
    """One way in time: `run` fills `masks`, `similarities` and `stops`, one of each per starting point."""

    def __init__(
        self,
        starts: Sequence[StartingPoint],
        sources: Sources,
        options: Options,
        context: PropagationContext,
        way: int,
    ) -> None:
        self.starts, self.sources, self.options = starts, sources, options
        self.context, self.way = context, way
        self.masks: list[dict[int, RoiMask]] = [{} for _ in starts]
        self.similarities: list[dict[int, float]] = [{} for _ in starts]
        self.verifies = options.verification > 0 or options.linking.compares_masks
        self.stops = [Stop.LAST_FRAME if way > 0 else Stop.FIRST_FRAME for _ in starts]
        self.least_side_px = least_side_px(sources, options)

    def run(self, memory: _Memory) -> None:
        """Walk until every propagation has ended."""
        frame = self.starts[0].frame + self.way
        while 0 <= frame < len(self.sources):
            memory = self._ending(memory, [self._yields(self.starts[i], frame) for i in memory.who])
            memory, warped = self._warped(memory, frame)
            if not memory.who:
                return
            memory = self._recurred(memory, warped, frame)
            memory = self._ending(memory, self._lost(memory, frame))
            for i, box, probs in zip(memory.who, memory.boxes, memory.probs, strict=True):
                self.masks[i][frame] = RoiMask.of(box, probs)
            frame += self.way

    def _ending(self, memory: _Memory, reasons: Sequence[Stop | None]) -> _Memory:
        """Drop those for which there is a reason, and write it down."""
        for i, reason in zip(memory.who, reasons, strict=True):
            if reason is not None:
                self.stops[i] = reason
        return memory.select([reason is None for reason in reasons]) if any(reasons) else memory

    def _yields(self, start: StartingPoint, frame: int) -> Stop | None:
        """Whether others know this frame better."""
        if (frame, start.object_id) in self.context.annotated:
            return Stop.ANNOTATED
        if self.options.checkpoints and yields_to_nearer(start, frame, self.context.tracklets):
            return Stop.NEARER
        return None

    def _warped(self, memory: _Memory, frame: int) -> tuple[_Memory, Float[Tensor, "n h w"]]:
        """y_{(j-1)→j}, of those that are still to be seen, whose boxes become those of this frame."""
        if not memory.who:
            return memory, memory.probs
        flow = self.sources.flow(frame, frame - self.way)
        full = pasted(memory.probs, memory.boxes, self.sources.size)
        warped = warp(full[None], flow)[0]
        certain = warped > 0.5
        tight = mask_boxes(certain)
        reasons = [
            box_reason(box, bool(seen), self.least_side_px)
            for box, seen in zip(tight.tolist(), certain.flatten(1).any(1), strict=True)
        ]
        going_on = torch.tensor([reason is None for reason in reasons], device=warped.device)
        return self._ending(memory, reasons), warped[going_on]

    def _recurred(self, memory: _Memory, warped: Float[Tensor, "n h w"], frame: int) -> _Memory:
        """Equations 1 and 2 for every member; the masks are their mean."""
        options, sources = self.options, self.sources
        boxes = enlarged_boxes(mask_boxes(warped > 0.5), 1 + 2 * options.box_margin)
        guides = cropped(warped, boxes, memory.probs.shape[-1])
        flow = sources.flow(frame, frame - self.way)
        ids = [self.starts[i].object_id for i in memory.who]
        encodings = sources.around(frame, boxes)
        recalled = _recalled(self.context, frame, ids, boxes, guides.shape[-1])
        found = [
            member.propagate(
                encoding,
                boxes,
                warped_between_boxes(hidden, memory.boxes, boxes, flow),
                guides,
                recalled,
                memory.matched(place),
            )
            for place, (member, encoding, hidden) in enumerate(
                zip(sources.members, encodings, memory.hidden, strict=True)
            )
        ]
        probs = averaged([member_probs for member_probs, _ in found])
        if options.compete and len(boxes) > 1:
            probs = cropped(shared_out(pasted(probs, boxes, sources.size)), boxes, probs.shape[-1])
        cells = _seen(sources, encodings, boxes, probs)
        every, steps = options.memory_every, abs(frame - self.starts[0].frame)
        earlier = cells if every and steps % every == 0 else memory.earlier
        return _Memory(memory.who, boxes, probs, tuple(hidden for _, hidden in found), cells, earlier)

    def _lost(self, memory: _Memory, frame: int) -> list[Stop | None]:
        """Which of the new masks are none."""
        reasons: list[Stop | None] = []
        for i, box, probs in zip(memory.who, memory.boxes, memory.probs, strict=True):
            start = self.starts[i]
            annotated = self.context.areas.get(start.object_id, start.mask.area)
            share = self.options.least_area
            area = RoiMask.of(box, probs).area
            reasons.append(Stop.FADED if has_faded(area, start.mask.area, annotated, share) else None)
        if self.verifies and not all(reasons):
            rows = [row for row, reason in enumerate(reasons) if reason is None]
            for row, similarity in zip(rows, self._similarities(memory, rows, frame), strict=True):
                self.similarities[memory.who[row]][frame] = similarity
                if self.options.verification and similarity < self.options.verification:
                    reasons[row] = Stop.UNLIKE
        return reasons

    def _similarities(self, memory: _Memory, rows: list[int], frame: int) -> list[float]:
        """How much the masks' boxes look like their objects."""
        matching = self.context.matching
        if matching is not None and self.options.least_agreement:
            masks = [RoiMask.of(memory.boxes[row], memory.probs[row]) for row in rows]
            ids = [matching.object_ids.index(self.starts[memory.who[row]].object_id) for row in rows]
            return [float(v[i]) for v, i in zip(matching.agreements(frame, masks), ids, strict=True)]
        boxes = tight_boxes(memory.boxes[rows], memory.probs[rows])
        templates = self.context.templates
        found = templates.similarities(self.sources.embeddings(frame, boxes))
        ids = [self.starts[memory.who[row]].object_id for row in rows]
        return [float(values[templates.object_ids.index(i)]) for values, i in zip(found, ids, strict=True)]


def least_side_px(sources: Sources, options: Options) -> float:
    """Below which a box is too small for the finest features, in pixels of the working frame."""
    stride = FINE_STRIDE if sources.members[0].network.config.pyramid else STRIDE
    return options.least_box_cells * stride


def box_reason(box: Sequence[float], seen: bool, least_side_px: float) -> Stop | None:
    """Rule ii: whether a warped mask is empty, or too small for the features to show anything.

    Args:
        box: Tight, around the warped mask.
        seen: Whether there is any mask.
        least_side_px: A box of which both sides are shorter is too small; a pole is not.
    """
    if not seen:
        return Stop.EMPTY
    x0, y0, x1, y1 = box
    return Stop.SMALL if max(x1 - x0, y1 - y0) < least_side_px else None


def has_faded(area: float, start_area: float, painted_area: float, least_share: float) -> bool:
    """Rule iii: whether a mask's area is below a share of what the object's was; or 0.

    VS-ReID compares with the annotated mask alone. An object that came back at a smaller size would be
    lost at once, so the starting point's own area counts where that is smaller.
    """
    return area <= 0 or area < least_share * min(start_area, painted_area)


def yields_to_nearer(start: StartingPoint, frame: int, tracklets: Sequence[Tracklet]) -> bool:
    """Rule iv: whether a starting point of the same object, nearer in time, has a mask on this frame.

    One that is less similar to the templates does not count.
    """
    return any(
        tracklet.start.object_id == start.object_id
        and abs(frame - tracklet.start.frame) < abs(frame - start.frame)
        and (tracklet.start.annotated or tracklet.start.similarity >= start.similarity)
        and frame in tracklet.masks
        for tracklet in tracklets
    )
