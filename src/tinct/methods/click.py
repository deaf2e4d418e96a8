"""The masks of a frame from clicks, boxes and scribbles, by a compact network.

A first look at the whole frame says roughly where the object is; a second at that part of it, enlarged, says
it finely (FocalClick, Chen et al., CVPR 2022, and f-BRS, Sofiiuk et al., CVPR 2020, "zoom-in"). Clicks are
answered one after the other, each from the answer before, as the network learnt it; one that corrects a given
mask changes only the region that it lies in (FocalClick's "progressive merge"). What a frame and its parts
look like is cached, and so are answers, so that a further click costs no more than the decoder.

Nothing here follows one paper; `tinct.networks.click` names what it is built after.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tinct.data.clicks import draw_clicks
from tinct.inference.promptable import FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.io.masks import ObjectMasks
from tinct.networks.click import STRIDE, ClickConfig, ClickFeatures, ClickNetwork
from tinct.networks.weights import load_weights
from tinct.ops.components import touching
from tinct.shapes import BinaryMask, Float, Image

Bounds = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of the frame."""


NEAR = 0.01
"""How far from a click the change that it makes may begin, as a fraction of the frame's shorter side."""


@dataclass(frozen=True)
class Options:
    """How the network is asked.

    Attributes:
        long_side: Pixels of the longer side at which the network sees a frame or a part of it.
        zoom: Look again at the part around the first answer.
        room: How many times as large as the first answer's box that part is.
        merge: A click that corrects a given mask changes only the region that holds it.
        worth: Zoom only where the part has at most this share of the frame's area.
        cached: Frames and parts whose features are kept, and answers.
    """

    long_side: int = 320
    zoom: bool = True
    room: float = 1.4
    merge: bool = True
    worth: float = 0.7
    cached: int = 8


PRESETS = {"mobilenetv2": {"default": Options()}}
"""Variant → preset → options."""


class Clicks(PromptableSegmenter):
    """Segments one frame by prompts.

    Args:
        network: Trained.
        options: How it is asked.
        device: Where it runs; None for where the network is.
    """

    def __init__(
        self, network: ClickNetwork, options: Options | None = None, device: torch.device | None = None
    ) -> None:
        self.options = options or Options()
        self.device = device or next(network.parameters()).device
        self.network = network.to(self.device).eval()
        self._features: OrderedDict[tuple[str, Bounds], ClickFeatures] = OrderedDict()
        self._answers: OrderedDict[tuple[object, ...], Float[np.ndarray, "H W"]] = OrderedDict()

    @torch.no_grad()
    def propose(self, frame: Image, prompt: FramePrompt) -> ObjectMasks:
        """See `PromptableSegmenter.propose`."""
        H, W = frame.shape[:2]
        ids = tuple(sorted(prompt.objects))
        for object_id in ids:
            prompt.objects[object_id].check(H, W)
        digest = hashlib.sha256(frame.tobytes()).hexdigest()
        probs = [self._propose(frame, digest, prompt.objects[object_id]) for object_id in ids]
        return ObjectMasks(ids, np.stack(probs))

    def _propose(self, frame: Image, digest: str, prompt: ObjectPrompt) -> Float[np.ndarray, "H W"]:
        """Clicks are answered one after the other."""
        given = (digest, prompt.box, *map(_digest, (prompt.inside, prompt.outside, prompt.previous)))
        found, merges = prompt.previous, self.options.merge and prompt.previous is not None
        turns = _turns(prompt)
        known = [count for count in turns if (*given, prompt.points[:count]) in self._answers]
        for count in turns[turns.index(known[-1]) if known else 0 :]:
            points = prompt.points[:count]
            if (*given, points) not in self._answers:
                turn = replace(prompt, points=points, previous=found)
                answer = self._answer(frame, digest, turn)
                if merges and points and found is not None:
                    answer = _merged(found, answer, points[-1])
                _store(self._answers, (*given, points), _as_marked(answer, turn), self.options.cached)
            found = self._answers[(*given, points)]
        assert found is not None
        return found.copy()

    def _answer(self, frame: Image, digest: str, prompt: ObjectPrompt) -> Float[np.ndarray, "H W"]:
        """A look at the whole frame, and another at the part that matters."""
        H, W = frame.shape[:2]
        whole = (0, 0, W, H)
        found = self._look(frame, digest, whole, prompt, prompt.previous)
        part = self._part(found, prompt) if self.options.zoom else whole
        if (part[2] - part[0]) * (part[3] - part[1]) <= self.options.worth * H * W:
            left, top, right, bottom = part
            finer = self._look(frame, digest, part, prompt, found)
            outside = prompt.previous if prompt.previous is not None else found
            found = outside.astype(np.float32, copy=True)
            found[top:bottom, left:right] = finer
        return found

    def _part(self, found: Float[np.ndarray, "H W"], prompt: ObjectPrompt) -> Bounds:
        """Where to look again: around the answer, the box and all clicks on the object."""
        H, W = found.shape
        area = found > 0.5
        if prompt.previous is not None:
            area |= prompt.previous > 0.5
        if prompt.inside is not None:
            area |= prompt.inside
        rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
        xs = [float(x) for x, _, inside in prompt.points if inside]
        ys = [float(y) for _, y, inside in prompt.points if inside]
        if len(rows):
            xs += [float(columns[0]), float(columns[-1] + 1)]
            ys += [float(rows[0]), float(rows[-1] + 1)]
        if prompt.box is not None:
            xs += [prompt.box.x0, prompt.box.x1]
            ys += [prompt.box.y0, prompt.box.y1]
        if not xs:
            return 0, 0, W, H
        least = 0.12 * min(H, W)  # a first answer of a few pixels says little of the size
        spans = []
        for values, length in ((xs, W), (ys, H)):
            centre, span = (min(values) + max(values)) / 2, max(values) - min(values)
            spans.append((centre, max(span * self.options.room, least), length))
        longest = max(span for _, span, _ in spans)
        sides = []
        for centre, span, length in spans:
            span = max(span, 0.6 * longest)
            # In steps, so that the next click finds the features of this part in the cache.
            step = max(1, round(longest / 8))
            begin = max(0, int((centre - span / 2) // step) * step)
            sides.append((begin, min(length, -int(-(centre + span / 2) // step) * step)))
        return sides[0][0], sides[1][0], sides[0][1], sides[1][1]

    def _look(
        self,
        frame: Image,
        digest: str,
        part: Bounds,
        prompt: ObjectPrompt,
        previous: Float[np.ndarray, "H W"] | None,
    ) -> Float[np.ndarray, "h w"]:
        """The object's probability in a part of the frame, at the part's own size."""
        left, top, right, bottom = part
        height, width = bottom - top, right - left
        factor = self.options.long_side / max(height, width)
        rows, columns = (max(STRIDE, round(side * factor / STRIDE) * STRIDE) for side in (height, width))
        features = self._encoded(frame, digest, part, (rows, columns))
        maps = _prompt_maps(prompt, previous, part, (rows, columns))
        tensor = torch.from_numpy(maps)[None].to(self.device)
        owners = torch.zeros(1, dtype=torch.int64, device=self.device)
        probs = self.network(features, owners, tensor)[0].sigmoid().float().cpu().numpy()
        return np.asarray(cv2.resize(probs, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)

    def _encoded(self, frame: Image, digest: str, part: Bounds, size: tuple[int, int]) -> ClickFeatures:
        key = (digest, part)
        if key in self._features:
            self._features.move_to_end(key)
            return self._features[key]
        left, top, right, bottom = part
        cut = frame[top:bottom, left:right]
        smaller = cut.shape[0] > size[0]
        seen = cv2.resize(
            cut, (size[1], size[0]), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
        tensor = torch.from_numpy(seen).to(self.device).permute(2, 0, 1)[None].float() / 255
        features = self.network.encode(tensor.contiguous(memory_format=torch.channels_last))
        _store(self._features, key, features, self.options.cached)
        return features


def _turns(prompt: ObjectPrompt) -> range:
    """The numbers of clicks that are answered one after the other: from the first that says where to look."""
    count = len(prompt.points)
    if prompt.box is not None or prompt.scribbled:
        return range(count + 1)
    if prompt.corrects:
        return range(min(1, count), count + 1)
    return range(1 + next(i for i, point in enumerate(prompt.points) if point.inside), count + 1)


def _digest(array: BinaryMask | Float[np.ndarray, "H W"] | None) -> str | None:
    return None if array is None else hashlib.sha256(array.tobytes()).hexdigest()


def _store(cache: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    cache[key] = value
    while len(cache) > most:
        cache.popitem(last=False)


def _merged(
    before: Float[np.ndarray, "H W"], after: Float[np.ndarray, "H W"], click: Point
) -> Float[np.ndarray, "H W"]:
    """The answer before with the change that holds a click; all of the new answer where none does."""
    now, then = after > 0.5, before > 0.5
    changed = now & ~then if click.inside else then & ~now
    near = np.zeros(changed.shape, np.float32)
    draw_clicks(near, [(click.x, click.y)], max(1.0, NEAR * min(changed.shape)))
    seeds = (near > 0) & changed
    if not seeds.any():
        return after
    return np.where(touching(changed, seeds), after, before)


def _prompt_maps(
    prompt: ObjectPrompt,
    previous: Float[np.ndarray, "H W"] | None,
    part: Bounds,
    size: tuple[int, int],
) -> Float[np.ndarray, "4 h w"]:
    """What was given, at the size and place of a part: the maps of `networks.click.PROMPT_MAPS`."""
    left, top, right, bottom = part
    down, across = size[0] / (bottom - top), size[1] / (right - left)
    maps = np.zeros((4, *size), np.float32)
    for index, (scribbles, within) in enumerate(((prompt.inside, True), (prompt.outside, False))):
        if scribbles is not None:
            maps[index] = _resized(scribbles[top:bottom, left:right], size)
        points = [
            ((x - left) * across, (y - top) * down) for x, y, inside in prompt.points if inside == within
        ]
        draw_clicks(maps[index], points)
    if prompt.box is not None:
        x0, x1 = (round((x - left) * across) for x in (prompt.box.x0, prompt.box.x1))
        y0, y1 = (round((y - top) * down) for y in (prompt.box.y0, prompt.box.y1))
        maps[2, max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 1
    if previous is not None:
        maps[3] = _resized(previous[top:bottom, left:right], size)
    return maps


def _resized(map_: BinaryMask | Float[np.ndarray, "H W"], size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    smaller = map_.shape[0] > size[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(map_.astype(np.float32), size[::-1], interpolation=how), np.float32)


def _as_marked(found: Float[np.ndarray, "H W"], prompt: ObjectPrompt) -> Float[np.ndarray, "H W"]:
    """Scribbles hold exactly, and only parts that touch one stay; every click holds at its pixel."""
    if prompt.scribbled and prompt.box is None:
        assert prompt.inside is not None
        seeds = prompt.inside.copy()
        for x, y, inside in prompt.points:
            if inside:
                seeds[_pixel(float(x), float(y), found.shape)] = True
        if prompt.previous is not None:
            seeds |= prompt.previous > 0.5
        found[~touching(found > 0.5, seeds) & (found > 0.5)] = 0
    if prompt.inside is not None:
        found[prompt.inside] = 1
    if prompt.outside is not None:
        found[prompt.outside] = 0
    for x, y, inside in prompt.points:
        found[_pixel(float(x), float(y), found.shape)] = float(inside)
    return found


def _pixel(x: float, y: float, size: tuple[int, ...]) -> tuple[int, int]:
    return min(int(y), size[0] - 1), min(int(x), size[1] - 1)


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Clicks:
    """The segmenter of a variant; see `zoo.build_promptable`."""
    network = ClickNetwork(ClickConfig(backbone=variant))
    load_weights(weights, network, method="click", variant=variant)
    return Clicks(network, replace(PRESETS[variant][preset], **overrides), device)
