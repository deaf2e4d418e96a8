"""The plugin as npe2 sees it: no window, no napari."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tinct
from tinct import zoo
from tinct.errors import MaskError, OutputError, VideoError
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.mask_files import read_label_png, write_mask
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.io.video_writer import VideoWriter
from tinct.napari.frame_stack import FrameStack
from tinct.napari.reading import get_reader
from tinct.napari.segmenting import annotated_frames, as_video, segment_from_labels
from tinct.napari.writing import write_labels

H, W, FRAMES = 10, 14, 4


def labels_at(t: int) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[2:5, t : t + 3] = 1
    labels[6:9, 8:12] = 4
    return labels


@pytest.fixture
def video_file(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "walk.mp4", Fraction(25)) as writer:
        for t in range(FRAMES):
            writer.write(np.full((H, W, 3), 50 * t, np.uint8))
    return tmp_path / "walk.mp4"


@pytest.fixture
def run(video_file: Path, tmp_path: Path) -> Path:
    (tmp_path / "run" / "masks").mkdir(parents=True)
    for t in range(FRAMES):
        write_mask(tmp_path / "run" / "masks" / f"{t:05d}.png", labels_at(t))
    record = {"run": {"frames": FRAMES, "size": [H, W], "video": "walk.mp4"}, "object_ids": [1, 4]}
    record |= {"video_path": "../walk.mp4", "object_names": {"4": "dog"}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    return tmp_path / "run"


@pytest.fixture
def manager() -> Iterator[Any]:
    """A plugin manager that knows our manifest only."""
    with warnings.catch_warnings():
        # npe2 0.10 uses what newer releases of pydantic call outdated.
        warnings.simplefilter("ignore", DeprecationWarning)
        npe2 = pytest.importorskip("npe2", reason="needs npe2 (the extra napari)")
        manager = npe2.PluginManager()
        manager.register(npe2.PluginManifest.from_file(manifest_file()))
        manager.activate("tinct")
        yield manager


def manifest_file() -> Path:
    return Path(tinct.__file__).parent / "napari" / "napari.yaml"


def test_the_manifest_is_valid_and_its_commands_are_there(manager: Any) -> None:
    manifest = manager.get_manifest("tinct")
    manifest.validate_imports()
    commands = [command.id for command in manifest.contributions.commands]
    assert commands == ["tinct.read", "tinct.write_labels", "tinct.segment"]
    for command in commands:
        assert callable(manager.commands.get(command))


def test_the_entry_point_is_declared() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["napari.manifest"]["tinct"]
    package, _, file = entry.partition(":")
    assert (package, manifest_file().name) == ("tinct.napari", file)


def test_nothing_names_a_window_toolkit() -> None:
    text = "".join(path.read_text() for path in sorted(manifest_file().parent.iterdir()) if path.is_file())
    assert not [name for name in ("Qt", "PySide", "qtpy", "PyQt", "magicgui") if name in text]
    assert "napari" not in sys.modules


def test_npe2_reads_a_run_with_our_reader(manager: Any, run: Path) -> None:
    (reader,) = list(manager.iter_compatible_readers([str(run)]))
    assert reader.command == "tinct.read"
    layers = manager.commands.execute(reader.command, args=(str(run),))(str(run))
    (frames, shown, kind), (labels, described, labels_kind) = layers
    assert (kind, labels_kind) == ("image", "labels")
    assert (shown["name"], described["name"]) == ("walk", "walk masks")
    assert frames.shape == (FRAMES, H, W, 3)
    np.testing.assert_array_equal(labels, np.stack([labels_at(t) for t in range(FRAMES)]))
    assert described["metadata"]["object_names"] == {1: "object 1", 4: "dog"}


def test_npe2_reads_a_video_file(manager: Any, video_file: Path) -> None:
    (reader,) = list(manager.iter_compatible_readers([str(video_file)]))
    ((frames, _, kind),) = manager.commands.execute(reader.command, args=(str(video_file),))(str(video_file))
    assert kind == "image"
    np.testing.assert_array_equal(frames[2], Video.open(video_file)[2])


def test_npe2_writes_a_labels_layer(manager: Any, tmp_path: Path) -> None:
    writer = next(iter(manager.iter_compatible_writers(["labels"])))
    labels = np.stack([labels_at(t) for t in range(FRAMES)]).astype(np.int64)
    names = [f"shot.{t}" for t in range(FRAMES)]
    attributes = {"name": "x", "metadata": {"frame_names": names}}
    out = str(tmp_path / "out")
    written = manager.commands.execute(writer.command, args=(out, labels, attributes))
    assert written == [str(tmp_path / "out" / f"{name}.png") for name in names]
    for t, path in enumerate(written):
        np.testing.assert_array_equal(read_label_png(path), labels_at(t))
    with pytest.raises(OutputError, match="there already"):
        write_labels(out, labels, {})


def test_npe2_offers_the_command_as_a_widget(manager: Any) -> None:
    (widget,) = list(manager.iter_widgets())
    assert (widget.command, widget.autogenerate) == ("tinct.segment", True)
    assert [item.command for item in manager.iter_menu("napari/layers/segment")] == ["tinct.segment"]


@pytest.mark.parametrize(
    ("metadata", "first"),
    [
        ({}, "00000.png"),
        ({"frame_names": ["a"] * FRAMES}, "00000.png"),
        ({"frame_names": ["a", "b"]}, "00000.png"),
        ({"frame_names": ["../a", "b", "c", "d"]}, "00000.png"),
        ({"frame_names": ["a", "b", "c", "d"]}, "a.png"),
    ],
)
def test_frames_keep_harmless_names(tmp_path: Path, metadata: dict[str, Any], first: str) -> None:
    labels = np.zeros((FRAMES, H, W), np.uint8)
    written = write_labels(str(tmp_path / "out"), labels, {"metadata": metadata})
    assert Path(written[0]) == tmp_path / "out" / first


def test_a_single_label_map_is_one_file(tmp_path: Path) -> None:
    assert write_labels(str(tmp_path / "a"), labels_at(0), {}) == [str(tmp_path / "a.png")]
    np.testing.assert_array_equal(read_label_png(tmp_path / "a.png"), labels_at(0))


@pytest.mark.parametrize(
    "labels",
    [np.full((2, H, W), 256), np.full((2, H, W), -1), np.zeros((2, H, W)), np.zeros((2, 2, H, W), np.uint8)],
)
def test_what_is_no_label_map_is_not_written(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(MaskError):
        write_labels(str(tmp_path / "out"), labels, {})
    assert not list(tmp_path.iterdir())


def test_a_folder_of_masks_is_a_labels_layer(run: Path) -> None:
    reader = get_reader(str(run / "masks"))
    assert reader is not None
    ((labels, described, kind),) = reader(str(run / "masks"))
    assert (kind, described["metadata"]["frame_names"]) == ("labels", [f"{t:05d}" for t in range(FRAMES)])
    np.testing.assert_array_equal(labels[3], labels_at(3))


def test_a_folder_of_photos_is_a_video(tmp_path: Path) -> None:
    for t in range(3):
        Image.fromarray(np.full((H, W, 3), t, np.uint8)).save(tmp_path / f"{t}.png")
    reader = get_reader(str(tmp_path))
    assert reader is not None
    ((frames, _, kind),) = reader(str(tmp_path))
    assert (kind, frames.shape, int(frames[2].max())) == ("image", (3, H, W, 3), 2)


def test_what_is_not_ours_is_left_to_others(tmp_path: Path, video_file: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a.mp4", tmp_path / "empty", tmp_path / "none"):
        assert get_reader(str(path)) is None
    assert get_reader([str(video_file)]) is None


def test_a_stack_reads_only_what_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.random.default_rng(t).integers(0, 256, (H, W, 3), np.uint8) for t in range(FRAMES)]
    whole = np.stack(frames)
    stack = FrameStack(Video.from_arrays(frames))
    read: list[int] = []
    ours = type(stack.video).__getitem__
    monkeypatch.setattr(type(stack.video), "__getitem__", lambda self, i: read.append(i) or ours(self, i))
    np.testing.assert_array_equal(stack[2], whole[2])
    np.testing.assert_array_equal(stack[2, :, 3:5], whole[2, :, 3:5])
    assert read == [2]
    for key in (
        -1,
        slice(1, 3),
        (slice(None, None, 2), 4),
        (np.int64(1), Ellipsis),
        (Ellipsis, 0),
        slice(3, 3),
    ):
        np.testing.assert_array_equal(stack[key], whole[key])
    np.testing.assert_array_equal(np.asarray(stack), whole)
    assert (stack.ndim, stack.dtype, stack.size, len(stack)) == (4, np.uint8, whole.size, FRAMES)
    with pytest.raises(IndexError):
        stack[FRAMES]


@dataclass
class Layer:
    """What a layer of napari is to the command."""

    data: Any
    name: str = "painted"
    metadata: dict[str, Any] = field(default_factory=dict)


class Shift(StreamingSegmenter[ObjectMasks]):
    """Moves the masks one column to the right with every frame."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> ObjectMasks:
        return ObjectMasks.from_label_map(labels)

    def step(
        self, state: ObjectMasks, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[ObjectMasks, ObjectMasks]:
        moved = ObjectMasks(state.object_ids, np.roll(state.probs, 1, axis=2))
        moved = moved if labels is None else moved.corrected(labels)
        return moved, moved


@pytest.mark.parametrize("kind", ["stack", "colours", "grey"])
def test_the_command_segments_from_what_is_painted(
    manager: Any, video_file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(zoo, "build_segmenter", lambda method: asked.append(method) or Shift())
    data: Any = FrameStack(Video.open(video_file))
    if kind != "stack":
        data = np.asarray(data)[..., 0] if kind == "grey" else np.asarray(data)
    painted = np.zeros((FRAMES, H, W), np.int64)
    painted[0, 2:4, 2:4] = 1
    painted[2, 6:8, 6:8] = 5
    layers = {"video": Layer(data, metadata={"frame_names": ["a"]}), "labels": Layer(painted)}
    masks, described, layer_kind = manager.commands.execute("tinct.segment", kwargs=layers)
    assert (asked, layer_kind) == (["feelvos"], "labels")
    assert described == {"name": "painted (feelvos)", "metadata": {"frame_names": ["a"]}}
    assert (masks.shape, masks.dtype) == ((FRAMES, H, W), np.uint8)
    assert [int((masks[t] == 1).sum()) for t in range(FRAMES)] == [4] * 4
    assert (masks[3, 2, 5], masks[3, 6, 7], masks[1].max()) == (1, 5, 1)
    assert segment_from_labels(**layers)[1] == described


def test_an_unpainted_layer_is_refused(video_file: Path) -> None:
    video = Video.open(video_file)
    with pytest.raises(MaskError, match="Nothing is painted"):
        annotated_frames(np.zeros((FRAMES, H, W), np.uint8), video)
    with pytest.raises(MaskError, match="labels layer has the shape"):
        annotated_frames(np.ones((FRAMES, H, W + 1), np.uint8), video)
    with pytest.raises(MaskError, match="300"):
        annotated_frames(np.full((FRAMES, H, W), 300), video)
    assert list(annotated_frames(labels_at(0), video)) == [0]


@pytest.mark.parametrize(
    "data", [np.zeros((2, 3, 4, 2), np.uint8), np.zeros((2, 3, 4)), np.zeros((2, 3), np.uint8)]
)
def test_what_is_no_video_is_refused(data: np.ndarray) -> None:
    with pytest.raises(VideoError, match="image layer"):
        as_video(data)
