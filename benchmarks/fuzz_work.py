"""The kinds of file in which tinct keeps work, for `fuzz.py`: runs, checkpoints, states, weights, projects.

Most of them are read as a person's next command reads them: a run is resumed, a training is gone on with.
What comes out must be what an undamaged file gives, or an error of tinct.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fuzz_kinds import FileKind, H, W, a_video, digest, frame, labels


@dataclass(frozen=True)
class State:
    """As large as a state has to be to have every type in it."""

    embedding: Any
    labels: np.ndarray
    object_ids: tuple[int, ...]
    name: str
    seconds: float


def a_state() -> Any:
    """A state of a made-up method, whose annotation names its tensor."""
    import torch

    State.__annotations__["embedding"] = torch.Tensor
    return State(torch.arange(60.0).reshape(3, 4, 5).permute(2, 0, 1), labels(), (1, 5), "é", 0.5)


def write_state(path: Path) -> None:
    """A state file with a word beside it."""
    from tinct.inference.state_files import save_state

    save_state(path, a_state(), {"frames": 7, "run": "abc"})


def read_state(path: Path) -> Any:
    """The state and the words."""
    from tinct.inference.state_files import load_state, read_extra

    a_state()
    extra = read_extra(path)
    state = load_state(path, State)
    values = state.embedding.tolist(), state.embedding.stride(), state.labels.tolist()
    return values, state.object_ids, state.name, state.seconds, extra


def a_network() -> Any:
    """Three tensors."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))


def write_weights(path: Path) -> None:
    """Weights of a made-up method."""
    from tinct.networks.weights import save_weights

    save_weights(path, a_network(), method="osvos", variant="mobilenetv2")


def read_weights(path: Path) -> Any:
    """Weights into a network."""
    from tinct.networks.weights import load_weights

    network = a_network()
    load_weights(path, network, method="osvos", variant="mobilenetv2")
    return [digest(value.numpy()) for value in network.state_dict().values()]


# A run folder


def a_run_video() -> Any:
    """Six frames."""
    from tinct.io.video import Video

    return Video.from_arrays([frame(9 * index) for index in range(6)])


def resume(out: Path) -> dict[str, int]:
    """Segment the frames into a folder, or go on; the masks."""
    from fuzz_segmenter import Shifting
    from tinct.io.mask_files import read_label_png
    from tinct.runs.segment_to_folder import FolderOptions, segment_to_folder

    options = FolderOptions(resume=True, overlay=False)
    segment_to_folder(Shifting(), a_run_video(), {0: labels()}, out, options, info={"video": "clip"})
    return {path.name: digest(read_label_png(path)) for path in sorted((out / "masks").glob("*.png"))}


def write_run(path: Path, *, complete: bool = False) -> None:
    """The file of that name in a run of six frames, cut short after four unless it is complete."""
    from fuzz_segmenter import Shifting
    from tinct.errors import TinctError

    out = path.parent / "run"
    stop_at = None if complete else 4
    with contextlib.suppress(TinctError), Shifting.failing_at(stop_at):
        resume(out)
    source = out / path.name if (out / path.name).exists() else out / "masks" / path.name
    shutil.copyfile(source, path)


def write_complete_run(path: Path) -> None:
    """The file of that name in a complete run of six frames."""
    write_run(path, complete=True)


def write_journal(path: Path) -> None:
    """The journal that a killed process left in a run."""
    from tinct.errors import OutputError
    from tinct.runs.run_file import RunFile

    with mock.patch.object(RunFile, "end", side_effect=OutputError("killed")):
        write_run(path)


def write_lock(path: Path) -> None:
    """The lock that a killed process left in a run."""
    from tinct.io.processes import host_name

    write_run(path.with_name("run.json"))
    path.write_text(json.dumps({"host": host_name(), "pid": 0}))


@contextlib.contextmanager
def copied(path: Path, template: str, place: str) -> Iterator[Path]:
    """A copy of the folder `template` beside the file, with the file in its place there."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        out = Path(work) / template
        shutil.copytree(path.parent / template, out)
        shutil.copyfile(path, out / place)
        yield out


def resumed_from(place: str) -> Callable[[Path], Any]:
    """Reads the file by resuming the run it is of."""

    def read(path: Path) -> Any:
        with copied(path, "run", place) as out:
            return resume(out)

    return read


def read_record_file(path: Path) -> Any:
    """The record of a complete run, as exports and costs read it."""
    from tinct.interchange.exports import LabelledVideo, export
    from tinct.runs.run_file import costs

    with copied(path, "run", "run.json") as out:
        costs(out.parent, ["run"])
        run = LabelledVideo.of_run(out, a_run_video())
        export(run, "coco", out.parent / "exported.json")
        return run.frame_names, run.rate, run.object_names


def write_trace(path: Path) -> None:
    """What a loop over a video decided."""
    rounds = [{"retrieved_share": 0.25, "masks_share": 0.5}, {"retrieved_share": 0.5, "masks_share": 1.0}]
    content = {"frames": ["00000", "00001"], "object_ids": [1, 5], "rounds": rounds, "without_proposals": [1]}
    path.write_text(json.dumps(content))


def read_trace(path: Path) -> Any:
    """The shares of an ablation."""
    from tinct.evaluation.retrieval import read_traces, shares_of_rounds

    return shares_of_rounds(read_traces(path.parent.parent, [path.parent.name]))


# Training


def train(out: Path, **options: Any) -> Any:
    """Train three steps of a made-up task, or go on; the weights."""
    from fuzz_segmenter import Brightness, brightness_stages
    from tinct.training.loop import train as run_stages
    from tinct.training.options import LoopOptions

    given = {"cpu": True, "workers": 0, "mixed_precision": "no", "save_every": 1, "log_every": 1}
    task = Brightness()
    run_stages(task, brightness_stages(), LoopOptions(out, "feelvos", "tiny", **{**given, **options}))
    return [digest(tensor.numpy()) for tensor in task.network.state_dict().values()]


def write_training(path: Path) -> None:
    """The file of that name in a training that was stopped after its first step."""
    out = path.parent / "training"
    train(out, stop_after_s=0.0)
    shutil.copyfile(out / path.name, path)


def train_on(path: Path) -> Any:
    """The weights that the training ends with."""
    with copied(path, "training", path.name) as out:
        return train(out, resume=True)


# Flow


def write_flow(path: Path) -> None:
    """A Middlebury flow file."""
    from tinct.io.flow_files import write_flo

    write_flo(path, np.ones((H, W, 2), np.float32))


def read_flow(path: Path) -> Any:
    """Flow that somebody computed, of the first two frames of a video."""
    from tinct.networks.flow import FlowFolder

    video = a_video()
    estimator = FlowFolder.of_video(path.parent, video)
    return digest(estimator.between(video[1], video[0]))


def write_cached_flow(path: Path) -> None:
    """The file that a cache keeps for two frames."""
    from tinct.networks.flow import CachedFlow, flow_estimator

    CachedFlow(flow_estimator("dis"), path.parent / "cache").between(frame(1), frame())
    [made] = (path.parent / "cache").iterdir()
    shutil.copyfile(made, path)


def read_cached_flow(path: Path) -> Any:
    """What the cache gives."""
    from tinct.networks.flow import CachedFlow, flow_estimator

    cache = path.parent / "cache"
    [made] = cache.iterdir()
    shutil.copyfile(path, made)
    return digest(CachedFlow(flow_estimator("dis"), cache).between(frame(1), frame()))


# The page


def form(*files: tuple[str, bytes]) -> bytes:
    """A multipart form."""
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
        % (name.encode(), data)
        for name, data in files
    ]
    return b"".join(parts) + b"--XX--\r\n"


def upload_writer(*names: str) -> Callable[[Path], None]:
    """Writes the form in which a browser sends files of these names."""
    import fuzz_kinds

    def write(path: Path) -> None:
        files = []
        for name in names:
            file = path.parent / name
            fuzz_kinds.write_video(file) if file.suffix == ".mp4" else fuzz_kinds.picture_writer()(file)
            files.append((name, file.read_bytes()))
        path.write_bytes(form(*files))

    return write


async def in_chunks(data: bytes) -> AsyncIterator[bytes]:
    """A body as it comes over the network, in two pieces."""
    half = len(data) // 2
    yield data[:half]
    yield data[half:]


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """In the place of a thread."""
    return function(*arguments)


@contextlib.contextmanager
def a_library(folder: Path) -> Iterator[Any]:
    """A folder of projects, with small limits."""
    from tinct.web.library import Library
    from tinct.web.limits import Limits

    library = Library(folder, Limits(2_000_000, frames=50, pixels=100_000, body_bytes=50_000))
    try:
        with mock.patch("os.fsync"), mock.patch("starlette.concurrency.run_in_threadpool", at_once):
            yield library  # neither the disk nor threads are what is tried here
    finally:
        library.close()


def upload(path: Path) -> Any:
    """Upload a form to the page; the frames of the video that it has then."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work, a_library(Path(work) / "projects") as library:
        body = in_chunks(path.read_bytes())
        project = asyncio.run(library.add_upload("multipart/form-data; boundary=XX", body))
        folder = library.folder.resolve()
        assert all(each.resolve().is_relative_to(folder) for each in folder.rglob("*")), "outside the folder"
        library.summaries()
        return project.info.size, [digest(picture) for picture in project.video]


def write_import(path: Path) -> None:
    """The form in which a browser sends COCO JSON."""
    import fuzz_kinds

    file = path.parent / "coco.json"
    fuzz_kinds.write_coco(file)
    path.write_bytes(form(("coco.json", file.read_bytes())))


def import_on_the_page(path: Path) -> Any:
    """Import another program's masks into a project; the masks that it shows then."""
    from tinct.web.file_routes import import_annotations
    from tinct.web.uploads import receive

    with tempfile.TemporaryDirectory(dir=path.parent) as work, a_library(Path(work) / "projects") as library:
        project = asyncio.run(
            library.add_upload("multipart/form-data; boundary=XX", in_chunks(form(*two_frames(path.parent))))
        )
        body = in_chunks(path.read_bytes())
        received = asyncio.run(receive("multipart/form-data; boundary=XX", body, Path(work), 50_000, 1))
        frames, _ = import_annotations(project, received.only_file(), 0)
        return {index: digest(project.labels(index)) for index in frames}


def two_frames(folder: Path) -> list[tuple[str, bytes]]:
    """Frames 00000 and 00001 as files."""
    import fuzz_kinds

    files = []
    for index in range(2):
        file = folder / f"{index:05d}.png"
        fuzz_kinds.picture_writer()(file)
        files.append((file.name, file.read_bytes()))
    return files


def write_project(path: Path) -> None:
    """A project file with frames, a painted one, an undone step and a named object."""
    with a_library(path.parent / "projects") as library:
        body = in_chunks(form(*two_frames(path.parent)))
        project = asyncio.run(library.add_upload("multipart/form-data; boundary=XX", body))
        project.annotate({0: labels()}, {1: "dog"})
        project.annotate({1: np.roll(labels(), 2, 1)}, {5: "cat"})
        project.journal.undo()
    shutil.copyfile(project.file.path, path)


def open_projects(path: Path) -> Any:
    """All projects of a folder; a broken one is listed with its reason."""
    from tinct.errors import TinctError

    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        shutil.copyfile(path, Path(work) / path.name)
        with a_library(Path(work)) as library:
            [listed] = library.summaries()
            if listed["status"] == "failed":
                raise TinctError(listed["error"])
            project = library.get(path.stem)
            project.file.check()
            return {index: digest(project.labels(index)) for index in project.journal.prompts}


def of_run(name: str, place: str, write: Callable[[Path], None], **options: Any) -> FileKind:
    """A file of a run, read by resuming the run."""
    return FileKind(name, Path(place).name, write, resumed_from(place), has_checksum=True, **options)


WORK_KINDS: Mapping[str, FileKind] = {
    kind.name: kind
    for kind in (
        FileKind("state", "state.safetensors", write_state, read_state, has_checksum=True),
        of_run("state, resumed", "state.safetensors", write_run),
        of_run("run.json, resumed", "run.json", write_run, form="json"),
        of_run("run.jsonl, resumed", "run.jsonl", write_journal, form="text"),
        of_run("run.json, complete, resumed", "run.json", write_complete_run, form="json"),
        of_run("lock of a run, resumed", ".lock", write_lock),
        of_run("mask of a run, resumed", "masks/00002.png", write_run),
        FileKind("run.json, exported", "run.json", write_complete_run, read_record_file, form="json"),
        FileKind("why.json", "why.json", write_trace, read_trace, form="json"),
        FileKind("checkpoint", "checkpoint.pt", write_training, train_on, has_checksum=True),
        FileKind("curve of a training", "curve.jsonl", write_training, train_on, "text", True),
        FileKind("weights", "weights.safetensors", write_weights, read_weights, has_checksum=True),
        FileKind("flow", "00001_00000.flo", write_flow, read_flow),
        FileKind("flow in a cache", "cached.flo", write_cached_flow, read_cached_flow),
        FileKind("upload of a video", "form", upload_writer("clip.mp4"), upload),
        FileKind("upload of frames", "form", upload_writer("00000.png", "00001.jpg"), upload),
        FileKind("import on the page", "form", write_import, import_on_the_page),
        FileKind("project", "project.tinct", write_project, open_projects),
    )
}
