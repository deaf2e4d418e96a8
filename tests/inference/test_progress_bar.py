from __future__ import annotations

import io

from rich.console import Console

from tinct.inference.progress_bar import progress_bar


def shown(*calls: tuple[str, int, int, str | None]) -> str:
    """What was written to a terminal."""
    stream = io.StringIO()
    with progress_bar(Console(file=stream, force_terminal=True, width=120)) as bar:
        assert bar is not None
        for call in calls:
            bar(*call)
    return stream.getvalue()


def test_none_where_there_is_no_terminal() -> None:
    with progress_bar(Console(file=io.StringIO(), force_terminal=False)) as bar:
        assert bar is None


def test_a_bar_begins_again_with_every_annotated_frame() -> None:
    text = shown(*(("fine-tune", done, total, None) for done, total in ((1, 4), (4, 4), (1, 7), (3, 7))))
    assert "3/7" in text


def test_every_stage_has_a_bar() -> None:
    text = shown(("segment", 2, 5, None), ("overlay", 1, 5, None))
    assert [word in text for word in ("segment", "2/5", "overlay", "1/5")] == [True] * 4


def test_a_text_stands_in_the_place_of_the_speed() -> None:
    both = [("video", done, 5) for done in (1, 3, 4, 5)]
    with_text = shown(*((*call, f"loss {call[1]}") for call in both))
    assert "loss 5" in with_text
    assert "/s" not in with_text
    assert "/s" in shown(*((*call, None) for call in both))
