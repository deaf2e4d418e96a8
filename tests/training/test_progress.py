from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from tinct.training.progress import progress_display, title
from tinct.training.stages import Stage


def stages() -> list[Stage]:
    made = []
    for name, steps in (("stills", 4), ("video", 6)):
        stage = object.__new__(Stage)
        object.__setattr__(stage, "name", name)
        object.__setattr__(stage, "steps", steps)
        made.append(stage)
    return made


def shown(*, terminal: bool, first: int = 1) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress_display(console, every=2) as make:
        progress = make(stages())
        for stage in stages():
            for step in range(first, stage.steps + 1):
                progress(stage, step, {"loss": torch.tensor(0.5 / step), "dice": torch.tensor(9.0)})
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    lines = shown(terminal=False).splitlines()
    assert [line.split("  ")[0:2] for line in lines] == [
        ["stills (1 of 2)", "2/4"], ["stills (1 of 2)", "4/4"],
        ["video (2 of 2)", "2/6"], ["video (2 of 2)", "4/6"], ["video (2 of 2)", "6/6"],
    ]  # fmt: skip
    assert "loss 0.2500" in lines[0]
    assert "s per step" in lines[0]
    assert lines[-1].endswith("0 min left")
    assert "dice" not in lines[0]


def test_the_first_line_of_a_slice_has_no_speed_yet() -> None:
    assert "s per step" not in shown(terminal=False, first=2).splitlines()[0]


@pytest.mark.parametrize("first", [1, 3])
def test_a_bar_on_a_terminal(first: int) -> None:
    text = shown(terminal=True, first=first)
    assert "video (2 of 2)" in text
    assert "6/6" in text
    assert "loss 0.083" in text


def test_titles() -> None:
    assert title(stages()[1], ["stills", "video"]) == "video (2 of 2)"
