"""DyeNet's online training per video: a copy of the network learns from clips made of the annotated frames.

ECCV paper: synthetic clips of the first frame, after LucidTracker, join the training set. It reports
2,000 steps for all videos together (`tinct train dyenet`, stage "online"); here one video's own. The preset
"paper" learns what the training before learnt, by the same loss (`PAPER_TRAINING`). The other presets tune
the heads alone: the features, which cost most and are shared, stay as they are.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from tinct.data.online_clips import MOVED_FRAME, AnnotatedRegions, LabelledFrame, OnlineClips
from tinct.data.region_clips import RegionOptions
from tinct.data.synthetic import Motion
from tinct.errors import OptionError
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.descent import check_descent, clip_gradients, make_optimiser, set_rate
from tinct.fine_tuning.fine_tune import FineTuningWarning, mix_in_parent
from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.networks.dyenet.network import DyeNetNetwork
from tinct.networks.dyenet.oim import OnlineInstanceMatching
from tinct.networks.dyenet.training_network import PAPER_LOSS, DyeNetLearning, DyeNetLossOptions
from tinct.networks.flow import DisFlow, FlowEstimator, backward_flow
from tinct.networks.rates import RateFactors
from tinct.ops.losses import RegionLossOptions
from tinct.ops.precision import bfloat16_is_faster

TUNED = ("mask_network.", "reid.", "recurrent.")
"""The heads, by the names of their layers."""

RATES: RateFactors = (("reid.", 0.1), ("extractor.identity.", 0.1))
"""Re-identification learns slower, as in the recipe: a space that moves fast leaves its templates behind."""

Progress = Callable[[int, float, float], None]
"""Called as progress(steps done, seconds, loss) after every step."""

TUNING_LOSS = DyeNetLossOptions(
    proposals=0.0,
    identities=0.3,
    mask=RegionLossOptions(hardest=0.5, dice=0.5),
    most_masks=16,
    references_first=True,
)


@dataclass(frozen=True)
class OnlineTraining:
    """How a network learns from annotated frames.

    Attributes:
        budget: How long; by default not at all.
        learning_rate: The largest.
        schedule: Of the rate; see `tinct.fine_tuning.fine_tune.FineTuning`.
        clip_gradient_norm: Likewise; 0 clips nothing.
        optimiser: "adamw", or "sgd" with momentum 0.9.
        weight_decay: Of the optimiser.
        rates: Which layers learn slower.
        tuned: How the names of the layers that learn begin; empty: all that the training before teaches.
        batch: Clips of a step.
        height: Rows of a clip; its columns follow from the frames' shape.
        roi_grid: m while it learns, as in the training before; None for that of the test.
        clips: What else they look like; sizes and seed are taken from here.
        motion: Of a frame as a whole, and of the background behind objects that move.
        lucid: Share of clips that are composed again, object by object (LucidTracker: all); the others are
            an annotated frame that moves as a whole.
        loss: Its parts.
        tuned_share: The result is so much of the tuned layers and the rest of the parent's, as in
            `tinct.fine_tuning.fine_tune.FineTuning`.
        seed: Of the clips.

    Raises:
        OptionError: No such optimiser or schedule, or a number out of its range.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=0))
    learning_rate: float = 3e-4
    schedule: str = "warm-cosine"
    clip_gradient_norm: float = 2.0
    optimiser: str = "adamw"
    weight_decay: float = 1e-4
    rates: RateFactors = RATES
    tuned: tuple[str, ...] = TUNED
    batch: int = 1
    height: int = 256
    roi_grid: int | None = None
    clips: RegionOptions = field(default_factory=lambda: RegionOptions(frames=5, paste=0.0, colour=0.7))
    motion: Motion = MOVED_FRAME
    lucid: float = 0.6
    loss: DyeNetLossOptions = TUNING_LOSS
    tuned_share: float = 0.75
    seed: int = 0

    def __post_init__(self) -> None:
        check_descent(self.optimiser, self.schedule, self.clip_gradient_norm)
        if not 0 < self.tuned_share <= 1 or self.batch < 1 or self.height < 32 or self.clips.frames < 3:
            raise OptionError(
                f"tuned_share = {self.tuned_share}, batch = {self.batch}, height = {self.height} and clips "
                f"of {self.clips.frames} frames came; the share lies in (0, 1], batches start at 1, heights "
                "at 32, and clips at 3 frames."
            )


PAPER_CLIPS = RegionOptions(max_objects=10, frames=4, max_step=1, paste=0.0, degrade=1.0, colour=0.0)
"""A reference, and three frames in a row (ECCV paper: 8 videos of 4 frames); the text does not say which."""

PAPER_TRAINING = OnlineTraining(
    learning_rate=1e-4, schedule="constant", clip_gradient_norm=0.0, optimiser="sgd", weight_decay=5e-4,
    rates=(), tuned=(), batch=8, height=480, clips=replace(PAPER_CLIPS, colour=0.7),
    motion=replace(MOVED_FRAME, blank_rim=True), lucid=1.0, loss=PAPER_LOSS, tuned_share=1.0,
)  # fmt: skip
"""The layers, loss, optimiser and batch of the training before; the text gives no rate for 2,000 steps
online, and LucidTracker changes the light of every image."""


def compact_paper_training(enlargement: tuple[float, float]) -> OnlineTraining:
    """The paper's layers, loss and clips; optimiser, rates and batch are a compact network's.

    Args:
        enlargement: Of the recurrence's boxes, on which its weights were trained.
    """
    paper = PAPER_TRAINING
    return OnlineTraining(
        tuned=paper.tuned, height=paper.height, clips=paper.clips, motion=paper.motion, lucid=paper.lucid,
        tuned_share=1.0,
        loss=replace(paper.loss, enlargement=enlargement),
    )  # fmt: skip


def trained_online(
    network: DyeNetNetwork,
    annotated: Sequence[LabelledFrame],
    options: OnlineTraining,
    *,
    flow: FlowEstimator | None = None,
    progress: Progress | None = None,
) -> DyeNetNetwork:
    """A copy of a network that has learned from a video's annotated frames.

    Args:
        network: On its device; never changed.
        annotated: One or more, of one size.
        options: How long, how fast, on what.
        flow: Of the clips, which are no frames of the video; DIS if None.
        progress: Called after every step.

    Raises:
        MaskError: No frame shows an object.
    """
    tuned = deepcopy(network)
    if options.budget.is_none:
        return tuned
    regions = AnnotatedRegions(annotated, options.motion)
    rows, columns = annotated[0].labels.shape
    size = (options.height, max(8, round(options.height * columns / rows / 8) * 8))
    clips = OnlineClips(regions, replace(options.clips, size=size, seed=options.seed), options.lucid)
    layers = _set_to_learn(tuned, options.tuned)
    tuned.use_grid(options.roi_grid or network.config.roi_grid)
    table = OnlineInstanceMatching(regions.identities, queue=200).to(layers[0].device)
    run = _Run(DyeNetLearning(tuned, table, options.loss), layers, clips, options, flow or DisFlow())
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        converged = run.train(progress)
    tuned.requires_grad_(False)
    tuned.use_grid(network.config.roi_grid)
    if not converged:
        warnings.warn(
            f"Online training diverged after {run.step} steps; the network is used as it was. A smaller "
            "learning rate may help.",
            FineTuningWarning,
            stacklevel=2,
        )
        return deepcopy(network)
    mix_in_parent(tuned.parameters(), network.parameters(), options.tuned_share)
    return tuned


def _set_to_learn(network: DyeNetNetwork, tuned: tuple[str, ...]) -> list[nn.Parameter]:
    """The layers that are to learn; all others are taken out of training."""
    if not tuned:
        network.freeze_for_training()
        return [layer for layer in network.parameters() if layer.requires_grad]
    network.requires_grad_(False)
    layers = [layer for name, layer in network.named_parameters() if name.startswith(tuned)]
    for layer in layers:
        layer.requires_grad_(True)
    return layers


def tuned_for_video(
    network: DyeNetNetwork,
    annotated: Sequence[LabelledFrame],
    options: OnlineTraining,
    place: int = 0,
    networks: int = 1,
) -> DyeNetNetwork:
    """`trained_online` inside a segmenter, which reports its progress to `tinct.inference.callbacks`.

    All objects are learned together; what is reported names object 0.

    Args:
        network: Never changed.
        annotated: One or more, of one size.
        options: How long, how fast, on what.
        place: Of the network among those of an ensemble.
        networks: How many these are.
    """
    budget, last = options.budget, FineTuningProgress(0, place, networks, 0, 0.0, math.nan, 0.0, 1)

    def report(steps: int, seconds: float, loss: float) -> None:
        nonlocal last
        units = budget.steps or math.ceil(budget.seconds or 0)
        share = budget.share(steps, seconds)
        last = FineTuningProgress(0, place, networks, steps, seconds, loss, share, units)
        report_fine_tuning(last)

    with torch.inference_mode(False), torch.enable_grad():
        tuned = trained_online(network, annotated, options, progress=report)
    report_fine_tuning(replace(last, finished=True, diverged=not math.isfinite(last.loss)))
    return tuned.eval()


class _Run:
    """Online training under way."""

    def __init__(
        self,
        learning: DyeNetLearning,
        layers: list[nn.Parameter],
        clips: OnlineClips,
        options: OnlineTraining,
        flow: FlowEstimator,
    ) -> None:
        self.learning, self.layers, self.clips, self.options, self.flow = (
            learning,
            layers,
            clips,
            options,
            flow,
        )
        self.step = 0
        self.optimiser = make_optimiser(
            options.optimiser, learning.network.named_parameters(), options.learning_rate,
            options.weight_decay, options.rates,
        )  # fmt: skip
        self.device = layers[0].device
        self.lowered = bfloat16_is_faster(self.device.type)

    def train(self, progress: Progress | None) -> bool:
        """All steps, one at least; False if the loss is no number any more."""
        started = time.monotonic()
        for share in self._shares(started):
            set_rate(self.optimiser, self.options.schedule, self.step, share)
            loss = self._train_step()
            if not math.isfinite(loss):
                return False
            self.step += 1
            if progress is not None:
                progress(self.step, time.monotonic() - started, loss)
        return True

    def _shares(self, started: float) -> Iterator[float]:
        """How much of the budget is spent, before every step."""
        yield 0.0
        while (share := self.options.budget.share(self.step, time.monotonic() - started)) < 1:
            yield share

    def _train_step(self) -> float:
        first = self.step * self.options.batch
        batch = default_collate([self._clip(first + i) for i in range(self.options.batch)])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered):
            parts = self.learning.parts({name: x.to(self.device) for name, x in batch.items()})
        loss = self.options.loss.weighted(parts)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(self.layers, self.options.clip_gradient_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return float(loss.detach())

    def _clip(self, index: int) -> dict[str, Tensor]:
        """A clip with its flow, which leads from frame t ≥ 2 to the one before."""
        clip = self.clips[index]
        backward = backward_flow(self.flow, clip["frames"].numpy())
        return {**clip, "flow_backward": torch.from_numpy(backward)}
