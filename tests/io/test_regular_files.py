"""No reader of strangers' files waits for a pipe, or reads a device to its end that never comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinct.data.attributes import read_attributes
from tinct.data.image_headers import read_header
from tinct.data.images import read_rgb
from tinct.data.lists import read_list
from tinct.data.occlusion.files import read_visibility
from tinct.data.segtrack import frame_names
from tinct.errors import TinctError
from tinct.evaluation.results import read_scores
from tinct.inference.state_files import load_state, read_extra
from tinct.interchange.imports import lists_pictures, read_annotations
from tinct.io.flow_files import check_flo, read_flo
from tinct.io.json_files import read_json
from tinct.io.mask_files import read_label_png, read_mask
from tinct.io.regular_files import check_regular, read_regular
from tinct.io.video import Video
from tinct.networks.flow import RaftFlow
from tinct.networks.imagenet import read_checkpoint as read_imagenet
from tinct.networks.weights import load_weights
from tinct.runs.run_file import read_record
from tinct.training.checkpoint import read_checkpoint
from tinct.training.recipes.recipe import method_of_weights
from tinct.zoo.build import file_sha256, read_card

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")


@dataclass(frozen=True)
class State:
    number: int


VIDEO = Video.from_arrays([np.zeros((4, 5, 3), np.uint8)])
READERS: dict[str, Callable[[Path], Any]] = {
    "a.json": lambda path: read_json(path, "JSON", "Give a file."),
    "annotations.json": lambda path: read_annotations(path, VIDEO),
    "annotations.xml": lambda path: read_annotations(path, VIDEO),
    "annotations.zip": lists_pictures,
    "mask.png": read_mask,
    "label.png": read_label_png,
    "frames": Video.open,
    "film.mp4": Video.open,
    "w.safetensors": lambda path: load_weights(path, torch.nn.Linear(1, 1), method="osvos", variant="tiny"),
    "hash.safetensors": file_sha256,
    "init.safetensors": method_of_weights,
    "imagenet.safetensors": read_imagenet,
    "imagenet.pth": read_imagenet,
    "raft.pth": lambda path: RaftFlow("small", path),
    "card.json": read_card,
    "state.safetensors": lambda path: load_state(path, State),
    "extra.safetensors": read_extra,
    "run.json": read_record,
    "scores.json": read_scores,
    "checkpoint.pt": read_checkpoint,
    "a.flo": read_flo,
    "b.flo": check_flo,
    "list.txt": read_list,
    "ImageSets/cow.txt": lambda path: frame_names(path.parents[1], "cow"),
    "attributes.yaml": read_attributes,
    "00000.jpg": read_rgb,
    "00001.png": read_header,
    "Visibility/train.json": lambda path: read_visibility(path.parents[1], "train"),
}


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise AssertionError("it waits for the pipe")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_refused_with_a_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(TinctError) as raised:
        READERS[name](path)
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)


def test_a_device_is_refused_and_a_link_to_a_file_read(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="pipe or a device"):
        read_regular(tmp_path / "zero")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_regular(tmp_path / "link") == b"1"


def test_what_is_missing_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "a")
    with pytest.raises(IsADirectoryError):
        check_regular(tmp_path)
