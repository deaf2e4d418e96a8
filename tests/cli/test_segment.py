from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

import tinct
from tinct import cli, zoo
from tinct.cli.application import _one_verb, app
from tinct.errors import OptionError
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
from tinct.interchange.exports.source import LabelledVideo
from tinct.io.mask_files import read_label_png, read_mask, write_mask
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods.grabcut import GrabCut
from tinct.zoo.build import LocatedWeights

H, W = 11, 16


class Held(StreamingSegmenter[np.ndarray]):
    """Holds the newest prompt where it was."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return labels

    def step(
        self, state: np.ndarray, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, ObjectMasks]:
        newest = state if labels is None else labels
        return newest, ObjectMasks.from_label_map(newest)


def _held(
    method: str, variant: str, preset: str, weights: Path | None, device: str, **overrides: Any
) -> Held:
    zoo.resolve_device(device)
    return Held()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five frames, two masks, and a segmenter that needs no weights."""
    (tmp_path / "clip").mkdir()
    for t in range(5):
        Image.fromarray(np.full((H, W, 3), 10 * t, np.uint8)).save(tmp_path / "clip" / f"{t}.png")
    for object_id, name in ((3, "first"), (4, "later")):
        labels = np.zeros((H, W), np.uint8)
        labels[2:8, 3:9] = object_id
        write_mask(tmp_path / f"{name}.png", labels)
    monkeypatch.setattr(zoo, "build_segmenter", _held)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", ["", "segment", "evaluate", "ablate", "models"])
def test_help_loads_neither_torch_nor_numpy(verb: str) -> None:
    program = (
        f"import sys; sys.argv = ['tinct', *'{verb}'.split(), '--help']\n"
        "from tinct.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'numpy', 'cv2', 'jaxtyping') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert verb in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "commands", "groups"),
    [(["export-model", "x"], ["export-model"], []), (["datasets", "check"], [], ["datasets"])],
)
def test_only_the_verb_that_is_called_is_built(
    arguments: list[str], commands: list[str], groups: list[str]
) -> None:
    before = list(app.registered_commands)
    with _one_verb(arguments):
        assert [each.name for each in app.registered_commands] == commands
        assert [each.name for each in app.registered_groups] == groups
    with _one_verb(["--debug", "segment"]):
        assert app.registered_commands == before


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinct_command(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"tinct {tinct.__version__}\n"


def test_segment_writes_the_folder_and_says_where(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tinct_command(
        monkeypatch, "segment", "clip", "--mask", "first.png", "--mask", "3:later.png", "--out", "out"
    )
    assert code == 0
    said = capsys.readouterr()
    assert "5 masks of objects 3, 4" in said.out
    assert "overlay.mp4" in said.out
    assert said.err == "tinct: first.png → frame 0 (0)\ntinct: later.png → frame 3 (3)\n"
    assert (folder / "out" / "overlay.mp4").exists()
    run_record = json.loads((folder / "out" / "run.json").read_text())
    assert list(run_record["run"]["prompts"]) == ["0", "3"]
    assert run_record["run"]["video"] == "clip"
    assert (run_record["run"]["method"], run_record["run"]["variant"]) == ("feelvos", "mobilenetv2")
    assert run_record["run"]["weights_sha256"] == "ab" * 32


def test_points_and_boxes_become_prompts_beside_masks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "promptable_beside", lambda *_: GrabCut())
    words = ["--mask", "first.png", "--point", "0:3:1.5,1.5", "--box", "2:4:3,2,9,8", "--point", "2:4:4,4"]
    assert tinct_command(monkeypatch, "segment", "clip", *words, "--out", "out") == 0
    said = capsys.readouterr()
    assert "5 masks of objects 3, 4" in said.out
    assert "first.png → frame 0 (0)" in said.err
    assert "object 4 → frame 2 (2)" in said.err
    prompts = json.loads((folder / "out" / "run.json").read_text())["run"]["prompts"]
    assert list(prompts) == ["0", "2"]
    assert read_mask(folder / "out" / "masks" / "2.png")[4, 4] == 4


def deep_clip(folder: Path, brightest: int) -> None:
    for t in range(5):
        frame = np.full((H, W), 100 * t, np.uint16)
        frame[0, 0] = brightest
        Image.fromarray(frame).save(folder / "clip" / f"{t}.png")


def test_deep_frames_are_scaled_alike_and_it_is_said_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deep_clip(folder, 4000)
    words = ("segment", "clip", "--mask", "first.png", "--out")
    assert tinct_command(monkeypatch, *words, "a") == 0
    said = capsys.readouterr().err
    assert sum("bits" in line for line in said.splitlines()) == 1
    assert "12 bits: 0 is black and 4095 white; --levels LOW:HIGH" in said
    assert tinct_command(monkeypatch, *words, "b", "--levels", "0:400") == 0
    assert "bits" not in capsys.readouterr().err
    record = json.loads((folder / "b" / "run.json").read_text())
    assert record["run"]["levels"] == "0:400"
    video = LabelledVideo.of_run(folder / "b").require_video()
    assert video[4][5, 5, 0] == 255
    assert tinct_command(monkeypatch, *words, "b", "--resume") == 1
    assert "another run" in capsys.readouterr().err
    assert tinct_command(monkeypatch, *words, "b", "--levels", "0:400", "--resume") == 0
    assert tinct_command(monkeypatch, *words, "c", "--levels", "9:9") == 1
    assert "expected LOW:HIGH" in capsys.readouterr().err


def test_resuming_over_other_frames_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("segment", "clip", "--mask", "first.png", "--out", "out")
    assert tinct_command(monkeypatch, *words) == 0
    Image.fromarray(np.full((H, W, 3), 77, np.uint8)).save(folder / "clip" / "3.png")
    assert tinct_command(monkeypatch, *words, "--resume") == 1
    assert "video" in capsys.readouterr().err


def test_resume_and_no_overlay(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("segment", "clip", "--mask", "first.png", "--out", "out", "--no-overlay")
    assert tinct_command(monkeypatch, *words) == 0
    assert not (folder / "out" / "overlay.mp4").exists()
    assert tinct_command(monkeypatch, *words) == 1
    assert "--resume" in capsys.readouterr().err
    assert tinct_command(monkeypatch, *words, "--resume") == 0
    assert "every mask was there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "empty", "said"),
    [
        ((), [], None),
        (("--direction", "forward"), [], None),
        (("--direction", "backward"), [4], "backward"),
        (("--direction", "both"), [], "both"),
    ],
)
def test_directions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], empty: list[int], said: str | None
) -> None:
    masks = ("--mask", "first.png", "--mask", "3:later.png")
    command = ("segment", "clip", *masks, "--out", "out", "--no-overlay", *words)
    assert tinct_command(monkeypatch, *command) == 0
    run_record = json.loads((folder / "out" / "run.json").read_text())
    assert run_record["run"].get("direction") == said
    labels = [read_label_png(folder / "out" / "masks" / f"{t}.png") for t in range(5)]
    assert [t for t in range(5) if not labels[t].any()] == empty
    # Both masks show the same square. Run both ways, its two objects are everywhere, and share it.
    found = [int(each.max()) for each in labels]
    assert found == {"backward": [3, 4, 4, 4, 0], "both": [3, 3, 3, 4, 3]}.get(said or "", [3, 3, 3, 4, 4])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["segment", "none.mp4", "--mask", "first.png", "--out", "out"], 1, "none.mp4"),
        (["segment", "clip", "--mask", "none.png", "--out", "out"], 1, "none.png"),
        (
            ["segment", "clip", "--mask", "5:first.png", "--out", "out"],
            1,
            "first.png was given for frame 5; ",
        ),
        (
            ["segment", "clip", "--mask", "0:a.png", "--mask", "0:b.png", "--out", "o"],
            1,
            "a.png and b.png are masks of the same",
        ),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--method", "feelvoz"], 1, "'feelvos'"),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--device", "gpu"], 1, "no device 'gpu'"),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--direction", "back"], 1, "'backward'"),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--both-ways"], 2, "--both-ways"),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--frames", "1"], 1, "give START:STOP"),
        (["segment", "clip", "--mask", "first.png", "--out", "out", "--frames", "0:6"], 1, "has 5 frames"),
        (
            ["segment", "clip", "--mask", "first.png", "--out", "out", "--frames", "1:4"],
            1,
            "mask of frame 0 came with --frames 1:4",
        ),
        (
            ["segment", "clip", "--mask", "4:first.png", "--out", "out", "--frames", ":4"],
            1,
            "masks of the frames 0 to 3",
        ),
        (["segment", "clip", "--out", "out"], 1, "Nothing says what to segment; give --mask FILE"),
        (["segment", "clip", "--point", "0:1:3", "--out", "out"], 1, "expected INDEX:ID:X,Y"),
        (["segment", "clip", "--point", "5:1:3,4", "--out", "out"], 1, "given for frame 5; the video has"),
        (["segment", "clip", "--box", "0:1:30,4,40,9", "--out", "out"], 1, "holds no pixel of the frame"),
        (["segmnet"], 2, "segment"),
    ],
)
def test_what_cannot_be_done_is_explained(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert tinct_command(monkeypatch, *words) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (folder / "out").exists()


def test_debug_shows_the_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINCT_DEBUG", "0")
    words = ("segment", "none.mp4", "--mask", "first.png", "--out", "out")
    assert tinct_command(monkeypatch, "--debug", *words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_the_system_refuses_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def locked(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "locked/clip")

    monkeypatch.setattr(Video, "open", locked)
    assert tinct_command(monkeypatch, "segment", "clip", "--mask", "first.png", "--out", "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tinct: error: locked/clip cannot be read or written: Permission denied. Check")


def test_an_image_that_promises_too_much_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "huge.pgm").write_bytes(b"P5 13000 13000 255 0")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert tinct_command(monkeypatch, "segment", "clip", "--mask", "huge.pgm", "--out", "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "13000×13000 pixels" in line


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Held, "step", interrupt)
    assert tinct_command(monkeypatch, "segment", "clip", "--mask", "first.png", "--out", "out") == 130
    assert "1 of 5 masks are whole" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_end_like_ctrl_c(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not hasattr(signal, name):
        pytest.skip("Windows has no SIGHUP")
    number = getattr(signal, name)
    step = Held.step
    before = signal.signal(number, signal.SIG_DFL)  # under `nohup` SIGHUP would be ignored

    def interrupt(*arguments: Any) -> Any:
        # A terminal that is closed sends two.
        signal.raise_signal(number)
        return step(*arguments)

    words = ("segment", "clip", "--mask", "first.png", "--out", "out", "--no-overlay")
    with monkeypatch.context() as patches:
        patches.setattr(Held, "step", interrupt)
        try:
            assert tinct_command(monkeypatch, *words) == 128 + number
            assert signal.getsignal(number) is signal.SIG_DFL
        finally:
            signal.signal(number, before)
    assert "1 of 5 masks are whole" in capsys.readouterr().err
    assert json.loads(Path("out", "run.json").read_text())["status"] == "interrupted"
    assert tinct_command(monkeypatch, *words, "--resume") == 0


def test_a_signal_that_is_ignored_stays_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Held.step

    def interrupt(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(Held, "step", interrupt)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as `nohup` does with SIGHUP
    try:
        words = ("segment", "clip", "--mask", "first.png", "--out", "out", "--no-overlay")
        assert tinct_command(monkeypatch, *words) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("where", ["out", "err"])
def test_letters_that_the_terminal_lacks_end_no_command(
    where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {name: io.BytesIO() for name in ("out", "err")}
    for name, raw in written.items():
        monkeypatch.setattr(sys, f"std{name}", io.TextIOWrapper(raw, "ascii", "strict"))
    if where == "out":
        words = ("segment", "clip", "--mask", "first.png", "--out", "größe", "--no-overlay")
        assert tinct_command(monkeypatch, *words) == 0
        sys.stdout.flush()
        assert b"gr??e" in written["out"].getvalue() or b"gr?" in written["out"].getvalue()
    else:
        assert tinct_command(monkeypatch, "segment", "größe", "--mask", "first.png", "--out", "out") == 1
        sys.stderr.flush()
        assert b"tinct: error:" in written["err"].getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file name is text")
def test_a_name_that_is_no_text_is_taken_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"caf\xe9")
    Path("clip").rename(name)
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    monkeypatch.setattr(sys, "stdout", output)
    words = ("segment", name, "--mask", "first.png", "--out", f"{name}-out", "--no-overlay")
    assert tinct_command(monkeypatch, *words) == 0
    assert len(list(Path(f"{name}-out", "masks").iterdir())) == 5
    assert tinct_command(monkeypatch, *words) == 1
    assert "already holds this run" in capsys.readouterr().err


@pytest.mark.parametrize("frames", [(), ("--frames", "0:2")])
@pytest.mark.parametrize("out", [".", "clip", "clip/masks"])
def test_an_output_among_the_frames_is_refused(
    out: str,
    frames: tuple[str, ...],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("segment", "clip", "--mask", "first.png", "--out", out, *frames)
    assert tinct_command(monkeypatch, *words) == 1
    assert "Choose a folder beside it" in capsys.readouterr().err
    assert not list(folder.rglob("run.json"))


def test_ctrl_c_before_the_first_frame_ends_with_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo, "build_segmenter", interrupt)
    assert tinct_command(monkeypatch, "segment", "clip", "--mask", "first.png", "--out", "out") == 130


def test_threads_are_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    words = ("segment", "clip", "--mask", "first.png", "--out", "out", "--no-overlay", "--threads", "2")
    assert tinct_command(monkeypatch, *words) == 0
    assert asked == [2]


def test_a_progress_bar_is_shown_on_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    words = ("segment", "clip", "--mask", "first.png", "--out", "out")
    assert tinct_command(monkeypatch, *words) == 0
    said = capsys.readouterr().err
    assert "segment" in said
    assert "5/5" in said


@pytest.mark.parametrize(
    ("text", "index", "path"),
    [
        ("a.png", 0, "a.png"),
        ("12:a.png", 12, "a.png"),
        ("C:\\masks\\a.png", 0, "C:\\masks\\a.png"),
        ("a:3:b.png", 0, "a:3:b.png"),
        ("3:C:\\a.png", 3, "C:\\a.png"),
        ("./3:a.png", 0, "./3:a.png"),
        ("²:a.png", 0, "²:a.png"),
        ("-1:a.png", 0, "-1:a.png"),
        ("3:", 0, "3:"),
    ],
)
def test_only_digits_before_the_first_colon_are_an_index(text: str, index: int, path: str) -> None:
    assert cli.parse_mask(text) == (index, Path(path))


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_range_of_frames_keeps_names_and_numbers(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    direction: str,
) -> None:
    words = ("segment", "clip", "--mask", "2:first.png", "--out", "out", "--direction", direction)
    assert tinct_command(monkeypatch, *words, "--frames", "1:4") == 0
    assert "3 masks of object 3" in capsys.readouterr().out
    masks = {path.stem: read_label_png(path).any() for path in (folder / "out" / "masks").iterdir()}
    before, after = direction != "forward", direction != "backward"
    assert masks == {"1": before, "2": True, "3": after}
    run = json.loads((folder / "out" / "run.json").read_text())["run"]
    assert (run["frame_range"], run["frames"]) == ("1:4", 3)
    # An export takes these frames of the video, under their names.
    labelled = LabelledVideo.of_run(folder / "out")
    assert list(labelled.frame_names) == ["1", "2", "3"]
    assert labelled.video is not None
    assert [int(frame[0, 0, 0]) for frame in labelled.video] == [10, 20, 30]
    # Another range, and none, are other runs; the same in other words is this one.
    for other in (("--frames", "1:5"), ("--frames", "2:4"), ()):
        assert tinct_command(monkeypatch, *words, *other, "--resume") == 1
        assert "another run" in capsys.readouterr().err
    assert tinct_command(monkeypatch, *words, "--frames", "1:4", "--resume") == 0


def test_a_range_of_frames_of_a_method_that_sees_whole_videos(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Whole(VideoSegmenter):
        def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Any:
            (labels,) = prompts.values()
            seen.append((list(prompts), [int(frame[0, 0, 0]) // 10 for frame in video]))
            return ((index, ObjectMasks.from_label_map(labels)) for index in range(len(video)))

    seen: list[Any] = []
    monkeypatch.setattr(zoo, "build_segmenter", lambda *_, **__: Whole())
    words = ("segment", "clip", "--mask", "3:first.png", "--out", "out", "--frames", "2:")
    assert tinct_command(monkeypatch, *words) == 0
    assert seen == [([1], [2, 3, 4])]
    assert sorted(path.stem for path in (folder / "out" / "masks").iterdir()) == ["2", "3", "4"]


def test_the_public_names_are_there() -> None:
    for name in tinct.__all__:
        assert getattr(tinct, name) is not None
    assert dir(tinct) == tinct.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tinct.nothing  # noqa: B018


def test_an_option_error_is_a_tinct_error() -> None:
    assert issubclass(OptionError, tinct.TinctError)
