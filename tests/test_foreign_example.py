"""examples/foreign: a network of somebody else's gets every verb by its adapter and an entry point."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

from tinct import zoo
from tinct.inference.segmenter import segment_video
from tinct.io.mask_files import read_label_png, write_mask
from tinct.networks.weights import save_weights
from tinct.zoo.plugins import PluginWarning, plugin_methods

SOURCE = Path(__file__).parents[1] / "examples/foreign/src"


def labels_at(index: int) -> np.ndarray:
    labels = np.zeros((24, 32), np.uint8)
    labels[4:14, 4 + index : 15 + index] = 1
    labels[16:22, 20:28] = 5
    return labels


def declare(folder: Path, *entries: str) -> Path:
    """An installed distribution with entry points, as pip leaves it."""
    info = folder / "tinct_drift-0.1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinct-drift\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[tinct.methods]", *entries, ""]))
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example as if installed, with weights, beside a clip and a dataset of one sequence."""
    folder = declare(tmp_path / "site", "drift = tinct_drift.row:RECORD")
    for path in (SOURCE, folder):
        monkeypatch.syspath_prepend(str(path))
    row = plugin_methods(zoo.methods.OWN)["drift"]
    monkeypatch.setitem(cast(dict[str, Any], zoo.METHODS), "drift", row)
    torch.manual_seed(0)
    network = importlib.import_module("tinct_drift.network").DriftNetwork()
    save_weights(tmp_path / "drift.safetensors", network, method="drift", variant="toy")
    for name in ("JPEGImages/480p/box", "Annotations/480p/box", "ImageSets/2016"):
        (tmp_path / "DAVIS" / name).mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2016/val.txt").write_text("box\n")
    for index in range(4):
        frame = np.repeat(labels_at(index)[..., None] * np.uint8(40), 3, axis=2)
        Image.fromarray(frame).save(tmp_path / f"DAVIS/JPEGImages/480p/box/{index:05d}.jpg")
        write_mask(tmp_path / f"DAVIS/Annotations/480p/box/{index:05d}.png", labels_at(index))
    monkeypatch.chdir(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinct_drift"]:
        del sys.modules[name]


CLIP, MASK = "DAVIS/JPEGImages/480p/box", "DAVIS/Annotations/480p/box/00000.png"
HOW = ("--method", "drift", "--weights", "drift.safetensors", "--device", "cpu")


def test_every_verb_knows_it(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tinct(*words: str) -> int:
        return tinct_command(monkeypatch, *words)

    assert tinct("models", "drift") == 0
    assert "three convolutions" in capsys.readouterr().out
    assert tinct("segment", CLIP, "--mask", MASK, *HOW, "--out", "run", "--soft") == 0
    assert set(np.unique(read_label_png(Path("run/masks/00003.png")))) == {0, 1, 5}
    assert json.loads(Path("run/run.json").read_text())["run"]["method"] == "drift"
    assert tinct("export", "run", "--to", "coco") == 0
    assert tinct("evaluate", "--dataset", "davis-2016", "--root", "DAVIS", "--out", "scored", *HOW) == 0
    assert json.loads(Path("scored/scores.json").read_text())["J"]["mean"] > 0.3


def test_a_shell_knows_it_by_its_entry_point_alone(site: Path) -> None:
    paths = [str(SOURCE), str(site), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "tinct", "segment", CLIP, "--mask", MASK, *HOW, "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("run/masks").glob("*.png"))) == 4


def test_states_stay_and_corrections_are_taken(site: Path) -> None:
    segmenter = zoo.build_segmenter("drift", weights="drift.safetensors", device="cpu")
    frames = [np.full((24, 32, 3), 40 * i, np.uint8) for i in range(4)]
    late = np.zeros((24, 32), np.uint8)
    late[10:14, 10:14] = 3
    first, second = (
        [masks for _, masks in segment_video(segmenter, frames, {0: labels_at(0), 2: late})] for _ in range(2)
    )
    assert [masks.object_ids for masks in first] == [(1, 5), (1, 5), (1, 3, 5), (1, 3, 5)]
    assert np.array_equal(first[2].label_map == 3, late == 3)
    assert all(np.array_equal(a.probs, b.probs) for a, b in zip(first, second, strict=True))


def test_a_broken_plugin_takes_no_other_method_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(
        tmp_path, "gone = no_such_package.row:RECORD", "feelvos = tinct.zoo.records:Score",
        "odd = tinct.zoo.records:PRESETS", "fine = tinct.zoo.methods:OWN_EXAMPLE",
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("tinct.zoo.methods.OWN_EXAMPLE", zoo.METHODS["osvos"], raising=False)
    with pytest.warns(PluginWarning) as warned:
        found = plugin_methods(zoo.methods.OWN)
    assert list(found) == ["fine"]
    said = " ".join(str(warning.message) for warning in warned)
    assert "gone (no_such_package.row:RECORD) is left out: ModuleNotFoundError" in said
    assert "feelvos (tinct.zoo.records:Score) is left out: the name is taken" in said
    assert "is a tuple, not a tinct.zoo.records.MethodRecord" in said
