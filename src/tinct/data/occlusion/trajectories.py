"""Tells the players of an occlusion clip what to do: ways, sizes and times, drawn by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from tinct.data.occlusion.objects import Actor, Cut, pillar, relit
from tinct.data.occlusion.plan import Curve, OcclusionOptions, Player, Take
from tinct.data.synthetic import Random, bend_field
from tinct.shapes import Float, Image


@dataclass(frozen=True)
class Hideout:
    """A place where something covers what stands behind it.

    Attributes:
        x: Its centre.
        y: Its centre; None if it covers all heights.
        reach: Half the width of what it covers, or the radius of a disc where `y` is given.
    """

    x: float
    y: float | None
    reach: float

    def most(self, cut: Cut) -> float:
        """The largest size of an object that finds cover."""
        h, w = cut.size
        tall = math.sqrt(h / w)
        if self.y is None:
            return 1.8 * self.reach * tall
        return 2.1 * self.reach / math.hypot(tall, 1 / tall)


LIGHT = 0.5
"""How far the light on an object may change while it is away, as `jitter_colours` takes it."""

LARGEST, SMALLEST = 0.5, 0.18
"""Sizes of the objects that go and come."""


def largest_size(cut: Cut, aspect: float) -> float:
    """The largest size at which an object leaves room for others in a frame of an aspect (W / H)."""
    h, w = cut.size
    tall = math.sqrt(h / w)
    return min(LARGEST, 0.9 / tall, 0.42 * aspect * tall)


def ground(size: float, cut: Cut) -> float:
    """Where the bottom of an object of a size is: the larger, the nearer, the lower."""
    tall = math.sqrt(cut.size[0] / cut.size[1])
    return min(0.97, max(0.55 + 0.6 * size, size * tall + 0.02))


def smooth_curve(keys: list[tuple[float, float]], frames: int, window: int = 7) -> Curve:
    """A curve through values at times, rounded over `window` frames; constant before and after them."""
    reach = window // 2
    times, values = zip(*keys, strict=True)
    plain = np.interp(np.arange(-reach, frames + reach), times, values)
    weights = np.hanning(window + 2)[1:-1]
    return np.asarray(np.convolve(plain, weights / weights.sum(), mode="valid"))


class Director:
    """Draws what the players do.

    Args:
        random: Decides everything.
        frames: Of the clip.
        options: What clips look like.
    """

    def __init__(self, random: Random, frames: int, options: OcclusionOptions) -> None:
        self.random, self.frames, self.options = random, frames, options
        self.aspect = options.size[1] / options.size[0]

    def leaves(self, actor: Actor, object_id: int) -> Player | None:
        """It walks out of the frame, and comes back in, from the other side or from the same."""
        random, cuts = self.random, self._two_poses(actor)
        sizes = self._two_sizes(min(largest_size(of[0], self.aspect) for of in cuts))
        if sizes is None:
            return None
        out, back = self._times()
        side, back_side = (int(random.integers(2)) for _ in range(2))
        beyond = [self._beyond(size, of[0]) for size, of in zip(sizes, cuts, strict=True)]
        start = random.uniform(0.15, 0.55)
        keys = [(0.0, start), (0.35 * out, start + 0.1), (float(out), 1 + beyond[0])]
        keys_back = [
            (float(back), -beyond[1]),
            (back + random.uniform(9, 14), random.uniform(0.25, 0.5)),
            (float(self.frames), random.uniform(0.4, 0.7)),
        ]
        # To the right, or mirrored: whichever side it takes, the way is short enough for its time.
        ways = [_facing(keys, side), _facing(keys_back, back_side)]
        return self._two_takes(actor, "leaves", object_id, cuts, sizes, ways, (out + back) // 2)

    def behind(self, actor: Actor, object_id: int, hideout: Hideout) -> Player | None:
        """It goes behind something, stays there for a while, and comes out."""
        random, cuts = self.random, self._two_poses(actor)
        sizes = self._two_sizes(
            min(min(largest_size(of[0], self.aspect), hideout.most(of[0])) for of in cuts)
        )
        if sizes is None:
            return None
        out, back = self._times()
        side = float(random.choice([-1, 1]))
        other = side if random.random() < 0.3 else -side
        from_x, to_x = (
            float(np.clip(hideout.x + s * random.uniform(0.25, 0.4), 0.13, 0.87)) for s in (side, other)
        )
        here = hideout.x
        ways = [
            [(0.0, from_x), (0.4 * out, from_x - 0.05 * side), (float(out), here)],
            [(float(back), here), (back + random.uniform(9, 14), to_x), (float(self.frames), to_x)],
        ]
        middle = (out + back) // 2
        return self._two_takes(actor, "behind", object_id, cuts, sizes, ways, middle, hideout, (out, back))

    def crosses(self, actor: Actor, object_id: int, role: str = "crosses") -> Player:
        """It walks from one side to the other, in front of those that are farther away."""
        random = self.random
        cuts = actor.poses[0]
        most = largest_size(cuts[0], self.aspect)
        size = random.uniform(max(SMALLEST, 0.5 * most), most)
        way = [(0.0, random.uniform(0.12, 0.3)), (float(self.frames), random.uniform(0.7, 0.88))]
        x = _facing(way, int(random.integers(2)))
        sizes = [(0.0, size * random.uniform(0.85, 1.0)), (float(self.frames), size)]
        take = self._take(0, cuts, x, sizes, bottoms=None)
        return Player(actor.source, role, object_id, (take,))

    def stands_before(self, actor: Actor, object_id: int) -> tuple[Player, Hideout]:
        """Something large in the foreground, and the place where it covers most."""
        random, cuts = self.random, actor.poses[0][:1]
        h, w = cuts[0].size
        tall = math.sqrt(h / w)
        size = min(random.uniform(0.6, 0.95), 1.0 / tall, 0.55 * self.aspect * tall)
        x, bottom = random.uniform(0.36, 0.64), max(random.uniform(0.99, 1.05), size * tall)
        sway = random.uniform(-0.05, 0.05, 2) * (object_id > 0)
        third = self.frames / 3
        way = [(0.0, x + sway[0]), (0.6 * third, x), (2.1 * third, x), (float(self.frames), x + sway[1])]
        ends = [(0.0, bottom), (float(self.frames), bottom)]
        take = self._take(0, cuts, way, [(0.0, size)], ends, still=True)
        player = Player(actor.source, "hides others", object_id, (take,))
        return player, _cover(take, x, bottom, self.aspect)

    def pillar_before(self, source: str, picture: Image) -> tuple[Player, Hideout]:
        """A pillar or wall in the foreground, from the top of the frame to its bottom."""
        random = self.random
        cut = relit([pillar(picture, random)], random, 0.5)[0]
        h, w = cut.size
        height = 1.5
        x, size = random.uniform(0.33, 0.67), height * math.sqrt(w / h)
        take = self._take(0, (cut,), [(0.0, x)], [(0.0, size)], [(0.0, 1.25)], still=True)
        return Player(source, "hides others", 0, (take,)), Hideout(x, None, height * w / h / 2)

    def camera(self) -> Float[np.ndarray, "T 3"]:
        """A slow pan and zoom, as of a hand."""
        random, T = self.random, self.frames
        zooms = [(t, random.uniform(1.0, 1.08)) for t in (0.0, T / 2, float(T))]
        shifts = [[(t, random.uniform(-0.04, 0.04)) for t in (0.0, T / 2, float(T))] for _ in range(2)]
        shake = 0.0012 * np.stack([_swing(random, T, 9.0) for _ in range(2)], 1)
        pan = np.stack([smooth_curve(keys, T, 15) for keys in shifts], 1) + shake
        return np.column_stack([smooth_curve(zooms, T, 15), pan])

    def _times(self) -> tuple[int, int]:
        """When an object is gone, and when it comes back."""
        random, T = self.random, self.frames
        out = int(T * random.uniform(0.25, 0.42))
        return out, out + int(random.integers(self.options.gone[0], self.options.gone[1] + 1))

    def _two_poses(self, actor: Actor) -> list[tuple[Cut, ...]]:
        """What an actor shows before and after, each in a light of its own."""
        return [relit(actor.poses[k % len(actor.poses)], self.random, LIGHT) for k in range(2)]

    def _two_sizes(self, most: float) -> tuple[float, float] | None:
        """Sizes before and after; None if there is no room for the change."""
        random = self.random
        change = float(np.exp(random.uniform(*np.log(self.options.size_change))))
        if SMALLEST * change > most:
            return None
        small = random.uniform(SMALLEST, most / change)
        sizes = (small, small * change)
        return sizes if random.random() < 0.6 else sizes[::-1]

    def _beyond(self, size: float, cut: Cut) -> float:
        """How far beyond the frame's side an object must be for the camera not to see it."""
        return 0.52 * size * math.sqrt(cut.size[1] / cut.size[0]) / self.aspect + 0.07

    def _two_takes(
        self,
        actor: Actor,
        role: str,
        object_id: int,
        cuts: list[tuple[Cut, ...]],
        sizes: tuple[float, float],
        ways: list[list[tuple[float, float]]],
        change: int,
        hideout: Hideout | None = None,
        away: tuple[int, int] = (0, 0),
    ) -> Player:
        """Two takes with a change of everything between them."""
        drift = self.random.uniform(0.9, 1.1, 2)
        # Nothing grows while it is away, so that the change of size is the one that was drawn.
        grown = [
            [(0.0, sizes[0] * drift[0]), (0.6 * change, sizes[0])],
            [(change + 0.4 * (self.frames - change), sizes[1]), (float(self.frames), sizes[1] * drift[1])],
        ]
        takes = []
        for k, first in enumerate((0, change)):
            bottoms = None
            if hideout is not None and hideout.y is not None:
                h, w = cuts[k][0].size
                inside = hideout.y + sizes[k] * math.sqrt(h / w) / 2
                ends = (float(self.frames), ground(sizes[k], cuts[k][0]))
                here = float(away[k]), inside
                bottoms = [(0.0, ends[1]), here] if k == 0 else [here, ends]
            takes.append(self._take(first, cuts[k], ways[k], grown[k], bottoms))
        return Player(actor.source, role, object_id, tuple(takes))

    def _take(
        self,
        first: int,
        cuts: tuple[Cut, ...],
        way: list[tuple[float, float]],
        sizes: list[tuple[float, float]],
        bottoms: list[tuple[float, float]] | None,
        *,
        still: bool = False,
    ) -> Take:
        """A take; what is not `still` bobs, sways and bends on its way."""
        random, T = self.random, self.frames
        size = smooth_curve(sizes, T)
        stood = np.array([ground(float(s), cuts[0]) for s in size])
        depth = bottom = stood if bottoms is None else smooth_curve(bottoms, T)
        turn = np.zeros(T)
        if not still:
            bottom = bottom + 0.006 * _swing(random, T, 6.0)
            turn = random.uniform(-6, 6) + 2.5 * _swing(random, T, 10.0)
        # A field of 16×16 displacements, each a fraction of the picture.
        bends = [bend_field(random, (0.003 if still else 0.02) / 16, (16, 16)) for _ in range(2)]
        mirrored = bool(random.random() < 0.5)
        x = smooth_curve(way, T)
        return Take(first, cuts, x, bottom, size, turn, depth, mirrored, (bends[0], bends[1]))


def _facing(keys: list[tuple[float, float]], side: int) -> list[tuple[float, float]]:
    """A way to the right as it is, or the same to the left."""
    return [(t, 1 - x) for t, x in keys] if side else keys


def _swing(random: Random, frames: int, period: float) -> Curve:
    """A swing between -1 and 1, of about so many frames."""
    pace = 2 * np.pi / (period * random.uniform(0.8, 1.3))
    return np.asarray(np.sin(pace * np.arange(frames) + random.uniform(0, 2 * np.pi)))


def _cover(take: Take, x: float, bottom: float, aspect: float) -> Hideout:
    """The largest disc inside something that stands in the foreground."""
    cut = take.cuts[0]
    depth = cv2.distanceTransform(cut.mask.astype(np.uint8), cv2.DIST_L2, 5)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    rows, columns = cut.mask.shape
    zoom = take.zoom(0, 1)
    side = -1 if take.mirrored else 1
    return Hideout(
        x + side * zoom * (float(column) - columns / 2) / aspect,
        bottom - zoom * (rows - Cut.MARGIN - float(row)),
        zoom * float(depth.max()),
    )
