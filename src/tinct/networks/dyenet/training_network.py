"""What DyeNet learns from a batch of clips: L = L_reid + λ (L_mask + L_remp), and its proposals.

Li & Loy, ECCV 2018, section 3.4 as far as it is known: the re-identification loss is online instance
matching (OIM), the others compare masks pixel by pixel on the grid of each box (binary cross-entropy:
inferred), λ is not published (1: inferred), and the proposals are trained apart. Here they learn along,
with the shared features. Used offline by the recipe and online by the method, on clips that are alike
(`tinct.data.region_clips`):

| frames of a clip | teach |
|---|---|
| 1 | the proposals |
| 2: reference, start | the proposals, the re-identification and the mask network |
| more: reference, start, queries | all of that, and the recurrence from the start frame on |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import box_iou

from tinct.networks.dyenet.matching_guide import (
    MAPS,
    AnnotatedCells,
    annotated_cells,
    guide_maps,
    recalled_by_frame,
)
from tinct.networks.dyenet.network import DyeNetNetwork, FrameFeatures
from tinct.networks.dyenet.oim import UNLABELLED, OnlineInstanceMatching
from tinct.networks.dyenet.patches import Patches, SeenFrames, WholeFrames
from tinct.networks.dyenet.roll_out import begin_to_follow, follow
from tinct.ops.boxes import mask_boxes
from tinct.ops.losses import RegionLossOptions, region_loss
from tinct.ops.resize import resize_area
from tinct.ops.rois import cropped
from tinct.shapes import VOID, holds_arrays


@dataclass(frozen=True)
class DyeNetLossOptions:
    """The parts of the loss, and the boxes on which they are taken.

    Attributes:
        proposals: Weight of the region proposal network's losses.
        identities: Of L_reid.
        masks: Of L_mask: λ.
        propagation: Of L_remp: λ.
        matching: Beyond the paper: of what each cell of a frame recalls, for a network with a matching guide.
        mask: What L_mask and L_remp are made of.
        copies: Boxes per object for the mask and re-identification networks: the true one, moved.
        shift: Their largest displacement, as a fraction of the sides (proposals are as far off).
        scale: Range of their sides, of the true ones.
        most_masks: Boxes of a batch for the mask network; of more, some are drawn.
        negatives: Boxes per frame that show no object by half: without identity.
        overlap: Largest IoU of those with an object.
        enlargement: Range of the factor on the sides of the boxes of the recurrence.
        min_pixels: Objects that show less of themselves in a frame teach no identity there.
        patch_side: Side in pixels of the square patches, one for each box, on which masks and their
            recurrence learn (3, "advanced"); 0: on whole frames.
        most_objects: Of a batch for the recurrence; of more, some are drawn.
        references_first: Beyond the paper: what a clip's reference shows enters the table before the loss,
            as a template does at test. So a photo's object can be recognised in its very first clip;
            in the paper's order it would have to wait for the photo's next turn.
    """

    proposals: float = 1.0
    identities: float = 1.0
    masks: float = 1.0
    propagation: float = 1.0
    matching: float = 0.0
    mask: RegionLossOptions = field(default_factory=RegionLossOptions)
    copies: int = 2
    shift: float = 0.12
    scale: tuple[float, float] = (0.85, 1.4)
    most_masks: int = 1000
    negatives: int = 4
    overlap: float = 0.3
    enlargement: tuple[float, float] = (1.15, 1.5)
    min_pixels: int = 60
    patch_side: int = 0
    most_objects: int = 1000
    references_first: bool = False

    def weighted(self, parts: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The sum of the parts that have a weight."""
        return torch.stack([getattr(self, name) * parts[name] for name in PARTS if name in parts]).sum()


PAPER_LOSS = DyeNetLossOptions(enlargement=(1.0, 1.0))
"""The paper's: cross-entropy alone, on tight boxes; and the proposals' losses, which the text takes apart."""

PARTS = ("proposals", "identities", "masks", "propagation", "matching")


@holds_arrays
@dataclass(frozen=True, repr=False)
class Regions:
    """Objects that frames show.

    Attributes:
        frame: Which frame.
        object_id: Which of its objects, as in the labels.
        boxes: Their tight boxes.
    """

    frame: Int64[Tensor, "N"]
    object_id: Int64[Tensor, "N"]
    boxes: Float[Tensor, "N 4"]


def regions_of(labels: Int64[Tensor, "F H W"], most: int, min_pixels: int) -> Regions:
    """All objects of ids 1 to `most` with at least this number of pixels in a frame."""
    ids = torch.arange(1, most + 1, device=labels.device)
    shown = labels.unsqueeze(1) == ids.view(1, -1, 1, 1)
    frame, k = (shown.flatten(2).sum(2) >= min_pixels).nonzero(as_tuple=True)
    return Regions(frame, k + 1, mask_boxes(shown[frame, k]))


def moved_boxes(
    boxes: Float[Tensor, "N 4"], shift: float, scale: tuple[float, float]
) -> Float[Tensor, "N 4"]:
    """Boxes as proposals would have them: moved, and each side scaled by itself, by torch's generator."""
    first, last = boxes[:, :2], boxes[:, 2:]
    size = last - first
    centre = (first + last) / 2 + (2 * torch.rand_like(size) - 1) * shift * size
    low, high = torch.tensor(scale).log().tolist()
    # Both sides together, and a little by themselves.
    together, apart = torch.rand_like(size[:, :1]), 0.2 * (torch.rand_like(size) - 0.5)
    half = size * ((together + apart).clamp(0, 1) * (high - low) + low).exp() / 2
    return torch.cat([centre - half, centre + half], 1)


def boxes_beside(
    boxes: Float[Tensor, "N 4"], size: tuple[int, int], count: int, overlap: float
) -> Float[Tensor, "K 4"]:
    """Random boxes in a frame of (H, W), `count` at most, of less than `overlap` IoU with all `boxes`."""
    frame = boxes.new_tensor([size[1], size[0]])
    drawn = torch.rand(4 * count, 4, device=boxes.device)
    # From a tenth to nearly a half of the frame.
    sides, centre = (1.5 * drawn[:, :2] - 2.3).exp() * frame, drawn[:, 2:] * frame
    tried = torch.cat([centre - sides / 2, centre + sides / 2], 1).clamp_min(0).minimum(frame.repeat(2))
    fits = ((tried[:, 2:] - tried[:, :2]) > 4).all(1)
    if len(boxes):
        fits &= box_iou(tried, boxes).amax(1) < overlap
    return tried[fits][:count]


Gather = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(embeddings [N, C], identities [N]) of this process → those of all processes, in one order everywhere."""


def only_own(embeddings: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """The gathering of one process by itself."""
    return embeddings, identities


class DyeNetLearning:
    """The loss of batches of clips.

    Args:
        network: What learns.
        matching: The table of its identities, which is changed by every batch that teaches them.
        options: The parts of the loss.
        gather: Brings together what several processes show the table, so that it is the same in all.
    """

    def __init__(
        self,
        network: DyeNetNetwork,
        matching: OnlineInstanceMatching,
        options: DyeNetLossOptions,
        gather: Gather = only_own,
    ) -> None:
        self.network, self.matching, self.options, self.gather = network, matching, options, gather

    def parts(self, batch: Mapping[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
        """The parts of the loss, unweighted, and figures beside them.

        Args:
            batch: Of `RegionClips`: frames uint8 [B, T, H, W, 3], labels, previous, identities; with
                three frames or more `flow_backward` [B, T, H, W, 2] too.
        """
        frames, labels = batch["frames"], batch["labels"].long()
        T = labels.shape[1]
        pictures = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        flows = None
        if self.network.config.two_streams:
            flows = _flow_of(batch, pictures)
        features = self.network.features(pictures, flows)
        seen: SeenFrames = WholeFrames(features)
        if self.options.patch_side:
            seen = Patches(self.network, pictures, flows, self.options.patch_side)
        parts: dict[str, Tensor] = {}
        if self.options.proposals:
            parts["proposals"] = self._proposals(features, labels)
        if T > 1 and (self.options.identities or self.options.masks):
            parts.update(self._regions(features, seen, batch))
        if T > 2 and self.options.propagation:
            parts.update(self._propagation(features, seen, batch))
        return parts

    def _proposals(self, features: FrameFeatures, labels: Int64[Tensor, "B T H W"]) -> Float[Tensor, ""]:
        """Of one frame of each clip; others of the clip look alike."""
        B, T = labels.shape[:2]
        drawn = torch.arange(B) * T + torch.randint(T, (B,))
        regions = regions_of(labels.flatten(0, 1)[drawn], _most(labels), self.options.min_pixels)
        targets = [regions.boxes[regions.frame == b] for b in range(B)]
        losses = self.network.proposal_losses(features.select(drawn), targets)
        return torch.stack(list(losses.values())).sum()

    def _regions(
        self, features: FrameFeatures, seen: SeenFrames, batch: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        """L_reid and L_mask on a clip's reference and one more of its frames."""
        labels, options = batch["labels"].long(), self.options
        B, T, H, W = labels.shape
        later = torch.randint(1, T, (B,))
        drawn = torch.stack([torch.arange(B) * T, torch.arange(B) * T + later], 1).flatten()
        shown = labels.flatten(0, 1)[drawn]
        regions = regions_of(shown, batch["identities"].shape[1], options.min_pixels)
        copies = torch.arange(len(regions.frame)).repeat_interleave(options.copies)
        boxes = moved_boxes(regions.boxes[copies], options.shift, options.scale)
        frame, object_id = regions.frame[copies], regions.object_id[copies]
        index = drawn.to(frame.device)[frame]
        found = {}
        if options.masks:
            chosen = torch.randperm(len(boxes))[: options.most_masks].to(index.device)
            logits = self.network.mask_logits(*seen.around(boxes[chosen], index[chosen]))
            found["masks"] = self._mask_loss(logits, shown[frame[chosen]], object_id[chosen], boxes[chosen])
        if options.identities:
            identities = batch["identities"].flatten()[
                (frame // 2) * batch["identities"].shape[1] + object_id - 1
            ]
            found.update(self._identities(features, regions, drawn, boxes, frame, identities, (H, W)))
        return found

    def _identities(
        self,
        features: FrameFeatures,
        regions: Regions,
        drawn: Int64[Tensor, "F"],
        boxes: Float[Tensor, "N 4"],
        frame: Int64[Tensor, "N"],
        identities: Int64[Tensor, "N"],
        size: tuple[int, int],
    ) -> dict[str, Float[Tensor, ""]]:
        """L_reid; the table changes after it."""
        options = self.options
        beside = [
            boxes_beside(regions.boxes[regions.frame == f], size, options.negatives, options.overlap)
            for f in range(len(drawn))
        ]
        counts = torch.tensor([len(b) for b in beside])
        all_boxes = torch.cat([boxes, *beside])
        all_frames = torch.cat([frame, torch.arange(len(drawn)).repeat_interleave(counts).to(frame)])
        embeddings = self.network.embeddings(features, all_boxes, drawn.to(frame.device)[all_frames])
        known = torch.cat([identities, identities.new_full((len(all_boxes) - len(boxes),), UNLABELLED)])
        reference = (all_frames % 2 == 0) & (known != UNLABELLED)
        if options.references_first:
            self._update(embeddings[reference], known[reference])
        loss: Tensor = self.matching(embeddings, known)
        with torch.no_grad():
            recognised = self._recognised(embeddings[~reference], known[~reference])
        later = ~reference if options.references_first else torch.ones_like(reference)
        self._update(embeddings[later], known[later])
        return {"identities": loss, "recognised": recognised}

    def _update(self, embeddings: Float[Tensor, "N C"], identities: Int64[Tensor, "N"]) -> None:
        """Show the table what all processes saw."""
        self.matching.update(*self.gather(embeddings.detach(), identities))

    def _recognised(
        self, embeddings: Float[Tensor, "N C"], identities: Int64[Tensor, "N"]
    ) -> Float[Tensor, ""]:
        """The share of boxes that lie nearest to their own identity, for the curve."""
        labelled = identities != UNLABELLED
        nearest = (embeddings[labelled] @ self.matching.table.T).argmax(1)
        return (nearest == identities[labelled]).float().sum() / labelled.sum().clamp_min(1)

    def _propagation(
        self, features: FrameFeatures, seen: SeenFrames, batch: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        """L_remp: masks handed on from the start frame to the last, each object by itself.

        An object that is hidden teaches an empty mask for as long as the warped mask still shows
        something; then, as at test, its propagation is over.
        """
        labels, previous = batch["labels"].long(), batch["previous"]
        T = labels.shape[1]
        clip, k = (previous > 127).flatten(2).any(2).nonzero(as_tuple=True)
        if len(clip) > self.options.most_objects:
            chosen = torch.randperm(len(clip))[: self.options.most_objects].to(clip.device)
            clip, k = clip[chosen], k[chosen]
        low, high = self.options.enlargement
        enlargement = low + (high - low) * float(torch.rand(()))
        start = previous[clip, k].float() / 255
        found = self._recalled(features, labels, clip, k, start)
        first = None if found is None else found[0]
        followed = begin_to_follow(self.network, seen, clip * T + 1, start, enlargement, first)
        alive = torch.ones_like(clip, dtype=torch.bool)
        losses, overlaps = [], []
        for t in range(2, T):
            flow = batch["flow_backward"][:, t].permute(0, 3, 1, 2).float()
            there = None if found is None else found[t - 1]
            step = follow(self.network, seen, clip * T + t, followed, flow, clip, enlargement, there)
            followed, alive = step.followed, alive & step.present
            shown = labels[clip[alive], t]
            losses.append(
                self._mask_loss(step.mask_logits[alive], shown, k[alive] + 1, followed.boxes[alive])
            )
            overlaps.append(_overlap(followed.masks, labels[clip, t], k + 1, alive))
        parts = {"propagation": torch.stack(losses).mean(), "iou": torch.stack(overlaps).mean()}
        if found is not None and self.options.matching:
            parts["matching"] = matching_loss(found[1:], labels, clip, k)
        return parts

    def _recalled(
        self,
        features: FrameFeatures,
        labels: Int64[Tensor, "B T H W"],
        clip: Int64[Tensor, "N"],
        k: Int64[Tensor, "N"],
        start: Float[Tensor, "N H W"],
    ) -> Float[Tensor, "_ N 2 h w"] | None:
        """What each frame after the reference recalls of the objects; None without a matching guide.

        They are annotated on the reference, on the start frame, or on both; on the start frame always
        where the reference does not show all of them.
        """
        if features.embedding is None:
            return None
        B, T = labels.shape[:2]
        embedding = features.embedding.view(B, T, *features.embedding.shape[1:])
        grid = (embedding.shape[-2], embedding.shape[-1])
        shown = (labels[clip, 0] == (k + 1).view(-1, 1, 1)).float()
        found: Tensor = embedding.new_zeros(T - 1, len(k), MAPS, *grid, dtype=torch.float32)
        for b in sorted(set(clip.tolist())):
            own = clip == b
            drawn = float(torch.rand(()))
            unseen = bool((shown[own].flatten(1).sum(1) < self.options.min_pixels).any())
            annotated = []
            if drawn > 0.2:
                annotated.append(annotated_cells(embedding[b, 0], resize_area(shown[own], grid)))
            if drawn < 0.4 or unseen:
                annotated.append(annotated_cells(embedding[b, 1], resize_area(start[own], grid)))
            cells = AnnotatedCells.joined(annotated)
            maps = [guide_maps(recalled_by_frame(embedding[b, t], cells)) for t in range(1, T)]
            times = torch.arange(T - 1, device=own.device)[:, None]
            found = found.index_put((times, own.nonzero().T), torch.stack(maps))
        return found

    def _mask_loss(
        self,
        logits: Float[Tensor, "N M M"],
        labels: Int64[Tensor, "N H W"],
        object_id: Int64[Tensor, "N"],
        boxes: Float[Tensor, "N 4"],
    ) -> Float[Tensor, ""]:
        """Of each object's mask on the grid of its box."""
        truth = (labels == object_id.view(-1, 1, 1)).float()
        decided = (labels != VOID).float()
        M = logits.shape[-1]
        # Cells outside the frame are 0 in both, and count nothing: whether the object goes on is not known.
        share = cropped(decided, boxes, M)
        targets = cropped(truth, boxes, M) / share.clamp_min(1e-3)
        return region_loss(logits, targets.clamp(0, 1), share, self.options.mask)


def matching_loss(
    recalled: Float[Tensor, "T N 2 h w"],
    labels: Int64[Tensor, "B _ H W"],
    clip: Int64[Tensor, "N"],
    k: Int64[Tensor, "N"],
) -> Float[Tensor, ""]:
    """Cross-entropy of each object's recalled share of every cell of the frames behind the start frame."""
    shown = labels[clip, 2:].transpose(0, 1)
    grid = (recalled.shape[-2], recalled.shape[-1])
    decided = resize_area((shown != VOID).float(), grid)
    truth = resize_area((shown == (k + 1).view(1, -1, 1, 1)).float(), grid)
    share = recalled[:, :, 0].clamp(1e-4, 1 - 1e-4)
    entropy = -(truth * share.log() + (decided - truth).clamp_min(0) * (1 - share).log())
    return entropy.sum() / decided.sum().clamp_min(1)


@torch.no_grad()
def _overlap(
    masks: Float[Tensor, "N H W"],
    labels: Int64[Tensor, "N H W"],
    object_id: Int64[Tensor, "N"],
    alive: Tensor,
) -> Float[Tensor, ""]:
    """The mean IoU with the truth of the objects that a frame shows, for the curve."""
    truth = labels == object_id.view(-1, 1, 1)
    found = (masks > 0.5) & alive.view(-1, 1, 1) & (labels != VOID)
    union = (found | truth).flatten(1).sum(1)
    overlap = (found & truth).flatten(1).sum(1) / union.clamp_min(1)
    occurs = truth.flatten(1).any(1)
    return (overlap * occurs).sum() / occurs.sum().clamp_min(1)


def _most(labels: Int64[Tensor, "..."]) -> int:
    """The highest id of an object."""
    return int(torch.where(labels == VOID, 0, labels).max())


def _flow_of(batch: Mapping[str, Tensor], pictures: Float[Tensor, "F 3 H W"]) -> Float[Tensor, "F 2 H W"]:
    """Flow to the frame before; 0 where there is none, as for a reference."""
    if "flow_backward" not in batch:
        return pictures.new_zeros(len(pictures), 2, *pictures.shape[-2:])
    return batch["flow_backward"].flatten(0, 1).permute(0, 3, 1, 2).float()
