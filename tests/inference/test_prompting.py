"""Points and boxes of the command line, and the label maps that they ask for."""

from __future__ import annotations

import numpy as np
import pytest

from tinct.errors import FrameIndexError, MaskError, OptionError
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.inference.prompting import parse_prompts, prompted_labels
from tinct.inference.session import Session
from tinct.io.masks import ObjectMasks

from .test_session import Drift

FRAME = np.zeros((6, 8, 3), np.uint8)


class Squares(PromptableSegmenter):
    """Three pixels around each click, the box, and the mask so far."""

    def propose(self, frame: np.ndarray, prompt: FramePrompt) -> ObjectMasks:
        ids = tuple(sorted(prompt.objects))
        probs = np.zeros((len(ids), *frame.shape[:2]), np.float32)
        for row, object_id in zip(probs, ids, strict=True):
            given = prompt.objects[object_id]
            given.check(*frame.shape[:2])
            if given.previous is not None:
                row[:] = given.previous
            if given.box is not None:
                x0, y0, x1, y1 = (int(edge) for edge in given.box)
                row[y0:y1, x0:x1] = 0.9
            for x, y, inside in given.points:
                row[max(0, int(y) - 1) : int(y) + 2, max(0, int(x) - 1) : int(x) + 2] = float(inside)
        return ObjectMasks(ids, probs)


def test_points_and_boxes_are_gathered_by_frame_and_object() -> None:
    found = parse_prompts(["3:1:2,4.5", "0:2:1,1,+", "3:1:0,0,-", "3:9:5,5"], ["3:1:0,1,4,5", "0:4:-1,0,3,3"])
    assert list(found) == [0, 3]
    given = {(f, i): (o.points, o.box) for f, prompt in found.items() for i, o in prompt.objects.items()}
    assert given == {
        (0, 2): ((Point(1, 1),), None),
        (0, 4): ((), Box(-1, 0, 3, 3)),
        (3, 1): ((Point(2, 4.5), Point(0, 0, inside=False)), Box(0, 1, 4, 5)),
        (3, 9): ((Point(5, 5),), None),
    }


@pytest.mark.parametrize(
    ("points", "boxes", "words"),
    [
        (["0:1:3"], [], r"point '0:1:3' came; expected INDEX:ID:X,Y"),
        (["1:3,4"], [], "expected INDEX:ID:X,Y"),
        (["0:1:3,4,x"], [], "expected INDEX:ID:X,Y"),
        (["0:1:nan,4"], [], "expected INDEX:ID:X,Y"),
        (["0:0:3,4"], [], "names the object 0; ids lie between 1 and 254"),
        ([], ["0:255:0,0,1,1"], "ids lie between"),
        ([], ["0:1:0,0,1"], "expected INDEX:ID:X0,Y0,X1,Y1"),
        ([], ["0:1:0,0,1,1", "0:1:0,0,2,2"], "Object 1 was given two boxes on frame 0"),
    ],
)
def test_what_cannot_be_read_is_explained(points: list[str], boxes: list[str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_prompts(points, boxes)


def test_other_objects_stay_and_points_correct_what_is_painted() -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[:, 6:], labels[0, 0] = 5, 1
    [prompt] = parse_prompts(["0:1:3,3", "0:1:6,3", "0:2:1,5"], []).values()
    found = prompted_labels(Squares(), FRAME, prompt, labels)
    wanted = labels.copy()
    wanted[2:5, 2:6] = 1  # beyond is 5's
    wanted[4:6, :3] = np.where(wanted[4:6, :3] == 1, 1, 2)
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(MaskError, match="Nothing was found of object 3"):
        prompted_labels(Squares(), FRAME, FramePrompt({3: ObjectPrompt((Point(7.5, 3.5),))}), labels)


def test_a_session_paints_what_points_and_boxes_propose() -> None:
    frames = np.zeros((4, 6, 8, 3), np.uint8)
    session = Session(Drift(), frames, promptable=Squares())
    session.add_box(1, 2, (1.0, 1.0, 5.0, 4.0))
    assert (session.prompts[1] == 2).sum() == 12
    so_far = session.prompts[1] == 2
    found = session.add_points(1, 2, [(6.5, 4.5), Point(1.5, 1.5, inside=False)])
    twin = Session(Drift(), frames, promptable=Squares())
    again = twin.add_points(1, 2, [Point(6.5, 4.5), Point(1.5, 1.5, inside=False)], so_far)
    np.testing.assert_array_equal(found.probs, again.probs)
    np.testing.assert_array_equal(session.prompts[1], (found[2] > 0.5) * 2)
    by_mask = Session(Drift(), frames)
    by_mask.correct(1, session.prompts[1])
    for one, other in zip(session.run(), by_mask.run(), strict=True):
        np.testing.assert_array_equal(one.masks.probs, other.masks.probs)

    with pytest.raises(OptionError, match="nothing that understands points"):
        by_mask.add_points(1, 2, [(1.0, 1.0)])
    with pytest.raises(FrameIndexError, match="the video has the frames 0 to 3"):
        session.add_box(4, 1, Box(0, 0, 2, 2))
    with pytest.raises(OptionError, match="Nothing says where the object is"):
        session.add_points(2, 1, [Point(1, 1, inside=False)])
