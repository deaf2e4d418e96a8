"""What a prompt of clicks, boxes and scribbles must say, and what it is told when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.inference.promptable import Box, ObjectPrompt, Point

SOMEWHERE = np.eye(4, 6, dtype=bool)


@pytest.mark.parametrize(
    "prompt",
    [
        ObjectPrompt(points=(Point(0.5, 3.5), Point(6, 4, inside=False))),
        ObjectPrompt(box=Box(-2, 1, 3, 9)),
        ObjectPrompt(inside=SOMEWHERE, outside=~SOMEWHERE),
    ],
)
def test_a_prompt_that_says_where_the_object_is_passes(prompt: ObjectPrompt) -> None:
    prompt.check(4, 6)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (ObjectPrompt(), "Nothing says where the object is"),
        (ObjectPrompt(points=(Point(1, 1, inside=False),)), "Nothing says where"),
        (ObjectPrompt(inside=~SOMEWHERE & SOMEWHERE), "Nothing says where"),
        (ObjectPrompt(points=(Point(6.5, 1),)), r"\(6.5, 1\) lies outside the frame of 6×4"),
        (ObjectPrompt(box=Box(3, 1, 3, 2)), "holds no pixel"),
        (ObjectPrompt(box=Box(6, 1, 8, 2)), "holds no pixel"),
        (ObjectPrompt((Point(1, 1),), previous=np.zeros((6, 4), np.float32)), "`previous` is 4×6"),
    ],
)
def test_any_other_says_what_is_wrong(prompt: ObjectPrompt, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        prompt.check(4, 6)
