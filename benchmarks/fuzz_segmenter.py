"""A segmenter and a training task of next to no computation, for the files of `fuzz_work.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tinct.data.samplers import ClipOptions, Clips
from tinct.errors import NumericalError
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.training.stages import AdamW, CosineSchedule, Stage, Task


@dataclass(frozen=True)
class ShiftingState:
    """The objects, their probabilities [N, H, W], and the frames behind."""

    object_ids: tuple[int, ...]
    probs: torch.Tensor
    frames: int


class Shifting(StreamingSegmenter[ShiftingState]):
    """Moves the masks by one pixel a frame, and lets them drift with the brightness."""

    stop_at: ClassVar[int | None] = None

    @classmethod
    @contextmanager
    def failing_at(cls, frame: int | None) -> Iterator[None]:
        """Within this block the step to that frame fails."""
        cls.stop_at = frame
        try:
            yield
        finally:
            cls.stop_at = None

    def start(self, frame: np.ndarray, labels: np.ndarray) -> ShiftingState:
        """The painted masks."""
        masks = ObjectMasks.from_label_map(labels)
        return ShiftingState(masks.object_ids, torch.from_numpy(masks.probs), 1)

    def step(
        self, state: ShiftingState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[ShiftingState, ObjectMasks]:
        """The masks of the next frame."""
        if state.frames == self.stop_at:
            raise NumericalError("cut short")
        brightness = torch.from_numpy(frame[..., 0].astype(np.float32) / 255)
        probs = (0.9 * state.probs.roll(1, dims=2) + 0.1 * brightness).clamp(0, 1 / len(state.object_ids))
        masks = ObjectMasks(state.object_ids, probs.numpy())
        return ShiftingState(state.object_ids, probs, state.frames + 1), masks


class Noise(Clips):
    """A square on noise."""

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Frames and label maps."""
        T, (H, W) = self.options.frames, self.options.size
        label_maps = np.zeros((T, H, W), np.uint8)
        label_maps[:, 2:6, 2:6] = 1
        return random.integers(0, 256, (T, H, W, 3)).astype(np.uint8), label_maps

    def describe(self) -> str:
        """What decides the clips."""
        return f"noise, {self.options}"


class Brightness(Task):
    """Learns with two weights where the square is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.network = nn.Conv2d(3, 2, 1)

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss."""
        frames = batch["frames"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        loss = nn.functional.cross_entropy(self.network(frames), batch["labels"].flatten(0, 1).long())
        return loss, {"loss": loss.detach()}

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """All of them, at the full rate."""
        return [(list(self.network.parameters()), 1.0)]


def brightness_stages() -> list[Stage]:
    """One stage of three steps."""
    clips = Noise(ClipOptions(size=(8, 8), frames=3, min_reference_pixels=4, seed=1))
    return [Stage("only", clips, 3, 2, 0.01, CosineSchedule(1), AdamW(1e-3), 1.0, ema_decay=0.5)]
