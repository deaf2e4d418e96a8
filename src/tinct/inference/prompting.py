"""From clicks and boxes, as the command line writes them, to a label map."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from tinct.errors import MaskError, OptionError
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.shapes import BACKGROUND, Image, LabelMap

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_POINT = re.compile(rf"(\d+):(\d+):{_NUMBER},{_NUMBER}(,[+-])?", re.ASCII)
_BOX = re.compile(rf"(\d+):(\d+):{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", re.ASCII)


def parse_prompts(points: Iterable[str], boxes: Iterable[str]) -> Mapping[int, FramePrompt]:
    """What all points and boxes say: frame index → its prompt.

    Args:
        points: Such as `0:1:320,200`, or `0:1:310,80,-` for a point that is not on the object.
        boxes: Such as `0:1:250,90,420,330`; an object has one on a frame.

    Raises:
        OptionError: A text is malformed, an id is none, or an object has two boxes on a frame.
    """
    return frame_prompts(map(parse_point, points), map(parse_box, boxes))


def frame_prompts(
    points: Iterable[tuple[int, int, Point]], boxes: Iterable[tuple[int, int, Box]]
) -> Mapping[int, FramePrompt]:
    """Points and boxes gathered: frame index → its prompt, in the order of the frames.

    Args:
        points: (frame, object id, point) each; those of an object stay in their order.
        boxes: (frame, object id, box) each.

    Raises:
        OptionError: An object has two boxes on a frame.
    """
    given: dict[int, dict[int, ObjectPrompt]] = {}
    for frame, object_id, box in boxes:
        if object_id in given.setdefault(frame, {}):
            raise OptionError(
                f"Object {object_id} was given two boxes on frame {frame}; give one around all of it."
            )
        given[frame][object_id] = ObjectPrompt(box=box)
    for frame, object_id, point in points:
        before = given.setdefault(frame, {}).get(object_id, ObjectPrompt())
        given[frame][object_id] = replace(before, points=(*before.points, point))
    return {frame: FramePrompt(given[frame]) for frame in sorted(given)}


def parse_box(text: str) -> tuple[int, int, Box]:
    """A box as (frame, object id, box).

    Args:
        text: Such as `0:1:250,90,420,330`.

    Raises:
        OptionError: It is malformed, or its id is none.
    """
    match = _BOX.fullmatch(text)
    if match is None:
        raise OptionError(
            f"The box {text!r} came; expected INDEX:ID:X0,Y0,X1,Y1, such as 0:1:250,90,420,330."
        )
    return *_place(match, text), Box(*(float(match[i]) for i in range(3, 7)))


def parse_point(text: str) -> tuple[int, int, Point]:
    """A point as (frame, object id, point).

    Args:
        text: Such as `0:1:320,200`, or `0:1:310,80,-` for a point that is not on the object.

    Raises:
        OptionError: It is malformed, or its id is none.
    """
    match = _POINT.fullmatch(text)
    if match is None:
        raise OptionError(
            f"The point {text!r} came; expected INDEX:ID:X,Y, such as 0:1:320,200, or INDEX:ID:X,Y,- for "
            "one that is not on the object."
        )
    return *_place(match, text), Point(float(match[3]), float(match[4]), match[5] != ",-")


def _place(match: re.Match[str], text: str) -> tuple[int, int]:
    frame, object_id = int(match[1]), int(match[2])
    if not 1 <= object_id <= 254:
        raise OptionError(f"{text!r} names the object {object_id}; ids lie between 1 and 254.")
    return frame, object_id


def prompted_labels(
    segmenter: PromptableSegmenter, frame: Image, prompt: FramePrompt, labels: LabelMap | None = None
) -> LabelMap:
    """A frame's label map with the objects that a prompt asks for.

    Args:
        segmenter: Proposes them.
        frame: uint8 RGB.
        prompt: Of at least one object; points correct what `labels` shows of theirs.
        labels: [H, W], what is painted on the frame; other objects of it stay as they are.

    Raises:
        OptionError: A prompt does not say where its object is, or does not fit the frame.
        MaskError: Nothing was found of an object.
    """
    painted = np.zeros(frame.shape[:2], np.uint8) if labels is None else labels.copy()
    asked: dict[int, ObjectPrompt] = {}
    for object_id, of_object in prompt.objects.items():
        so_far = painted == object_id
        corrected = of_object.box is None and of_object.previous is None and bool(so_far.any())
        asked[object_id] = replace(of_object, previous=so_far.astype(np.float32)) if corrected else of_object
    found = segmenter.propose(frame, FramePrompt(asked))
    painted[np.isin(painted, list(asked))] = BACKGROUND
    free = painted == BACKGROUND
    for object_id in found:
        mine = found.binary(object_id) & free
        if not mine.any():
            raise MaskError(
                f"Nothing was found of object {object_id}, or all of it is painted as others; give more "
                "points, or a box around it."
            )
        painted[mine] = object_id
    return painted
