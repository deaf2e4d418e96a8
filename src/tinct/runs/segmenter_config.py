"""Which segmenter a person wants, as plain values: it can be built anywhere, written down, and compared.

Nothing here imports torch until a segmenter is built or described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinct import zoo
from tinct.errors import OptionError
from tinct.fine_tuning.budget import Budget
from tinct.inference.bidirectional import Bidirectional, bidirectional_runs
from tinct.inference.directions import Direction
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
from tinct.io.video import Video
from tinct.shapes import LabelMap

if TYPE_CHECKING:
    from tinct.networks.flow_choice import FlowChoice

ON_DISK = {"config": "make"}
"""Options whose names in `run.json` are older than their own."""


@dataclass(frozen=True)
class SegmenterConfig:
    """What `zoo.build_segmenter` is asked for.

    Attributes:
        method: A name of `zoo.METHODS`.
        variant: None for the method's default.
        preset: `default`, `paper` or `fast`.
        weights: A safetensors file, a folder, or `hf://user/repo` (`zoo.resolve_weights`); None for the
            package's, or the hub's that the method's record names.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ... or `mps`.
        fine_tune: `auto`, `none`, steps or seconds; None for the preset's budget.
        flow: None for the method's own.
        direction: `forward`, `backward` (which whoever drives the segmenter must heed), or `both`: from
            every annotated frame forwards and backwards (`tinct.inference.bidirectional`).
        options: Fields of the method's `Options` in the place of the preset's.
        proposals: A file of boxes, a folder of such files by sequence, or a detector's name
            (`tinct.networks.dyenet.proposal_sources`); None for the method's own.
        backend: `auto`, `torch` or `onnx` (`zoo.choose_backend`).
    """

    method: str = "feelvos"
    variant: str | None = None
    preset: str = "default"
    weights: Path | str | None = None
    device: str = "auto"
    fine_tune: str | None = None
    flow: FlowChoice | None = None
    direction: Direction = "forward"
    options: Mapping[str, Any] = field(default_factory=dict)
    proposals: str | None = None
    backend: str = "auto"

    @property
    def budget(self) -> Budget | None:
        """How long each object is fine-tuned; None for a method that does not do that.

        Raises:
            OptionError: The text is no budget, or the method does not fine-tune.
        """
        if not zoo.method_record(self.method).fine_tunes and self.fine_tune is None:
            return None
        device = zoo.resolve_device(self.device)
        return zoo.fine_tuning_budget(self.method, self.variant, self.preset, self.fine_tune, device)

    @property
    def _which(self) -> tuple[str, str | None, str]:
        return self.method, self.variant, self.preset

    @property
    def per_video(self) -> bool:
        """Whether a segmenter serves one video alone: its flow or its boxes are that video's."""
        return self.proposals is not None or (self.flow is not None and self.flow.is_folder)

    def described(self) -> dict[str, Any]:
        """What makes two runs the same, for their records; keys that say nothing are left out.

        Raises:
            OptionError: There is no such method, variant, preset or budget, or flow is of no use to the
                method.
            WeightsError: The weights are missing or not what they should be.
        """
        variant = zoo.check_variant(self.method, self.variant)
        zoo.preset_options(self.method, variant, self.preset)
        located = zoo.resolve_weights(self.method, variant, self.weights)
        words: dict[str, Any] = {
            "method": self.method,
            "variant": variant,
            "preset": self.preset,
            "weights_sha256": located.sha256,
        }
        if located.hub is not None:
            words["weights"] = str(located.hub)
        budget = self.budget
        if budget is not None:
            words["fine_tuning"] = str(budget)
        if self.flow is not None:
            zoo.check_capability(self.method, "uses_flow")
            words["flow"] = self.flow.described(zoo.resolve_device(self.device))
        if self.proposals is not None:
            from tinct.networks.dyenet.proposal_sources import describe_proposals

            zoo.check_capability(self.method, "uses_proposals")
            words["proposals"] = describe_proposals(self.proposals)
        if zoo.backend_of(*self._which, self.backend, self.device, self.options) == "onnx":
            words["backend"] = "onnx"
        if self.direction != "forward":
            words["direction"] = self.direction
        if self.options:
            named = {ON_DISK.get(name, name): _plain(value) for name, value in self.options.items()}
            words["options"] = dict(sorted(named.items()))
        return words

    def build(
        self,
        video: Video | None = None,
        sequence: str | None = None,
        prompts: Mapping[int, LabelMap] | None = None,
    ) -> StreamingSegmenter[Any] | VideoSegmenter:
        """The segmenter.

        Args:
            video: What it is for; needed where `per_video`.
            sequence: The video is this sequence of a dataset.
            prompts: Its annotated frames, from which follows whose flow will be asked for; None: the first.

        Raises:
            OptionError: Something does not exist, or does not go together.
            WeightsError: The weights are missing or not what they should be.
            DatasetError: There is no folder of flow for the video, or flow that will be needed is
                missing from it, damaged or of another size.
        """
        extras: dict[str, Any] = dict(self.options)
        if self.fine_tune is not None:
            extras["fine_tune"] = self.fine_tune
        if self.flow is not None:
            zoo.check_capability(self.method, "uses_flow")
            device = zoo.resolve_device(self.device)
            options = self._preset_and_options()
            pairs = None if video is None else self._flow_pairs(options, len(video), prompts)
            extras["flow"] = self.flow.estimator(device, video, options.working_height, sequence, pairs)
        if self.proposals is not None:
            from tinct.networks.dyenet.proposal_sources import proposal_source

            zoo.check_capability(self.method, "uses_proposals")
            if video is None:
                raise OptionError(f"The proposals of {self.proposals} are for one video, and none came.")
            device = zoo.resolve_device(self.device)
            extras["proposals"] = proposal_source(self.proposals, video, device, sequence)
        if self.backend != "auto":
            extras["backend"] = self.backend
        segmenter = zoo.build_segmenter(*self._which, self.weights, self.device, **extras)
        if self.direction == "forward":
            return segmenter
        if not isinstance(segmenter, StreamingSegmenter):
            streams = zoo.method_record(self.method).streams
            raise OptionError(
                f"{self.method} with the preset {self.preset} sees whole videos, past and future, and has no "
                f"direction; leave {self.direction} out{', or take the preset default' if streams else ''}."
            )
        return Bidirectional(segmenter) if self.direction == "both" else segmenter

    def for_any_video(self) -> SegmenterConfig:
        """The same with the method's own flow and boxes: whether it can be built before a video is there."""
        return replace(self, flow=None, proposals=None) if self.per_video else self

    def _preset_and_options(self) -> Any:
        """The method's `Options`; names that it does not know are left to `build_segmenter`."""
        preset = zoo.preset_options(*self._which)
        return replace(preset, **{name: self.options[name] for name in self.options if hasattr(preset, name)})

    def _flow_pairs(
        self, options: Any, frames: int, prompts: Mapping[int, LabelMap] | None
    ) -> list[tuple[int, int]]:
        """(frame, other) of all flow that will be asked for; none from prompts outside the video."""
        if not zoo.method_record(self.method).streams:
            neighbours = ((i, i + step) for i in range(frames) for step in options.flow_steps)
            return sorted(pair for pair in neighbours if 0 <= pair[1] < frames)
        if prompts is None:
            runs = [range(frames)]
        else:
            inside = {index: labels for index, labels in prompts.items() if 0 <= index < frames}
            runs = self._runs(inside, frames)
        pairs = {
            (run[place], run[place + step])
            for run in runs
            for place in range(1, len(run))
            for step in options.flow_steps
            if place + step < len(run)
        }
        return sorted(pairs)

    def _runs(self, prompts: Mapping[int, LabelMap], frames: int) -> list[range]:
        """The frames of every run, in its order."""
        if self.direction == "both":
            return bidirectional_runs(prompts, frames)
        if self.direction == "backward":
            return [range(max(prompts, default=-1), -1, -1)]
        return [range(min(prompts, default=frames), frames)]


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
