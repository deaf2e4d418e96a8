"""The memory bank of SAM 2 and its kin as immutable values: which frames are remembered, and which are read.

The bank of an object holds every annotated frame, and of the others the last few: their spatial features for
`memory_frames` - 1 frames, their object pointers (a token each) for `pointer_frames` - 1 (SAM 2, section 4).
Nothing older is held, so that a bank does not grow with the video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from tinct.shapes import holds_arrays


@dataclass(frozen=True)
class BankSizes:
    """How far a network's memory reaches, from its config.

    Attributes:
        memory_frames: Places for frames' features; one is the annotated frames', the others go back in time.
        pointer_frames: How many frames back object pointers are read, the current frame counted.
        annotated_frames: How many annotated frames are read, the nearest ones; -1 reads all.
    """

    memory_frames: int
    pointer_frames: int
    annotated_frames: int


@holds_arrays
@dataclass(frozen=True, repr=False)
class FrameMemory:
    """What is remembered of one object on one frame.

    Attributes:
        index: Of the frame, counted along the run.
        pointer: [C], the object's token.
        features: [L, M], tokens of the frame with the object's mask; None once they are too old to be read.
    """

    index: int
    pointer: Tensor
    features: Tensor | None


@holds_arrays
@dataclass(frozen=True, repr=False)
class ObjectMemory:
    """One object's bank.

    Attributes:
        annotated: Of frames with a prompt for it, in order.
        recent: Of the last frames without one, in order.
    """

    annotated: tuple[FrameMemory, ...] = ()
    recent: tuple[FrameMemory, ...] = ()

    def with_frame(self, memory: FrameMemory, sizes: BankSizes, *, prompted: bool) -> ObjectMemory:
        """The bank after one more frame, without what no later frame will read."""
        annotated = (*self.annotated, memory) if prompted else self.annotated
        recent = self.recent if prompted else (*self.recent, memory)
        following = memory.index + 1
        young = tuple(old for old in recent if following - old.index < sizes.pointer_frames)
        limit = len(annotated) if sizes.annotated_frames < 0 else sizes.annotated_frames
        nearest = len(annotated) - limit
        return ObjectMemory(
            tuple(_aged(old, following, sizes, read=at >= nearest) for at, old in enumerate(annotated)),
            tuple(_aged(old, following, sizes, read=False) for old in young),
        )

    def frames_read(self, index: int, sizes: BankSizes) -> list[tuple[int, Tensor]]:
        """(place in time, features) of the frames that frame `index` attends to.

        An annotated frame has the place 0, however long ago it was; another one its distance. Annotated
        frames beyond the nearest ones count as the others do.
        """
        limit = len(self.annotated) if sizes.annotated_frames < 0 else sizes.annotated_frames
        nearest = self.annotated[len(self.annotated) - min(limit, len(self.annotated)) :]
        beyond = self.annotated[: len(self.annotated) - len(nearest)]
        others = {
            index - memory.index: memory.features
            for memory in (*beyond, *self.recent)
            if 0 < index - memory.index < sizes.memory_frames and memory.features is not None
        }
        read = [(0, memory.features) for memory in nearest if memory.features is not None]
        return read + sorted(others.items(), key=lambda item: -item[0])

    def pointers_read(self, index: int) -> list[tuple[int, Tensor]]:
        """(frames ago, pointer) of all frames whose pointers frame `index` attends to."""
        return [(index - memory.index, memory.pointer) for memory in (*self.annotated, *self.recent[::-1])]


def _aged(memory: FrameMemory, following: int, sizes: BankSizes, *, read: bool) -> FrameMemory:
    """Without features that frame `following` and those after it will not read."""
    needed = read or following - memory.index < sizes.memory_frames
    return memory if needed or memory.features is None else replace(memory, features=None)
