from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_kit import make_clip

from tinct.batch.manifest import Manifest, VideoRow
from tinct.errors import OptionError
from tinct.inference.promptable import Box, Point

ROWS: list[dict[str, Any]] = [
    {"video": "a.mp4", "masks": "a.png;50:b.png", "frames": "10:90", "method": "osvos", "note": "dusk"},
    {
        "video": "s3://bucket/c.mov",
        "points": "0:1:12.5,30;0:1:4,4,-",
        "boxes": "7:2:1,2,30,40",
        "name": "sea/c",
    },
    {"video": "/there/d.mp4", "masks": "d.png", "options": '{"fine_tune_steps": 3}'},
]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"clips.{kind}"
    columns = sorted({key for row in rows for key in row})
    if kind == "csv":
        import csv

        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        full = [{column: row.get(column) for column in columns} for row in rows]
        parquet.write_table(arrow.Table.from_pylist(full), path)
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_all_kinds_of_manifests_say_the_same(tmp_path: Path, kind: str) -> None:
    manifest = Manifest.open(write(tmp_path, kind, ROWS))
    assert (len(manifest), manifest.unused) == (3, ("note",))
    here = str(tmp_path)
    assert list(manifest) == [
        VideoRow(
            "a",
            f"{here}/a.mp4",
            masks=((None, f"{here}/a.png"), (50, f"{here}/b.png")),
            frames="10:90",
            config={"method": "osvos"},
        ),
        VideoRow(
            "sea/c",
            "s3://bucket/c.mov",
            points=((0, 1, Point(12.5, 30)), (0, 1, Point(4, 4, inside=False))),
            boxes=((7, 2, Box(1, 2, 30, 40)),),
        ),
        VideoRow(
            "d", "/there/d.mp4", masks=((None, f"{here}/d.png"),), config={"options": {"fine_tune_steps": 3}}
        ),
    ]


def test_a_folder_pairs_videos_with_the_masks_beside_them(tmp_path: Path) -> None:
    make_clip(tmp_path, "b", 1)
    for name in ("a.mp4", "a.json", "lonely.MOV", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    rows = {row.name: row for row in Manifest.open(str(tmp_path))}
    assert {name: [Path(mask).name for _, mask in row.masks] for name, row in rows.items()} == {
        "a": ["a.json"],
        "b": ["b.png"],
        "lonely": [],
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no video"),
        ([{"clip": "a.mp4", "masks": "a.png"}], "no column `video`"),
        ([{"video": "a.mp4", "notes": "x"}], "no column of prompts"),
        (
            [{"video": "x/a.mp4", "masks": "m"}, {"video": "y/A.mov", "masks": "m"}],
            "rows 1 and 2 have one output",
        ),
        ([{"video": "a.mp4", "points": "0:1:3"}], "Row 1 .*point '0:1:3'.*INDEX:ID:X,Y"),
        ([{"video": "a.mp4", "boxes": "0:300:1,2,3,4"}], "Row 1 .*names the object 300; ids lie between"),
        ([{"video": "a.mp4", "masks": "m", "name": "../a"}], "leads elsewhere"),
        ([{"video": "a.mp4", "masks": "m", "direction": "up"}], "Row 1 .*'up'"),
        ([{"video": "a.mp4", "masks": "m", "options": "[]"}], "Row 1 .*JSON object"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_one_line(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as error:
        Manifest.open(write(tmp_path, "jsonl", rows))
    assert "\n" not in str(error.value)


def test_a_manifest_that_is_not_there_or_no_manifest_is_explained(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be reached: it is not there"):
        Manifest.open(str(tmp_path / "none.csv"))
    (tmp_path / "broken.jsonl").write_text('{"video": "a.mp4", "masks": "m"}\n{"video"\n')
    with pytest.raises(OptionError, match=r"Line 2 of .* is no JSON"):
        Manifest.open(str(tmp_path / "broken.jsonl"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(OptionError, match="cannot be reached"):
        Manifest.open(str(tmp_path / "broken.parquet"))


def test_a_video_is_cut_at_its_prompts_only_when_that_is_wanted(tmp_path: Path) -> None:
    url = write(
        tmp_path, "jsonl", [{"video": "a.mp4", "masks": "5:x;40:y", "points": "60:1:2,2", "frames": "2:"}]
    )
    assert len(Manifest.open(url)) == 1
    parts = list(Manifest.open(url, cut=True))
    assert [(part.name, part.frames) for part in parts] == [
        ("a.2-40", "2:40"),
        ("a.40-60", "40:60"),
        ("a.60-end", "60:"),
    ]
    assert [len(part.masks) for part in parts] == [1, 1, 0]
    with pytest.raises(OptionError, match="INDEX:FILE"):
        Manifest.open(write(tmp_path, "jsonl", [{"video": "a.mp4", "masks": "x;40:y"}]), cut=True)
