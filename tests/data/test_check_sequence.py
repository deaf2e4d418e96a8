from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.annotations import ObjectFiles
from tinct.data.check_sequence import GREY, PALETTE, SequenceFiles, check_sequence


@pytest.fixture
def files(layouts: Any, tmp_path: Path) -> SequenceFiles:
    """Four frames with two objects, in which nothing is wrong."""
    frames = {f"{t}": layouts.frame(tmp_path / f"{t}.jpg") for t in range(4)}
    masks = {f"{t}": layouts.mask(tmp_path / f"{t}.png", (1, 2)) for t in range(4)}
    return SequenceFiles(
        "bear", frames, masks, "all", PALETTE, 4, frozenset({1, 2}), ids_at_once=True, size=layouts.size
    )


def found(files: SequenceFiles, *, deep: bool = False) -> list[tuple[str, str, str]]:
    """Kind, file name and message of every finding."""
    findings = list(check_sequence(files, deep=deep))
    assert all(finding.sequence == files.name for finding in findings)
    return [(f.kind, f.path.name if f.path else "", f.message) for f in findings]


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_wrong(files: SequenceFiles, deep: bool) -> None:
    assert found(files, deep=deep) == []


def test_a_wrong_number_of_frames(files: SequenceFiles) -> None:
    assert found(replace(files, frame_count=5)) == [("count", "", "has 4 frames of 5")]


def test_missing_annotations_and_frames(files: SequenceFiles) -> None:
    del files.masks["2"], files.frames["3"]
    assert found(replace(files, frame_count=None)) == [
        ("missing", "2.jpg", "has no annotation"),
        ("extra", "3.png", "is an annotation without a frame"),
    ]
    del files.masks["0"], files.masks["3"]
    assert found(replace(files, frame_count=None, annotated="first")) == [
        ("missing", "0.jpg", "has no annotation")
    ]
    assert found(replace(files, frame_count=None, annotated="any")) == []
    assert found(replace(files, frame_count=None, masks={}, annotated="any")) == [
        ("missing", "", "has no annotation")
    ]


def test_annotations_without_any_frame(files: SequenceFiles) -> None:
    assert found(replace(files, frames={})) == [("missing", "", "has 4 annotations, but no frame")]


def test_truncated_files(files: SequenceFiles, tmp_path: Path) -> None:
    for name, keep in (("1.jpg", -2), ("2.png", -20), ("3.jpg", 0)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    (tmp_path / "3.png").write_text("no picture")
    assert found(files) == [
        ("broken", "1.jpg", "is cut short: its end is missing"),
        ("broken", "3.jpg", "is empty"),
        ("broken", "2.png", "is cut short: its end is missing"),
        ("broken", "3.png", "is no image that can be read"),
    ]


def test_only_decoding_finds_damage_in_the_middle(files: SequenceFiles, tmp_path: Path) -> None:
    for name in ("1.png", "1.jpg"):
        data = (tmp_path / name).read_bytes()
        # A PNG loses its pixels, a JPEG its scan's end; both keep their last bytes.
        start = data.index(b"IDAT") + 4 if name == "1.png" else data.index(b"\xff\xc4")
        (tmp_path / name).write_bytes(data[:start] + bytes(len(data) - start - 12) + data[-12:])
    assert found(files) == []
    broken = [(kind, name) for kind, name, _ in found(files, deep=True)]
    assert broken == [("broken", "1.png"), ("broken", "1.jpg")]


def test_sizes(files: SequenceFiles, layouts: Any, tmp_path: Path) -> None:
    layouts.frame(tmp_path / "1.jpg", (12, 21))
    layouts.mask(tmp_path / "2.png", (1, 2), size=(13, 20))
    expected = [
        ("size", "1.jpg", "is 21×12, not 20×12"),
        ("size", "1.png", "is 20×12, but its frame 21×12"),
        ("size", "2.png", "is 20×13, but its frame 20×12"),
    ]
    assert found(files) == expected
    # Without a known size the most common one counts.
    assert found(replace(files, size=None)) == expected
    messages = [message for _, _, message in found(replace(files, size=(480, 854)))]
    assert messages.count("is 20×12, not 854×480") == 3


@pytest.mark.parametrize(
    ("mode", "ids", "modes", "messages"),
    [
        ("L", (1, 2), PALETTE, ["is a grey image, where one with a palette was expected"]),
        ("colours", (1, 2), PALETTE, ["is in colours (RGB), not an object id per pixel"]),
        ("colours", (1, 2), PALETTE | GREY, ["is in colours (RGB), not an object id per pixel"]),
        ("RGB", (255,), PALETTE, ["is in colours (RGB), not an object id per pixel"]),
        ("RGB", (255,), PALETTE | GREY, []),
        ("1", (255,), PALETTE | GREY, []),
        ("L", (255,), PALETTE | GREY, []),
        ("P", (1, 255), PALETTE, ["holds 255 (void), which this dataset's annotations do not"]),
        ("P", (1, 255), PALETTE | GREY, []),
        ("colours", (1, 2), None, []),
    ],
)
def test_palettes(
    mode: str,
    ids: tuple[int, ...],
    modes: frozenset[str] | None,
    messages: list[str],
    files: SequenceFiles,
    layouts: Any,
    tmp_path: Path,
) -> None:
    layouts.mask(tmp_path / "0.png", ids, mode)
    files = replace(files, mask_modes=modes, object_ids=None, ids_at_once=False)
    assert found(files) == [("palette", "0.png", message) for message in messages]


def test_16_bits_and_soft_edges(files: SequenceFiles, layouts: Any, tmp_path: Path) -> None:
    files = replace(files, mask_modes=PALETTE | GREY, object_ids=None, ids_at_once=False)
    PillowImage.fromarray(np.full(layouts.size, 300, np.uint16)).save(tmp_path / "1.png")
    PillowImage.fromarray(np.arange(240).reshape(12, 20).astype(np.uint8) + 16).save(tmp_path / "0.png")
    (wide, soft) = found(files)
    assert wide[:2] == ("palette", "1.png")
    assert "8 bits were expected" in wide[2]
    assert soft == ("palette", "0.png", "holds 239 values between 0 and 255: soft edges, or a photo")


@pytest.mark.parametrize(
    ("ids", "known", "at_once", "message"),
    [
        ((1, 3), {1, 2}, True, "holds ids 1, 3; ids 1, 2 were expected"),
        ((1,), {1, 2}, True, "holds id 1; ids 1, 2 were expected"),
        ((1,), {1, 2}, False, ""),
        ((1, 3), {1, 2}, False, "holds ids 1, 3; ids 1, 2 were expected"),
        ((1, 2, 3), {1, 2}, True, "holds ids 1, 2, 3; ids 1, 2 were expected"),
        ((2, 5), None, True, "holds ids 2, 5: there is a gap, and 1 to 2 were expected"),
        ((2, 5), None, False, ""),
        ((), None, False, "shows no object, though it is the first annotation"),
        ((), {1, 2}, True, "shows no object, though it is the first annotation"),
    ],
)
def test_the_ids_of_the_first_annotation(
    ids: tuple[int, ...],
    known: set[int] | None,
    at_once: bool,
    message: str,
    files: SequenceFiles,
    layouts: Any,
    tmp_path: Path,
) -> None:
    layouts.mask(tmp_path / "0.png", ids)
    files = replace(files, object_ids=None if known is None else frozenset(known), ids_at_once=at_once)
    assert found(files) == ([("ids", "0.png", message)] if message else [])


def test_only_decoding_finds_strange_ids_later(files: SequenceFiles, layouts: Any, tmp_path: Path) -> None:
    layouts.mask(tmp_path / "2.png", (1, 2, 4))
    layouts.mask(tmp_path / "3.png", (1,))
    assert found(files) == []
    expected = [("ids", "2.png", "holds id 4, which the sequence does not have")]
    assert found(files, deep=True) == expected
    assert found(replace(files, ids_at_once=False), deep=True) == expected
    assert found(replace(files, ids_at_once=False, object_ids=None), deep=True) == []


def test_a_picture_per_object(layouts: Any, tmp_path: Path) -> None:
    frames = {"7": layouts.frame(tmp_path / "7.jpg")}
    one = layouts.mask(tmp_path / "1" / "7.png", (255,), "RGB", (40, 40))
    two = layouts.mask(tmp_path / "2" / "7.png", (255,), "RGB")
    masks = {"7": ObjectFiles("7", ((1, one), (2, two)))}
    files = SequenceFiles("drift", frames, masks, "all", object_ids=frozenset({1, 2, 3}))
    assert found(files) == [
        ("size", "7.png", "is 40×40, but its frame 20×12"),
        ("ids", "", "holds ids 1, 2; ids 1, 2, 3 were expected"),
    ]
    data = one.read_bytes()
    start = data.index(b"IDAT") + 4
    one.write_bytes(data[:start] + bytes(len(data) - start - 12) + data[-12:])
    assert ("broken", "7.png", "cannot be decoded") in found(files, deep=True)


def test_many_ids_are_not_all_named(files: SequenceFiles, layouts: Any, tmp_path: Path) -> None:
    values = np.arange(240).reshape(12, 20).astype(np.uint8)
    picture = PillowImage.fromarray(values)
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "0.png")
    ((_, _, message),) = found(files)
    assert message.startswith("holds ids 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 229 more;")
