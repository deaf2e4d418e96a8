"""One video in the loop: what is known so far, and the loop's steps as `DyeNet._loop` calls them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float

from tinct.inference.callbacks import report_progress
from tinct.io.masks import object_ids_of
from tinct.methods.dyenet.cell_matching import CellMatching, best_agreeing
from tinct.methods.dyenet.linking import Link, contradiction_at_start, is_covered, join, linked
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.propagation import PropagationContext, least_side_px, propagated
from tinct.methods.dyenet.reid import Match, Template, TemplateSet, matched
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.trace import Decision, DecisionTrace, Outcome
from tinct.methods.dyenet.tracklets import (
    RoiMask,
    StartingPoint,
    Tracklet,
    TubeMask,
    box_tensor,
    patch_tensor,
    tight_boxes,
)
from tinct.ops.boxes import enlarged_boxes
from tinct.ops.rois import cropped
from tinct.shapes import BinaryMask, LabelMap


class TemplateWarning(UserWarning):
    """An annotated mask is so small that hardly anything can be learnt from it."""


class Run:
    """What the loop knows of a video.

    Args:
        sources: The video.
        options: The rules.
        object_ids: All objects, increasing.

    Attributes:
        sources: The video's frames, flow and features, as they were given.
        tracklets: All that were built, in order.
        tubes: Object id → frame → mask, of the linked ones.
        templates: What the objects looked like.
        trace: What was decided.
    """

    def __init__(self, sources: Sources, options: Options, object_ids: tuple[int, ...]) -> None:
        self.sources, self.options = sources, options
        self.tracklets: list[Tracklet] = []
        self.tubes: dict[int, dict[int, TubeMask]] = {i: {} for i in object_ids}
        self.templates: list[Template] = []
        self.trace = DecisionTrace(sources.video.names, object_ids, options.rho, options.doubt_margin)
        self._round = 0
        self._links: list[Link] = []
        guided = sources.members[0].network.config.matching_guide
        self._matching = CellMatching(sources, object_ids) if guided else None
        self._annotated: set[tuple[int, int]] = set()
        self._areas: dict[int, float] = {}
        self._taken: set[tuple[int, int]] = set()

    def paint(self, prompts: Mapping[int, LabelMap]) -> list[StartingPoint]:
        """The annotated masks as starting points; they are templates from the beginning."""
        starts = []
        for frame, labels in prompts.items():
            masks = [
                self._annotated_mask(labels == i, f"object {i} on frame {frame}")
                for i in object_ids_of(labels)
            ]
            embeddings = self._embeddings(frame, masks)
            annotated = [
                StartingPoint(frame, object_id, mask, embedding, annotated=True)
                for object_id, mask, embedding in zip(object_ids_of(labels), masks, embeddings, strict=True)
            ]
            if self._matching is not None:
                self._matching.learn(frame, annotated)
            starts += annotated
            for object_id, mask in zip(object_ids_of(labels), masks, strict=True):
                self._annotated.add((frame, object_id))
                self._areas[object_id] = min(mask.area, self._areas.get(object_id, mask.area))
        self.templates = [Template.of(start) for start in starts]
        return starts

    def match(self, number: int) -> list[StartingPoint]:
        """The starting points of a new round: boxes of any frame that look like a template (2.1)."""
        self._round = number
        templates = TemplateSet(self.templates)
        self.trace.without_proposals = []
        starts: list[StartingPoint] = []
        for frame in range(len(self.sources)):
            candidates = self.sources.candidates(frame)
            found = self._recalled(frame, templates)
            if len(candidates.boxes):
                found = matched(candidates, templates, self.options.rho, self._taken) + found
            else:
                self.trace.without_proposals.append(frame)
            starts += self._agreeing(self._with_masks(found))
            report_progress(f"round {number}: match", frame + 1, len(self.sources))
        return starts

    def propagate(self, starts: Sequence[StartingPoint]) -> None:
        """Propagate each starting point both ways, the surest first; those of one frame together (2.2).

        One whose mask is known already, or contradicts a surer one, is not worth the work.
        """
        done = 0
        self._taken |= {(start.frame, start.object_id) for start in starts}
        for _, group in groupby(sorted(starts, key=lambda s: s.rank), key=lambda s: s.frame):
            all_of_frame = list(group)
            fresh = [start for start in all_of_frame if self._is_worth_it(start)]
            templates = TemplateSet(self.templates)
            context = PropagationContext(
                self.tracklets, self._annotated, self._areas, templates, self._matching
            )
            for tracklet in propagated(fresh, self.sources, self.options, context):
                place = len(self.tracklets)
                self.trace.decisions.append(Decision(tracklet.start, Outcome.PROPAGATED, place))
                self.tracklets.append(tracklet)
                join(tracklet, place, self.tubes, self.options.linking)
            done += len(all_of_frame)
            report_progress(f"round {self._round}: propagate", done, len(starts))

    def link(self) -> None:
        """Link all tracklets again: those of this round may rank above older ones (2.2)."""
        tubes, self._links = linked(self.tracklets, self.options.linking)
        self.tubes = {object_id: dict(tubes.get(object_id, {})) for object_id in self.tubes}

    def expand_templates(self) -> None:
        """What this round found, and linking did not refuse, are templates of the next one (2)."""
        linked = {link.tracklet for link in self._links if link.frames}
        self.templates += [
            Template.of(d.start)
            for d in self.trace.decisions
            if d.start.round == self._round
            and not d.start.annotated
            and (d.outcome is Outcome.COVERED or d.tracklet in linked)
        ]
        self.trace.end_of_round(self._round, self.templates, self.tubes)

    def decisions(self) -> dict[str, Any]:
        """Every decision, as JSON holds it."""
        return self.trace.as_json(self.tracklets, self._links, self.tubes)

    def _annotated_mask(self, mask: BinaryMask, name: str) -> RoiMask:
        """An annotated mask over its box, from the video's own resolution."""
        H, W = mask.shape
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        tight = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
        box = enlarged_boxes(tight, 1 + 2 * self.options.box_margin)
        grid = self.sources.members[0].mask_grid
        probs = cropped(torch.from_numpy(mask.astype(np.float32))[None], box, grid)
        h, w = self.sources.size
        scale = torch.tensor([w / W, h / H]).repeat(2)
        sides = (tight * scale)[0, 2:] - (tight * scale)[0, :2]
        if float(sides.max()) < least_side_px(self.sources, self.options):
            self._warn_of_small(name, (width, height), (float(sides[0]), float(sides[1])))
        return RoiMask.of((box * scale)[0], probs[0])

    def _warn_of_small(self, name: str, own: tuple[int, int], working: tuple[float, float]) -> None:
        text = (
            f"The mask of {name} is {own[0]}×{own[1]} pixels, {working[0]:.1f}×{working[1]:.1f} at the "
            "working size: too small to be recognised or followed. Paint the object on a frame where it is "
            "larger."
        )
        self.trace.remarks.append(text)
        warnings.warn(text, TemplateWarning, stacklevel=2)

    def _embeddings(self, frame: int, masks: Sequence[RoiMask]) -> Float[np.ndarray, "N D"]:
        boxes = tight_boxes(box_tensor(masks), patch_tensor(masks))
        return self.sources.embeddings(frame, boxes)

    def _with_masks(self, matches: Sequence[Match]) -> list[StartingPoint]:
        """The matches of one frame with what the mask network sees in their boxes."""
        if not matches:
            return []
        masks = self._masks(matches[0].frame, torch.tensor([match.box for match in matches]))
        return [
            StartingPoint(
                match.frame,
                match.object_id,
                mask,
                match.embedding,
                match.similarity,
                match.runner_up,
                match.runner_up_id,
                round=self._round,
            )
            for match, mask in zip(matches, masks, strict=True)
        ]

    def _recalled(self, frame: int, templates: TemplateSet) -> list[Match]:
        """The boxes in which the cells of a frame recall objects; later rounds find no others."""
        matching = self._matching if self.options.least_agreement and self._round == 1 else None
        boxes = {} if matching is None else matching.boxes(frame)
        boxes = {i: box for i, box in boxes.items() if (frame, i) not in self._taken}
        if not boxes:
            return []
        embeddings = self.sources.embeddings(frame, torch.stack(list(boxes.values())))
        similarities = templates.similarities(embeddings)
        found = []
        for row, (i, box) in enumerate(boxes.items()):
            x0, y0, x1, y1 = box.tolist()
            similarity = float(similarities[row, templates.object_ids.index(i)])
            found.append(Match(frame, i, (x0, y0, x1, y1), embeddings[row], similarity))
        return found

    def _agreeing(self, starts: Sequence[StartingPoint]) -> Sequence[StartingPoint]:
        """Those starting points of a frame that agree with what its cells recall, if these are looked at."""
        if self._matching is None or not self.options.least_agreement or not starts:
            return starts
        agreements = self._matching.agreements(starts[0].frame, [start.mask for start in starts])
        return best_agreeing(starts, agreements, self._matching.object_ids, self.options.least_agreement)

    def _masks(self, frame: int, boxes: Float[torch.Tensor, "N 4"]) -> list[RoiMask]:
        """What the mask network sees in boxes, and then in the boxes around what it saw.

        A proposal often shows half of an object, and the network goes a little beyond its box's middle.
        """
        masks = self.sources.masks(frame, boxes)
        for _ in range(self.options.refinements):
            # An empty mask leaves its box as it is.
            seen = tight_boxes(box_tensor(masks), patch_tensor(masks))
            boxes = enlarged_boxes(seen, 1 + 2 * self.options.box_margin)
            masks = self.sources.masks(frame, boxes)
        return masks

    def _is_worth_it(self, start: StartingPoint) -> bool:
        """Whether a starting point is to be propagated; if not, the record says why."""
        if start.annotated:
            return True
        if start.mask.area <= 0:
            self.trace.decisions.append(Decision(start, Outcome.EMPTY))
            return False
        if is_covered(start, self.tubes, self.options.covered_iou):
            self.trace.decisions.append(Decision(start, Outcome.COVERED))
            return False
        contradiction = contradiction_at_start(start, self.tubes, self.options.linking)
        if contradiction is not None:
            self.trace.decisions.append(Decision(start, Outcome.REFUSED, contradiction=contradiction))
            return False
        return True
