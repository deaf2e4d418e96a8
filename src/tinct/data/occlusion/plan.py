"""The plan of an occlusion clip: position, size and depth of every object in every frame.

Lengths are fractions of the frame: x of its width, all others of its height. An object's size is the
side of a square with the area of its box. Objects lower in the frame are nearer and larger, and cover
those that are higher. A trajectory has segments; between two of them, while the object is invisible,
its side, size, pose and lighting change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinct.data.occlusion.objects import Cutout
from tinct.errors import OptionError
from tinct.shapes import Float, Image, holds_arrays

Curve = Float[np.ndarray, "T"]
"""One value per frame of the clip."""


@dataclass(frozen=True)
class OcclusionOptions:
    """What occlusion clips look like.

    Attributes:
        size: (H, W) in pixels.
        frames: Minimum and maximum number of frames.
        objects: Minimum and maximum number of objects.
        size_change: Minimum and maximum factor by which an object is larger or smaller after it reappears.
        gone: Minimum and maximum number of frames for which a returning object is planned to be gone.
        alike: Share of clips in which two objects are of one kind.
        distractor: Share of clips with a look-alike that is no object.
        seed: Clip i is a function of (seed, i) alone.

    Raises:
        OptionError: A number is out of its range.
    """

    size: tuple[int, int] = (480, 854)
    frames: tuple[int, int] = (40, 60)
    objects: tuple[int, int] = (2, 3)
    size_change: tuple[float, float] = (1.3, 1.9)
    gone: tuple[int, int] = (4, 9)
    alike: float = 0.25
    distractor: float = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = (self.frames, self.objects, self.size_change, self.gone)
        if any(least > most for least, most in ranges) or min(self.size) < 32 or self.seed < 0:
            raise OptionError(
                f"Occlusion clips with size = {self.size}, frames = {self.frames}, objects = {self.objects}, "
                f"size_change = {self.size_change}, gone = {self.gone} and seed = {self.seed} came; the "
                "least comes before the most, sides have 32 pixels or more, and the seed starts at 0."
            )
        if self.frames[0] < 24 or self.objects[0] < 2 or self.size_change[0] < 1 or self.gone[0] < 3:
            raise OptionError(
                f"Occlusion clips of {self.frames[0]} frames, {self.objects[0]} objects, a change of size by "
                f"{self.size_change[0]} and {self.gone[0]} frames away came; going and coming back takes 24 "
                "frames, a crossing 2 objects, a change is 1 or more, and away is 3 frames or more."
            )


@holds_arrays
@dataclass(frozen=True, repr=False)
class TrajectorySegment:
    """One visible part of an object's trajectory.

    Attributes:
        first: Its first frame; it lasts until the next segment.
        cutouts: The pictures of the object, shown in turn forwards and backwards.
        x, bottom, size, turn_degrees: Curves over the whole clip; only this segment's frames are used.
        depth: A curve that orders objects by depth: `bottom` without the ups and downs of walking.
        mirrored: Whether left and right are swapped.
        bends: Displacement fields at the clip's start and end, in fractions of the picture; shared by
            all cut-outs.
    """

    first: int
    cutouts: tuple[Cutout, ...]
    x: Curve
    bottom: Curve
    size: Curve
    turn_degrees: Curve
    depth: Curve
    mirrored: bool
    bends: tuple[Float[np.ndarray, "b b 2"], Float[np.ndarray, "b b 2"]]

    def cutout(self, t: int) -> Cutout:
        """The cut-out shown in frame t."""
        period = max(1, 2 * len(self.cutouts) - 2)
        step = (t - self.first) % period
        return self.cutouts[min(step, period - step)]

    def zoom(self, t: int, rows: int) -> float:
        """Frame pixels per pixel of the cut-out, for a frame of `rows` rows."""
        return float(self.size[t]) * rows / math.sqrt(math.prod(self.cutouts[0].size))


@dataclass(frozen=True)
class ObjectTrajectory:
    """One object, occluder or distractor, and its motion through a clip.

    Attributes:
        source: The picture or video that it was cut out of.
        role: "leaves", "behind", "crosses", "hides others" or "looks alike".
        object_id: The id in the label maps; 0 for occluders and distractors that are no objects.
        segments: In order of time; the first begins at frame 0.
    """

    source: str
    role: str
    object_id: int
    segments: tuple[TrajectorySegment, ...]

    def segment(self, t: int) -> TrajectorySegment:
        """The segment that holds frame t."""
        return [segment for segment in self.segments if segment.first <= t][-1]


@holds_arrays
@dataclass(frozen=True, repr=False)
class ClipPlan:
    """A clip before it is rendered.

    Attributes:
        frames: The number of frames.
        background: The name of the background.
        picture: The pixels of the background.
        trajectories: In any order.
        camera: Per frame the zoom, and the shift in fractions of (W, H): [T, 3].
    """

    frames: int
    background: str
    picture: Image
    trajectories: tuple[ObjectTrajectory, ...]
    camera: Float[np.ndarray, "T 3"]
