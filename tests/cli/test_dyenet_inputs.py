"""What DyeNet is given at the command line and can do little with: a clear error, or a defined result.

The network is the real one with random weights: what is asked is what is said and written, not quality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

from tinct.io.mask_files import read_label_png, write_mask

H, W = 48, 96
RED = (220, 30, 30)
GREY = 110

Square = tuple[int, int, int]
"""(left, top, side)."""

Tinct = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
    from tinct.networks.weights import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, DyeNetNetwork(COMPACT), method="dyenet", variant="mobilenetv2")
    return path


@pytest.fixture
def tinct(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tinct:
    """`tinct words...` on clip/ and mask.png, into OUT and why.json; the exit code, and what stderr says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, out: str = "out") -> tuple[int, str]:
        command = ["segment", "clip", "--method", "dyenet", "--preset", "fast", "--device", "cpu"]
        command += ["--weights", str(weights), "--no-overlay", "--out", out, "--explain", "why.json", *words]
        if "--mask" not in words:
            command += ["--mask", "mask.png"]
        return tinct_command(monkeypatch, *command), capsys.readouterr().err

    return run


def draw(frames: Sequence[Sequence[Square]], painted: int = 0) -> None:
    """clip/ of red squares on grey, and mask.png, in which the i-th square of a frame is object i."""
    Path("clip").mkdir()
    for t, squares in enumerate(frames):
        image, labels = np.full((H, W, 3), GREY, np.uint8), np.zeros((H, W), np.uint8)
        for object_id, (left, top, side) in enumerate(squares, start=1):
            window = slice(top, top + side), slice(left, left + side)
            image[window], labels[window] = RED, object_id
        Image.fromarray(image).save(f"clip/{t:05d}.png")
        if t == painted:
            write_mask(Path("mask.png"), labels)


def boxes_of(frames: Sequence[Sequence[Square]]) -> None:
    """boxes.json: every square's own box."""
    rows = {
        f"{t:05d}": [[left, top, left + side, top + side, 0.9] for left, top, side in squares]
        for t, squares in enumerate(frames)
    }
    Path("boxes.json").write_text(json.dumps(rows))


def record() -> dict[str, Any]:
    trace: dict[str, Any] = json.loads(Path("why.json").read_text())
    return trace


def masks(out: str = "out") -> list[np.ndarray]:
    return [read_label_png(path) for path in sorted(Path(out, "masks").iterdir())]


@pytest.mark.filterwarnings("always:The mask of object")
def test_a_template_of_a_few_pixels_is_warned_of_and_in_the_record(tinct: Tinct) -> None:
    draw([[(10, 10, 3)]] * 2)
    code, said = tinct()
    assert code == 0
    assert "tinct: warning: The mask of object 1 on frame 0 is 3×3 pixels, 6.0×6.0 at the working" in said
    assert "too small" in record()["remarks"][0]
    assert record()["tracklets"][0]["stops"]["forward"] == "the box is too small"
    assert (masks()[0] == 1).sum() == 9


def test_frames_without_proposals_are_said_and_recorded(tinct: Tinct) -> None:
    frames = [[(10 + t, 10, 20)] for t in range(4)]
    draw(frames)
    boxes_of([[], frames[1], [], []])
    code, said = tinct("--proposals", "boxes.json")
    assert code == 0
    assert "Frames without proposals: 3 of 4 (00000, 00002, 00003)" in said
    assert record()["without_proposals"] == [0, 2, 3]
    assert len(masks()) == 4


def test_no_proposals_at_all_leave_propagation(tinct: Tinct) -> None:
    draw([[(10, 10, 20)]] * 3)
    Path("boxes.json").write_text("{}")
    # By proposals alone, as in the paper: the cells of a frame find the object without any.
    code, said = tinct("--proposals", "boxes.json", "--preset", "paper")
    assert code == 0
    assert "3 of 3" in said
    assert [point["painted"] for point in record()["starting_points"]] == [True]
    assert [entry["round"] for entry in record()["rounds"]] == [0]


def test_two_objects_of_one_look_are_said_and_the_record_shows_the_doubt(tinct: Tinct) -> None:
    frames = [[(16, 12, 24), (56, 12, 24)]] * 3
    draw(frames)
    boxes_of(frames)
    # By their embeddings, as in the paper: cells of random weights recall nothing.
    code, said = tinct("--proposals", "boxes.json", "--preset", "paper")
    assert code == 0
    found = [point for point in record()["starting_points"] if not point["painted"]]
    doubtful = [point for point in found if point["doubtful"]]
    assert doubtful
    assert all(point["similarity"] - point["runner_up"]["similarity"] < 0.05 for point in doubtful)
    assert {point["runner_up"]["object_id"] for point in doubtful} <= {1, 2}
    (doubt,) = record()["doubts"]
    assert doubt == {"object_ids": [1, 2], "starting_points": len(doubtful), "of": len(found)}
    assert f"Objects 1 and 2 look alike: in {len(doubtful)} of the {len(found)} boxes" in said
    for labels in masks():
        assert set(np.unique(labels)) <= {0, 1, 2}


def test_ties_are_settled_the_same_way_every_time(tinct: Tinct) -> None:
    frames = [[(16, 12, 24), (56, 12, 24)]] * 3
    draw(frames)
    boxes_of(frames)
    # Each box twice: equal in every figure.
    rows = json.loads(Path("boxes.json").read_text())
    Path("boxes.json").write_text(json.dumps({name: boxes * 2 for name, boxes in rows.items()}))
    records = []
    for out in ("first", "second"):
        assert tinct("--proposals", "boxes.json", "--preset", "paper", out=out)[0] == 0
        records.append(record())
    assert records[0] == records[1]
    assert all(np.array_equal(a, b) for a, b in zip(masks("first"), masks("second"), strict=True))
    found = [(p["frame"], p["object_id"]) for p in records[0]["starting_points"] if p["round"] == 1]
    assert len(found) == len(set(found)) > 0


def test_an_object_of_one_frame_keeps_its_mask_there(tinct: Tinct) -> None:
    draw([[], [(10, 10, 20)], []], painted=1)
    code, _ = tinct("--mask", "1:mask.png")
    assert code == 0
    found = masks()
    np.testing.assert_array_equal(found[1], read_label_png(Path("mask.png")))
    assert record()["object_ids"] == [1]
    assert {entry["first"] for entry in record()["tubes"]["1"]} <= {0, 1, 2}


def test_a_video_of_one_frame_gives_the_painted_mask(tinct: Tinct) -> None:
    draw([[(10, 10, 20)]])
    assert tinct()[0] == 0
    (labels,) = masks()
    np.testing.assert_array_equal(labels, read_label_png(Path("mask.png")))
    assert record()["tracklets"][0]["stops"] == {
        "backward": "the video begins here",
        "forward": "the video ends here",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"00000": [], "00007": []}', "'00007', which the video lacks"),
        ('{"00000": [[0, 0, 300, 40, 0.9]]}', "box outside the frame '00000' of 96×48"),
        ('{"00000": [[0, 0, 30, 40]]}', "something else than rows of"),
        ("[]", "JSON list"),
    ],
)
def test_proposals_of_another_video_or_form_are_refused_before_anything_is_written(
    tinct: Tinct, content: str, message: str
) -> None:
    draw([[(10, 10, 20)]] * 2)
    Path("boxes.json").write_text(content)
    code, said = tinct("--proposals", "boxes.json")
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not Path("out").exists()


def test_a_folder_of_proposals_is_for_datasets(tinct: Tinct) -> None:
    draw([[(10, 10, 20)]] * 2)
    code, said = tinct("--proposals", "clip")
    assert code == 1
    assert "for a single video give its file" in said
