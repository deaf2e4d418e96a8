"""What happens in an occlusion clip: who stands where in every frame, how large, and behind whom.

Lengths are fractions of the frame: x of its width, all others of its height. An object's size is the
side of a square with its box's area. What stands lower in the frame is nearer and larger, and covers
what stands higher. An object is on in takes; between two of them, while nobody sees it, it turns
round, changes its size and pose, and comes into another light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinct.data.occlusion.objects import Cut
from tinct.errors import OptionError
from tinct.shapes import Float, Image, holds_arrays

Curve = Float[np.ndarray, "T"]
"""A figure in every frame of the clip."""


@dataclass(frozen=True)
class OcclusionOptions:
    """What occlusion clips look like.

    Attributes:
        size: (H, W) in pixels.
        frames: Fewest and most in a clip.
        objects: Fewest and most in a clip.
        size_change: The size after a reappearance is so many times larger or smaller than before: least
            and most.
        gone: For so many frames an object that comes back is meant to be away: fewest and most.
        alike: Share of clips in which two objects are of one kind.
        distractor: Share of clips with a look-alike that is no object.
        seed: The clip at an index depends on it and on the index alone.

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
class Take:
    """A time for which an actor is on.

    Attributes:
        first: Its first frame; it lasts until the next take.
        cuts: The pictures that it shows in turn, there and back.
        x, bottom, size, turn_degrees: Of the whole clip, by frame; those of this take's frames count.
        depth: Likewise, who is nearer: the bottom without the ups and downs of walking.
        mirrored: Whether left and right are swapped.
        bends: The displacements of the pictures' pixels at the clip's start and end; the same for all
            pictures, in fractions of the picture.
    """

    first: int
    cuts: tuple[Cut, ...]
    x: Curve
    bottom: Curve
    size: Curve
    turn_degrees: Curve
    depth: Curve
    mirrored: bool
    bends: tuple[Float[np.ndarray, "b b 2"], Float[np.ndarray, "b b 2"]]

    def cut(self, t: int) -> Cut:
        """The picture of frame t."""
        period = max(1, 2 * len(self.cuts) - 2)
        step = (t - self.first) % period
        return self.cuts[min(step, period - step)]

    def zoom(self, t: int, rows: int) -> float:
        """Pixels of a frame of so many rows per pixel of the picture."""
        return float(self.size[t]) * rows / math.sqrt(math.prod(self.cuts[0].size))


@dataclass(frozen=True)
class Player:
    """Somebody or something that takes part.

    Attributes:
        source: Where it comes from.
        role: "leaves", "behind", "crosses", "hides others" or "looks alike".
        object_id: In the label maps; 0 for what is no object.
        takes: In order; the first begins at frame 0.
    """

    source: str
    role: str
    object_id: int
    takes: tuple[Take, ...]

    def take(self, t: int) -> Take:
        """The take of frame t."""
        return [take for take in self.takes if take.first <= t][-1]


@holds_arrays
@dataclass(frozen=True, repr=False)
class Plan:
    """A clip before it is drawn.

    Attributes:
        frames: How many.
        background: Its name.
        picture: Its pixels.
        players: In any order.
        camera: Per frame the zoom, and the shift in fractions of (W, H): [T, 3].
    """

    frames: int
    background: str
    picture: Image
    players: tuple[Player, ...]
    camera: Float[np.ndarray, "T 3"]
