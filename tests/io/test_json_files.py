from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import DatasetError, MaskError
from tinct.io.json_files import parse_json, read_json, reading


def test_the_value_comes_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for data in (b'{"a": [1, 2.5, null]}', b'\xef\xbb\xbf{"a": [1, 2.5, null]}'):
        path.write_bytes(data)
        assert read_json(path, "a card", "Fetch it again.") == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "utf-8"),
        (b"[NaN]", "NaN is not finite"),
        (b"[1, -Infinity]", "-Infinity is not finite"),
        (b"[1e999]", "1e999 is not finite"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 10_000, "integer string"),
    ],
)
def test_what_is_not_json_is_refused_with_the_file_and_the_fix(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(
        DatasetError, match=rf"a\.json cannot be read as a card: .*{reason}.*Fetch it again\."
    ):
        read_json(path, "a card", "Fetch it again.", DatasetError)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json cannot be read: No such file.*Fetch it again"):
        read_json(tmp_path / "none.json", "a card", "Fetch it again.", DatasetError)


FAULTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: {}["scores"], "it lacks 'scores'"),
    (lambda: {[1]: 2}, "unhashable"),
    (lambda: None.items(), "has no attribute 'items'"),  # type: ignore[attr-defined]
    (lambda: [][3], "index out of range"),
    (lambda: float(10**400), "too large"),
    (lambda: int("x"), "invalid literal"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_content_of_another_form_is_refused_with_the_reason(fault: Callable[[], Any], reason: str) -> None:
    with (
        pytest.raises(MaskError, match=rf"x\.json cannot be read as COCO: .*{reason}"),
        reading("x.json", "COCO", "Export it again.", MaskError),
    ):
        fault()


def test_an_error_of_tinct_passes_as_it_is() -> None:
    with pytest.raises(DatasetError, match=r"^exactly this$"), reading("x", "COCO", "Mend it.", MaskError):
        raise DatasetError("exactly this")


def test_parsing_takes_text_too() -> None:
    assert parse_json('"é"') == "é"
