"""Clips in which objects cross, hide and leave, and come back at another size, place and pose.

Made from objects of photos and videos over real backgrounds, with exact truth: who is where, and
whether each object is visible, hidden, outside or back again. What a method makes of an object after
it was gone shows whether it finds objects anew or only carries masks along (DyeNet, section 1).

A clip is a pure function of (seed, index) and of the pictures. What it is made from decides whether
it may be learnt from: the benchmark takes `tinct.data.held_out`, training the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinct.data.occlusion.drawing import background, drawn, filmed, ordered
from tinct.data.occlusion.objects import Actor, Cast, Scenery
from tinct.data.occlusion.plan import OcclusionOptions, Plan, Player
from tinct.data.occlusion.trajectories import Director, Hideout
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
"""So much of an object the first frame shows at least: a prompt needs an object."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class ObjectStory:
    """What becomes of one object.

    Attributes:
        source: The photo or video that it comes from.
        role: What it was sent to do: "leaves", "behind", "crosses" or "hides others".
        states: Its `Visibility` in every frame.
        sizes: Its size in every frame, seen or not: the side, as a fraction of the frame's height, of a
            square with its box's area.
        shares: How much of it every frame shows, from 0 to 1.
    """

    source: str
    role: str
    states: States
    sizes: Float[np.ndarray, "T"]
    shares: Float[np.ndarray, "T"]

    @property
    def disappearances(self) -> tuple[Disappearance, ...]:
        """The times for which it is gone."""
        return disappearances(self.states, self.sizes)

    @property
    def reappears(self) -> bool:
        """Whether it is back again in some frame."""
        return bool((self.states == Visibility.REAPPEARED).any())


@holds_arrays
@dataclass(frozen=True, repr=False)
class OcclusionClip:
    """A clip with its truth.

    Attributes:
        images: uint8 RGB [T, H, W, 3].
        labels: uint8 [T, H, W]: ids 1 to n, all of which the first frame shows.
        objects: By id.
        background: Its name.
        others: The sources of what is shown and is no object: occluders and look-alikes, by role.
    """

    images: UInt8[np.ndarray, "T H W 3"]
    labels: UInt8[np.ndarray, "T H W"]
    objects: Mapping[int, ObjectStory]
    background: str
    others: tuple[tuple[str, str], ...]


class OcclusionClips:
    """Clips, one per index, without end.

    Args:
        cast: The objects.
        scenery: The backgrounds.
        options: What the clips look like.
    """

    ATTEMPTS = 100
    """Clips drawn for one index before it is clear that the pictures give none."""

    def __init__(self, cast: Cast, scenery: Scenery, options: OcclusionOptions) -> None:
        self.cast, self.scenery, self.options = cast, scenery, options

    def __getitem__(self, index: int) -> OcclusionClip:
        """Clip `index`.

        Raises:
            DatasetError: The pictures are broken, or show too few whole objects or too little background.
        """
        H, W = self.options.size
        # A quarter of the size shows at a sixteenth of the cost whether a plan comes off.
        smaller = max(1, min(4, H // 48))
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            plan = self._plan(random)
            if plan is None or not comes_off(plan, played(plan, (H // smaller, W // smaller)).objects):
                continue
            clip = played(plan, (H, W))
            if comes_off(plan, clip.objects):
                return replace(clip, images=filmed(clip.images, random))
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row came to nothing: no object went and came back. Give more photos "
            "or videos that show whole objects, or ask for longer clips."
        )

    def _plan(self, random: Random) -> Plan | None:
        options = self.options
        frames = int(random.integers(options.frames[0], options.frames[1] + 1))
        scene = self.scenery.draw(random, options.size[1] / options.size[0])
        director = Director(random, frames, options)
        count = int(random.integers(options.objects[0], options.objects[1] + 1))
        ids = [int(i) + 1 for i in random.permutation(count)]
        players = self._players(random, director, ids)
        return None if players is None else Plan(frames, *scene, tuple(players), director.camera())

    def _players(self, random: Random, director: Director, ids: list[int]) -> list[Player] | None:
        """Somebody who hides others, those who go and come back, and perhaps a look-alike."""
        players: list[Player] = []
        hideout: Hideout | None = None
        if random.random() < 0.75:
            hiding = self._hiding(random, director, ids)
            if hiding is None:
                return None
            players.append(hiding[0])
            hideout = hiding[1]
        actors: list[Actor] = []
        for object_id in [i for i in ids if i not in {p.object_id for p in players}]:
            kind = actors[0].kind if actors and random.random() < self.options.alike else None
            actor = self.cast.draw(random, kind)
            role = "behind" if hideout is not None and random.random() < 0.6 else "leaves"
            # The first one goes and comes back in every clip.
            role = "crosses" if actors and random.random() < 0.3 else role
            player = None if actor is None else _sent(director, actor, role, object_id, hideout)
            # Nobody plays two objects: which is which could not be told.
            if actor is None or player is None or actor.source in {a.source for a in actors}:
                return None
            actors.append(actor)
            players.append(player)
        if random.random() < self.options.distractor:
            like = self.cast.draw(random, actors[0].kind)
            if like is not None and like.source not in {a.source for a in actors}:
                players.append(director.crosses(like, 0, "looks alike"))
        return players

    def _hiding(self, random: Random, director: Director, ids: list[int]) -> tuple[Player, Hideout] | None:
        """A pillar, a thing, or one of the objects."""
        kind = random.random()
        if kind < 0.4:
            return director.pillar_before(*self.scenery.draw(random, 1.0))
        actor = self.cast.draw(random)
        # Of two objects none stands still: both are there to go or to cross.
        object_id = ids[0] if kind < 0.7 and len(ids) > 2 else 0
        return None if actor is None else director.stands_before(actor, object_id)


def _sent(
    director: Director, actor: Actor, role: str, object_id: int, hideout: Hideout | None
) -> Player | None:
    if role == "behind" and hideout is not None:
        return director.behind(actor, object_id, hideout)
    return director.leaves(actor, object_id) if role == "leaves" else director.crosses(actor, object_id)


def comes_off(plan: Plan, objects: Mapping[int, ObjectStory]) -> bool:
    """Whether everybody does what the plan wants.

    All objects are seen in the first frame, where the prompt is. Those that were sent away are gone
    when one take gives way to the next, and then back for a fifth of the clip or more.
    """
    if any(story.shares[0] < FIRST_FRAME_SHARE for story in objects.values()):
        return False
    sent = [p for p in plan.players if p.object_id and len(p.takes) > 1]
    for player in sent:
        states = objects[player.object_id].states
        changes = [take.first for take in player.takes[1:]]
        unseen = all(gone_of(states)[change - 1 : change + 1].all() for change in changes)
        if not unseen or 5 * int((states == Visibility.REAPPEARED).sum()) < plan.frames:
            return False
    return bool(sent)


def played(plan: Plan, size: tuple[int, int]) -> OcclusionClip:
    """A plan, drawn at a size (H, W) in pixels; one frame at a time, so that layers take no memory."""
    frames = [_played_frame(plan, t, size) for t in range(plan.frames)]
    images, labels = (np.concatenate([frame[k] for frame in frames]) for k in range(2))
    counts, sizes = (np.stack([frame[k] for frame in frames]) for k in (2, 3))
    objects = {}
    for player in sorted(plan.players, key=lambda player: player.object_id):
        i = player.object_id
        if i:
            visible, inside, whole = counts[:, i].T
            states = visibility_states(visible.astype(np.int64), inside.astype(np.int64), whole)
            shares = np.minimum(1.0, visible / whole)
            objects[i] = ObjectStory(player.source, player.role, states, sizes[:, i], shares)
    others = tuple((player.role, player.source) for player in plan.players if not player.object_id)
    return OcclusionClip(images, labels, objects, plan.background, others)


def _played_frame(
    plan: Plan, t: int, size: tuple[int, int]
) -> tuple[
    UInt8[np.ndarray, "1 H W 3"],
    UInt8[np.ndarray, "1 H W"],
    Float[np.ndarray, "N 3"],
    Float[np.ndarray, "N"],
]:
    """Image and label map of a frame; per id the pixels seen, inside the frame and in all; its size."""
    layers: list[Layer] = [background(plan, t, size)]
    rows = 1 + max(player.object_id for player in plan.players)
    counts, sizes = np.zeros((rows, 3)), np.zeros(rows)
    for player in ordered(plan, t):
        layer, take, zoom = drawn(plan, player, t, size), player.take(t), float(plan.camera[t, 0])
        whole_px = take.cut(t).mask.sum() * (take.zoom(t, size[0]) * zoom) ** 2
        counts[player.object_id, 1:] = (layer.alphas > 127).sum(), whole_px
        sizes[player.object_id] = take.size[t] * zoom
        layers.append(layer)
    images, labels = compose(layers, keep_ids=True)
    counts[:, 0] = np.bincount(labels.ravel(), minlength=rows)
    return images, labels, counts, sizes
