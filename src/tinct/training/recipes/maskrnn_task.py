"""What MaskRNN learns from clips: masks warped from frame to frame, with back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.networks.localization import proposals_of
from tinct.networks.two_streams import StreamFeatures, TwoStreamOutput, TwoStreams, VggTwoStreams
from tinct.ops.boxes import box_deltas, mask_boxes
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
    """

    frame: FrameLossOptions
    streams: float = 0.3
    localization: float = 1.0
    blind: float = 0.5
    union: bool = True
    dilation_px: int = 1


class MaskRnnTask(Task):
    """The loss of a batch of clips with flow both ways."""

    def __init__(
        self, network: nn.Module, streams: TwoStreams | VggTwoStreams, loss: MaskRnnLossOptions
    ) -> None:
        super().__init__()
        self.network = network
        self.streams, self.loss = streams, loss

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Backbones learn at a tenth of the rate, the appearance stream, which is trained, at a third."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                factor = 0.1 if ".backbone." in name else 0.3 if ".appearance." in name else 1.0
                groups.setdefault(factor, []).append(parameter)
        return [(parameters, factor) for factor, parameters in groups.items()]

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
            guide = torch.maximum(guide, warped) if self.loss.union else warped
            coarse = dilated(guide, self.loss.dilation_px)
            proposals = proposals_of(warped)
            at = slice((t - 2) * B, (t - 1) * B)
            features = StreamFeatures([m[at] for m in seen.appearance], [m[at] for m in seen.motion])
            output = self.streams(features, coarse, proposals)
            self._add_losses(output, proposals, labels[:, t], parts)
            guide = torch.sigmoid(at_size(output.fused, (guide.shape[-2], guide.shape[-1]))).unsqueeze(1)
        means = {name: torch.stack(values).mean() for name, values in parts.items()}
        total = torch.stack([self._weight(name) * value for name, value in means.items()]).sum()
        return total, {"loss": total.detach(), **{name: value.detach() for name, value in means.items()}}

    def _features(self, batch: Mapping[str, Tensor]) -> StreamFeatures:
        frames = batch["frames"][:, 2:].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        flows = [
            batch[name][:, 2:].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float()
            for name in ("flow_backward", "flow_forward")
        ]
        magnitudes = torch.stack([magnitude_image(flow) for flow in flows], 1)
        if torch.rand(()) < self.loss.blind:
            magnitudes[:, 1] = 0
        return self.streams.features(frames, magnitudes)

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
        truth = labels == 1
        targets = box_deltas(proposals, mask_boxes(truth))
        shown = truth.flatten(1).any(1).float()
        distance = F.smooth_l1_loss(output.deltas, targets.clamp(-2, 2), reduction="none").sum(1)
        found["localization"] = (distance * shown).sum() / shown.sum().clamp_min(1)
        found["iou"] = overlap_of(output.fused, labels)
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
