"""Clips in which objects cross, hide and leave, and return at another size, place and pose.

Made from objects of photos and videos over real backgrounds, with exact ground truth: the label maps,
and whether each object is visible, hidden, outside or back again. The scores after an absence show
whether a method re-identifies objects or only propagates masks (DyeNet, section 1).

A clip is a pure function of (seed, index) and of the pictures. What it is made from decides whether
it may be learnt from: the benchmark takes `tinct.data.held_out`, training the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinct.data.occlusion.objects import BackgroundPool, ForegroundObject, ObjectPool
from tinct.data.occlusion.plan import ClipPlan, ObjectTrajectory, OcclusionOptions
from tinct.data.occlusion.rendering import add_blur_and_grain, back_to_front, render_background, render_object
from tinct.data.occlusion.trajectories import Occluder, TrajectorySampler
from tinct.data.synthetic import Layer, Random, compose
from tinct.data.visibility import (
    Disappearance,
    States,
    Visibility,
    disappearances,
    gone_of,
    visibility_states,
)
from tinct.errors import DatasetError
from tinct.shapes import Float, UInt8, holds_arrays

FIRST_FRAME_SHARE = 0.6
"""The least share of an object that the first frame must show, since the prompt is made there."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class VisibilityTrace:
    """The visibility of one object in every frame of a clip.

    Attributes:
        source: The photo or video that it was cut out of.
        role: How it moves: "leaves", "behind", "crosses" or "hides others".
        states: Its `Visibility` in every frame.
        sizes: Its size in every frame, visible or not: the side, as a fraction of the frame's height, of a
            square with the area of its box.
        shares: Its visible share in every frame, from 0 to 1.
    """

    source: str
    role: str
    states: States
    sizes: Float[np.ndarray, "T"]
    shares: Float[np.ndarray, "T"]

    @property
    def disappearances(self) -> tuple[Disappearance, ...]:
        """The periods in which it is hidden or outside."""
        return disappearances(self.states, self.sizes)

    @property
    def reappears(self) -> bool:
        """Whether any frame shows it again after a disappearance."""
        return bool((self.states == Visibility.REAPPEARED).any())


@holds_arrays
@dataclass(frozen=True, repr=False)
class OcclusionClip:
    """A clip with its ground truth.

    Attributes:
        images: uint8 RGB [T, H, W, 3].
        labels: uint8 [T, H, W]: ids 1 to n, all of which the first frame shows.
        objects: Visibility traces by object id.
        background: The name of the background.
        others: (role, source) of everything shown that is not an object: occluders and distractors.
    """

    images: UInt8[np.ndarray, "T H W 3"]
    labels: UInt8[np.ndarray, "T H W"]
    objects: Mapping[int, VisibilityTrace]
    background: str
    others: tuple[tuple[str, str], ...]


class OcclusionClips:
    """An endless sequence of clips, one per index.

    Args:
        objects: The pool that objects are drawn from.
        backgrounds: The pool that backgrounds are drawn from.
        options: What the clips look like.
    """

    ATTEMPTS = 100
    """Plans sampled for one index before giving up."""

    def __init__(self, objects: ObjectPool, backgrounds: BackgroundPool, options: OcclusionOptions) -> None:
        self.objects, self.backgrounds, self.options = objects, backgrounds, options

    def __getitem__(self, index: int) -> OcclusionClip:
        """Render clip `index`.

        Raises:
            DatasetError: The pictures are broken, or show too few whole objects or too little background.
        """
        H, W = self.options.size
        # A quarter of the size shows at a sixteenth of the cost whether a plan is valid.
        smaller = max(1, min(4, H // 48))
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            plan = self._plan(random)
            if plan is None or not is_valid(plan, render_clip(plan, (H // smaller, W // smaller)).objects):
                continue
            clip = render_clip(plan, (H, W))
            if is_valid(plan, clip.objects):
                return replace(clip, images=add_blur_and_grain(clip.images, random))
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row came to nothing: no object went and came back. Give more photos "
            "or videos that show whole objects, or ask for longer clips."
        )

    def _plan(self, random: Random) -> ClipPlan | None:
        options = self.options
        frames = int(random.integers(options.frames[0], options.frames[1] + 1))
        scene = self.backgrounds.draw(random, options.size[1] / options.size[0])
        sampler = TrajectorySampler(random, frames, options)
        count = int(random.integers(options.objects[0], options.objects[1] + 1))
        ids = [int(i) + 1 for i in random.permutation(count)]
        trajectories = self._trajectories(random, sampler, ids)
        return (
            None if trajectories is None else ClipPlan(frames, *scene, tuple(trajectories), sampler.camera())
        )

    def _trajectories(
        self, random: Random, sampler: TrajectorySampler, ids: list[int]
    ) -> list[ObjectTrajectory] | None:
        """An optional occluder, the objects that go and come back, and an optional distractor."""
        trajectories: list[ObjectTrajectory] = []
        occluder: Occluder | None = None
        if random.random() < 0.75:
            hiding = self._occluder(random, sampler, ids)
            if hiding is None:
                return None
            trajectory, occluder = hiding
            trajectories.append(trajectory)
        instances: list[ForegroundObject] = []
        for object_id in [i for i in ids if i not in {t.object_id for t in trajectories}]:
            category = instances[0].category if instances and random.random() < self.options.alike else None
            instance = self.objects.draw(random, category)
            role = "behind" if occluder is not None and random.random() < 0.6 else "leaves"
            # The first one goes and comes back in every clip.
            role = "crosses" if instances and random.random() < 0.3 else role
            moving = None if instance is None else _trajectory(sampler, instance, role, object_id, occluder)
            # No cut-out serves for two objects: they could not be distinguished.
            if instance is None or moving is None or instance.source in {of.source for of in instances}:
                return None
            instances.append(instance)
            trajectories.append(moving)
        if random.random() < self.options.distractor:
            distractor = self.objects.draw(random, instances[0].category)
            if distractor is not None and distractor.source not in {of.source for of in instances}:
                trajectories.append(sampler.cross(distractor, 0, "looks alike"))
        return trajectories

    def _occluder(
        self, random: Random, sampler: TrajectorySampler, ids: list[int]
    ) -> tuple[ObjectTrajectory, Occluder] | None:
        """What hides others: a pillar, something that is no object, or one of the objects."""
        kind = random.random()
        if kind < 0.4:
            return sampler.pillar_occluder(*self.backgrounds.draw(random, 1.0))
        instance = self.objects.draw(random)
        # With two objects both move, so that neither is the occluder.
        object_id = ids[0] if kind < 0.7 and len(ids) > 2 else 0
        return None if instance is None else sampler.foreground_occluder(instance, object_id)


def _trajectory(
    sampler: TrajectorySampler,
    instance: ForegroundObject,
    role: str,
    object_id: int,
    occluder: Occluder | None,
) -> ObjectTrajectory | None:
    if role == "behind" and occluder is not None:
        return sampler.hide_and_return(instance, object_id, occluder)
    if role == "leaves":
        return sampler.leave_and_return(instance, object_id)
    return sampler.cross(instance, object_id)


def is_valid(plan: ClipPlan, objects: Mapping[int, VisibilityTrace]) -> bool:
    """Whether the rendered visibility is what the plan intends.

    All objects are visible in the first frame, where the prompt is. Objects with two segments are gone
    at the change from one to the next, and back for a fifth of the clip or more; there is one at least.
    """
    if any(trace.shares[0] < FIRST_FRAME_SHARE for trace in objects.values()):
        return False
    returning = [of for of in plan.trajectories if of.object_id and len(of.segments) > 1]
    for trajectory in returning:
        states = objects[trajectory.object_id].states
        changes = [segment.first for segment in trajectory.segments[1:]]
        unseen = all(gone_of(states)[change - 1 : change + 1].all() for change in changes)
        if not unseen or 5 * int((states == Visibility.REAPPEARED).sum()) < plan.frames:
            return False
    return bool(returning)


def render_clip(plan: ClipPlan, size: tuple[int, int]) -> OcclusionClip:
    """Render a plan at a size (H, W) in pixels, frame by frame, so that few layers are in memory at once."""
    frames = [_render_frame(plan, t, size) for t in range(plan.frames)]
    images, labels = (np.concatenate([frame[k] for frame in frames]) for k in range(2))
    counts, sizes = (np.stack([frame[k] for frame in frames]) for k in (2, 3))
    objects = {}
    for trajectory in sorted(plan.trajectories, key=lambda trajectory: trajectory.object_id):
        i = trajectory.object_id
        if i:
            visible, inside, whole = counts[:, i].T
            states = visibility_states(visible.astype(np.int64), inside.astype(np.int64), whole)
            shares = np.minimum(1.0, visible / whole)
            objects[i] = VisibilityTrace(trajectory.source, trajectory.role, states, sizes[:, i], shares)
    others = tuple(
        (trajectory.role, trajectory.source) for trajectory in plan.trajectories if not trajectory.object_id
    )
    return OcclusionClip(images, labels, objects, plan.background, others)


def _render_frame(
    plan: ClipPlan, t: int, size: tuple[int, int]
) -> tuple[
    UInt8[np.ndarray, "1 H W 3"],
    UInt8[np.ndarray, "1 H W"],
    Float[np.ndarray, "N 3"],
    Float[np.ndarray, "N"],
]:
    """Image and label map of a frame; per id its pixels (visible, inside the frame, in all), and its size."""
    layers: list[Layer] = [render_background(plan, t, size)]
    rows = 1 + max(trajectory.object_id for trajectory in plan.trajectories)
    counts, sizes = np.zeros((rows, 3)), np.zeros(rows)
    for trajectory in back_to_front(plan, t):
        layer = render_object(plan, trajectory, t, size)
        segment, zoom = trajectory.segment(t), float(plan.camera[t, 0])
        whole_px = segment.cutout(t).mask.sum() * (segment.zoom(t, size[0]) * zoom) ** 2
        counts[trajectory.object_id, 1:] = (layer.alphas > 127).sum(), whole_px
        sizes[trajectory.object_id] = segment.size[t] * zoom
        layers.append(layer)
    images, labels = compose(layers, keep_ids=True)
    counts[:, 0] = np.bincount(labels.ravel(), minlength=rows)
    return images, labels, counts, sizes
