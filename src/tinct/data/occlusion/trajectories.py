"""Samples the trajectories of an occlusion clip: paths, sizes and times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from tinct.data.occlusion.objects import Cutout, ForegroundObject, pillar_cutout, relight
from tinct.data.occlusion.plan import Curve, ObjectTrajectory, OcclusionOptions, TrajectorySegment
from tinct.data.synthetic import Random, bend_field
from tinct.shapes import Float, Image


@dataclass(frozen=True)
class Occluder:
    """The region that something in the foreground covers.

    Attributes:
        x: Its centre, as a fraction of the frame's width.
        y: Its centre, as a fraction of the frame's height; None if it covers all heights.
        reach: Half its width, or the radius of a disc where `y` is given; a fraction of the height.
    """

    x: float
    y: float | None
    reach: float

    def largest_hidden_size(self, cutout: Cutout) -> float:
        """The largest size at which an object is fully covered."""
        h, w = cutout.size
        tall = math.sqrt(h / w)
        if self.y is None:
            return 1.8 * self.reach * tall
        return 2.1 * self.reach / math.hypot(tall, 1 / tall)


LIGHT = 0.5
"""Strength of the change of colours while an object is gone, for `jitter_colours`."""

LARGEST, SMALLEST = 0.5, 0.18
"""Limits of the sizes of moving objects."""


def largest_size(cutout: Cutout, aspect: float) -> float:
    """The largest size at which an object leaves room for others in a frame of an aspect (W / H)."""
    h, w = cutout.size
    tall = math.sqrt(h / w)
    return min(LARGEST, 0.9 / tall, 0.42 * aspect * tall)


def ground_line(size: float, cutout: Cutout) -> float:
    """The height in the frame of an object's bottom: larger objects are nearer, and so lower in the frame."""
    tall = math.sqrt(cutout.size[0] / cutout.size[1])
    return min(0.97, max(0.55 + 0.6 * size, size * tall + 0.02))


def smooth_curve(keys: list[tuple[float, float]], frames: int, window: int = 7) -> Curve:
    """A curve through values at times, rounded over `window` frames; constant before and after them."""
    reach = window // 2
    times, values = zip(*keys, strict=True)
    plain = np.interp(np.arange(-reach, frames + reach), times, values)
    weights = np.hanning(window + 2)[1:-1]
    return np.asarray(np.convolve(plain, weights / weights.sum(), mode="valid"))


class TrajectorySampler:
    """Samples what the objects of one clip do.

    Args:
        random: The source of randomness.
        frames: The number of frames of the clip.
        options: What clips look like.
    """

    def __init__(self, random: Random, frames: int, options: OcclusionOptions) -> None:
        self.random, self.frames, self.options = random, frames, options
        self.aspect = options.size[1] / options.size[0]

    def leave_and_return(self, instance: ForegroundObject, object_id: int) -> ObjectTrajectory | None:
        """An object that leaves the frame, and returns on the same side or on the other one.

        Returns:
            None if the object is too narrow or too tall for the change of size.
        """
        random, cutouts = self.random, self._two_poses(instance)
        sizes = self._two_sizes(min(largest_size(of[0], self.aspect) for of in cutouts))
        if sizes is None:
            return None
        out, back = self._times()
        side, back_side = (int(random.integers(2)) for _ in range(2))
        beyond = [self._beyond(size, of[0]) for size, of in zip(sizes, cutouts, strict=True)]
        start = random.uniform(0.15, 0.55)
        keys = [(0.0, start), (0.35 * out, start + 0.1), (float(out), 1 + beyond[0])]
        return_keys = [
            (float(back), -beyond[1]),
            (back + random.uniform(9, 14), random.uniform(0.25, 0.5)),
            (float(self.frames), random.uniform(0.4, 0.7)),
        ]
        # Paths to the right may be mirrored: on either side they are short enough for their time.
        paths = [_facing(keys, side), _facing(return_keys, back_side)]
        return self._two_segments(instance, "leaves", object_id, cutouts, sizes, paths, (out + back) // 2)

    def hide_and_return(
        self, instance: ForegroundObject, object_id: int, occluder: Occluder
    ) -> ObjectTrajectory | None:
        """An object that moves behind an occluder, stays there for a while, and comes out.

        Returns:
            None if the occluder or the object is too small for the change of size.
        """
        random, cutouts = self.random, self._two_poses(instance)
        sizes = self._two_sizes(
            min(min(largest_size(of[0], self.aspect), occluder.largest_hidden_size(of[0])) for of in cutouts)
        )
        if sizes is None:
            return None
        out, back = self._times()
        side = float(random.choice([-1, 1]))
        other = side if random.random() < 0.3 else -side
        from_x, to_x = (
            float(np.clip(occluder.x + s * random.uniform(0.25, 0.4), 0.13, 0.87)) for s in (side, other)
        )
        here = occluder.x
        paths = [
            [(0.0, from_x), (0.4 * out, from_x - 0.05 * side), (float(out), here)],
            [(float(back), here), (back + random.uniform(9, 14), to_x), (float(self.frames), to_x)],
        ]
        middle = (out + back) // 2
        return self._two_segments(
            instance, "behind", object_id, cutouts, sizes, paths, middle, occluder, (out, back)
        )

    def cross(self, instance: ForegroundObject, object_id: int, role: str = "crosses") -> ObjectTrajectory:
        """An object that moves from one side to the other, in front of those that are farther away."""
        random = self.random
        cutouts = instance.poses[0]
        most = largest_size(cutouts[0], self.aspect)
        size = random.uniform(max(SMALLEST, 0.5 * most), most)
        path = [(0.0, random.uniform(0.12, 0.3)), (float(self.frames), random.uniform(0.7, 0.88))]
        x = _facing(path, int(random.integers(2)))
        sizes = [(0.0, size * random.uniform(0.85, 1.0)), (float(self.frames), size)]
        segment = self._segment(0, cutouts, x, sizes, bottoms=None)
        return ObjectTrajectory(instance.source, role, object_id, (segment,))

    def foreground_occluder(
        self, instance: ForegroundObject, object_id: int
    ) -> tuple[ObjectTrajectory, Occluder]:
        """A large object that stands in the foreground, and the region that it covers."""
        random, cutouts = self.random, instance.poses[0][:1]
        h, w = cutouts[0].size
        tall = math.sqrt(h / w)
        size = min(random.uniform(0.6, 0.95), 1.0 / tall, 0.55 * self.aspect * tall)
        x, bottom = random.uniform(0.36, 0.64), max(random.uniform(0.99, 1.05), size * tall)
        sway = random.uniform(-0.05, 0.05, 2) * (object_id > 0)
        third = self.frames / 3
        path = [(0.0, x + sway[0]), (0.6 * third, x), (2.1 * third, x), (float(self.frames), x + sway[1])]
        ends = [(0.0, bottom), (float(self.frames), bottom)]
        segment = self._segment(0, cutouts, path, [(0.0, size)], ends, still=True)
        trajectory = ObjectTrajectory(instance.source, "hides others", object_id, (segment,))
        return trajectory, _covered_disc(segment, x, bottom, self.aspect)

    def pillar_occluder(self, source: str, picture: Image) -> tuple[ObjectTrajectory, Occluder]:
        """A pillar or wall in the foreground, over the whole height of the frame, and its region."""
        random = self.random
        cutout = relight([pillar_cutout(picture, random)], random, 0.5)[0]
        h, w = cutout.size
        height = 1.5
        x, size = random.uniform(0.33, 0.67), height * math.sqrt(w / h)
        segment = self._segment(0, (cutout,), [(0.0, x)], [(0.0, size)], [(0.0, 1.25)], still=True)
        return ObjectTrajectory(source, "hides others", 0, (segment,)), Occluder(x, None, height * w / h / 2)

    def camera(self) -> Float[np.ndarray, "T 3"]:
        """A slow pan and zoom with a slight shake, as of a hand-held camera: zoom and shift per frame."""
        random, T = self.random, self.frames
        zooms = [(t, random.uniform(1.0, 1.08)) for t in (0.0, T / 2, float(T))]
        shifts = [[(t, random.uniform(-0.04, 0.04)) for t in (0.0, T / 2, float(T))] for _ in range(2)]
        shake = 0.0012 * np.stack([_swing(random, T, 9.0) for _ in range(2)], 1)
        pan = np.stack([smooth_curve(keys, T, 15) for keys in shifts], 1) + shake
        return np.column_stack([smooth_curve(zooms, T, 15), pan])

    def _times(self) -> tuple[int, int]:
        """The frames at which an object disappears and returns."""
        random, T = self.random, self.frames
        out = int(T * random.uniform(0.25, 0.42))
        return out, out + int(random.integers(self.options.gone[0], self.options.gone[1] + 1))

    def _two_poses(self, instance: ForegroundObject) -> list[tuple[Cutout, ...]]:
        """An object's cut-outs before and after its absence, each with its own change of light."""
        return [relight(instance.poses[k % len(instance.poses)], self.random, LIGHT) for k in range(2)]

    def _two_sizes(self, most: float) -> tuple[float, float] | None:
        """Sizes before and after the absence; None if there is no room for the change."""
        random = self.random
        change = float(np.exp(random.uniform(*np.log(self.options.size_change))))
        if SMALLEST * change > most:
            return None
        small = random.uniform(SMALLEST, most / change)
        sizes = (small, small * change)
        return sizes if random.random() < 0.6 else sizes[::-1]

    def _beyond(self, size: float, cutout: Cutout) -> float:
        """The distance beyond the frame's side at which an object is out of the camera's view."""
        return 0.52 * size * math.sqrt(cutout.size[1] / cutout.size[0]) / self.aspect + 0.07

    def _two_segments(
        self,
        instance: ForegroundObject,
        role: str,
        object_id: int,
        cutouts: list[tuple[Cutout, ...]],
        sizes: tuple[float, float],
        paths: list[list[tuple[float, float]]],
        change: int,
        occluder: Occluder | None = None,
        away: tuple[int, int] = (0, 0),
    ) -> ObjectTrajectory:
        """A trajectory of two segments; pose, light and size change between them."""
        drift = self.random.uniform(0.9, 1.1, 2)
        # Sizes are constant around the absence, so that their ratio is the sampled one.
        size_keys = [
            [(0.0, sizes[0] * drift[0]), (0.6 * change, sizes[0])],
            [(change + 0.4 * (self.frames - change), sizes[1]), (float(self.frames), sizes[1] * drift[1])],
        ]
        segments = []
        for k, first in enumerate((0, change)):
            bottoms = None
            if occluder is not None and occluder.y is not None:
                h, w = cutouts[k][0].size
                inside = occluder.y + sizes[k] * math.sqrt(h / w) / 2
                ends = (float(self.frames), ground_line(sizes[k], cutouts[k][0]))
                here = float(away[k]), inside
                bottoms = [(0.0, ends[1]), here] if k == 0 else [here, ends]
            segments.append(self._segment(first, cutouts[k], paths[k], size_keys[k], bottoms))
        return ObjectTrajectory(instance.source, role, object_id, tuple(segments))

    def _segment(
        self,
        first: int,
        cutouts: tuple[Cutout, ...],
        path: list[tuple[float, float]],
        sizes: list[tuple[float, float]],
        bottoms: list[tuple[float, float]] | None,
        *,
        still: bool = False,
    ) -> TrajectorySegment:
        """A segment along a path; what is not `still` bobs, sways and bends as it moves."""
        random, T = self.random, self.frames
        size = smooth_curve(sizes, T)
        stood = np.array([ground_line(float(s), cutouts[0]) for s in size])
        depth = bottom = stood if bottoms is None else smooth_curve(bottoms, T)
        turn = np.zeros(T)
        if not still:
            bottom = bottom + 0.006 * _swing(random, T, 6.0)
            turn = random.uniform(-6, 6) + 2.5 * _swing(random, T, 10.0)
        # A field of 16×16 displacements, each a fraction of the picture.
        bends = [bend_field(random, (0.003 if still else 0.02) / 16, (16, 16)) for _ in range(2)]
        mirrored = bool(random.random() < 0.5)
        x = smooth_curve(path, T)
        return TrajectorySegment(first, cutouts, x, bottom, size, turn, depth, mirrored, (bends[0], bends[1]))


def _facing(keys: list[tuple[float, float]], side: int) -> list[tuple[float, float]]:
    """A path to the right as it is, or mirrored to the left."""
    return [(t, 1 - x) for t, x in keys] if side else keys


def _swing(random: Random, frames: int, period: float) -> Curve:
    """A sine between -1 and 1 with a period of about `period` frames."""
    pace = 2 * np.pi / (period * random.uniform(0.8, 1.3))
    return np.asarray(np.sin(pace * np.arange(frames) + random.uniform(0, 2 * np.pi)))


def _covered_disc(segment: TrajectorySegment, x: float, bottom: float, aspect: float) -> Occluder:
    """The largest disc inside an object that stands in the foreground."""
    cutout = segment.cutouts[0]
    depth = cv2.distanceTransform(cutout.mask.astype(np.uint8), cv2.DIST_L2, 5)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    rows, columns = cutout.mask.shape
    zoom = segment.zoom(0, 1)
    side = -1 if segment.mirrored else 1
    return Occluder(
        x + side * zoom * (float(column) - columns / 2) / aspect,
        bottom - zoom * (rows - Cutout.MARGIN - float(row)),
        zoom * float(depth.max()),
    )
