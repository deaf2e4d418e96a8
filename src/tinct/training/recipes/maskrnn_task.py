"""What MaskRNN learns from clips: masks warped from frame to frame, with back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.methods.maskrnn import MaskRnnNetwork
from tinct.networks.localization import box_loss, located, proposals_of
from tinct.networks.rates import grouped_by_rate
from tinct.networks.two_streams import StreamFeatures, TwoStreamOutput
from tinct.ops.boxes import inside_boxes
from tinct.ops.losses import FrameLossOptions, at_size, frame_losses
from tinct.ops.warp import magnitude_image, warp
from tinct.training.recipes.clip_task import dilated
from tinct.training.recipes.frame_task import overlap_of
from tinct.training.stages import Task


@dataclass(frozen=True)
class MaskRnnLossOptions:
    """Weights of the parts of the loss.

    Attributes:
        frame: Of the fused output.
        streams: Of each stream's own cross-entropy and Dice.
        localization: Of the smooth L1 loss of the box (the paper gives no weight).
        blind: Share of batches that do not see the flow to the next frame, as at a video's end.
        union: Join the unwarped mask to the warped one (beyond the paper), so that wrong flow does
            not lose the object.
        dilation_px: Guiding masks are dilated by so much.
        enlargement: Of the box outside of which a map is 0 before it is handed on, as at test; without a
            localization loss there is no box.
    """

    frame: FrameLossOptions
    streams: float = 0.3
    localization: float = 1.0
    blind: float = 0.5
    union: bool = True
    dilation_px: int = 1
    enlargement: float = 1.25


class MaskRnnTask(Task):
    """The loss of a batch of clips with flow both ways."""

    network: MaskRnnNetwork

    def __init__(self, network: MaskRnnNetwork, loss: MaskRnnLossOptions) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Backbones learn at a tenth of the rate, the appearance stream, which is trained, at a third."""

        def factor_of(name: str) -> float:
            return 0.1 if ".backbone." in name else 0.3 if ".appearance." in name else 1.0

        return grouped_by_rate(self.network.named_parameters(), factor_of)

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The mean over the clip's queries of all parts of the loss, weighted; and each part by itself."""
        labels = batch["labels"].long()
        B, T = labels.shape[:2]
        seen = self._features(batch)
        guide = batch["previous"][:, :1].float() / 255
        parts: dict[str, list[Tensor]] = {}
        for t in range(2, T):
            warped = warp(guide, batch["flow_backward"][:, t].float().permute(0, 3, 1, 2))
            before, guide = guide, torch.maximum(guide, warped) if self.loss.union else warped
            proposals = proposals_of(warped)
            at = slice((t - 2) * B, (t - 1) * B)
            features = StreamFeatures([m[at] for m in seen.appearance], [m[at] for m in seen.motion])
            output = self.network(features, dilated(guide, self.loss.dilation_px), proposals)
            self._add_losses(output, proposals, labels[:, t], parts)
            guide = self._handed_on(output, warped, before)
        means = {name: torch.stack(values).mean() for name, values in parts.items()}
        total = torch.stack([self._weight(name) * value for name, value in means.items()]).sum()
        return total, {"loss": total.detach(), **{name: value.detach() for name, value in means.items()}}

    def _handed_on(
        self, output: TwoStreamOutput, warped: Float[Tensor, "B 1 H W"], before: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B 1 H W"]:
        """b_t: the map, 0 outside its box."""
        size = (warped.shape[-2], warped.shape[-1])
        probs = torch.sigmoid(at_size(output.fused, size)).unsqueeze(1)
        if not self.loss.localization:
            return probs
        boxes = located(warped, output.deltas, self.loss.enlargement, before if self.loss.union else None)
        return probs * inside_boxes(boxes, size).unsqueeze(1)

    def _features(self, batch: Mapping[str, Tensor]) -> StreamFeatures:
        frames = batch["frames"][:, 2:].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        flows = [
            batch[name][:, 2:].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float()
            for name in ("flow_backward", "flow_forward")
        ]
        magnitudes = torch.stack([magnitude_image(flow) for flow in flows], 1)
        if torch.rand(()) < self.loss.blind:
            magnitudes[:, 1] = 0
        return self.network.features(frames, magnitudes)

    def _weight(self, name: str) -> float:
        if name == "iou":
            return 0.0
        if name in ("appearance", "motion"):
            return self.loss.streams
        if name == "localization":
            return self.loss.localization
        return float(getattr(self.loss.frame, name))

    def _add_losses(
        self,
        output: TwoStreamOutput,
        proposals: Float[Tensor, "B 4"],
        labels: Int64[Tensor, "B H W"],
        parts: dict[str, list[Tensor]],
    ) -> None:
        found = frame_losses(output.fused, labels, self.loss.frame)
        plain = FrameLossOptions(hardest=0.0)
        for name in ("appearance", "motion"):
            of_stream = frame_losses(getattr(output, name), labels, plain)
            found[name] = of_stream["cross_entropy"] + of_stream["dice"]
        found["localization"] = box_loss(output.deltas, proposals, labels == 1)
        found["iou"] = overlap_of(output.fused, labels)
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
