"""Flow estimators: a known motion is found, files and caches give what was put in, errors say what lacks."""

from __future__ import annotations

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tinct.errors import DatasetError, OptionError, OutputError, VideoError, WeightsError
from tinct.io.flow_files import Flow, write_flo
from tinct.io.processes import host_tag
from tinct.io.video import Video
from tinct.networks import flow as flows
from tinct.networks.flow import CachedFlow, DisFlow, FlowEstimator, FlowFolder, RaftFlow, flow_estimator
from tinct.networks.flow_choice import FlowChoice
from tinct.shapes import Image


def textured(size: tuple[int, int] = (120, 160), seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.5), np.uint8)


def moved(frame: Image, dx: int, dy: int) -> Image:
    return np.roll(frame, (dy, dx), (0, 1))


class Counted(FlowEstimator):
    name = "counted"

    def __init__(self) -> None:
        self.calls = 0

    def _estimate(self, frame: Image, other: Image) -> Flow:
        self.calls += 1
        return np.full((*frame.shape[:2], 2), self.calls, np.float32)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_dis_finds_a_shift_and_its_sign(preset: str, scale: float) -> None:
    frame = textured()
    found = DisFlow(preset, scale).between(frame, moved(frame, 4, -2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.median(found[20:-20, 20:-20], (0, 1)), [4, -2], atol=0.4)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (31, 64)])
def test_dis_takes_small_frames(size: tuple[int, int]) -> None:
    frame = textured(size)
    assert DisFlow().between(frame, frame).shape == (*size, 2)


def test_dis_options_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match="Did you mean 'medium'"):
        DisFlow("mediun")
    with pytest.raises(OptionError, match=r"scale 0\.0 came"):
        DisFlow(scale=0.0)


def test_frames_of_different_sizes() -> None:
    with pytest.raises(VideoError, match="160×120 and 80×60"):
        DisFlow().between(textured(), textured((60, 80)))


def test_a_folder_gives_the_flow_of_the_frames_it_is_asked_for(tmp_path: Path) -> None:
    frames = [textured((6, 8), seed) for seed in range(3)]
    video = Video.from_arrays(frames)
    wanted = np.random.default_rng(1).normal(size=(6, 8, 2)).astype(np.float32)
    first, second = (Path(name).stem for name in list(video.names)[:2])
    write_flo(tmp_path / f"{second}_{first}.flo", wanted)
    folder = FlowFolder.of_video(tmp_path, video, pairs=[(1, 0)])
    np.testing.assert_array_equal(folder.between(frames[1], frames[0]), wanted)
    with pytest.raises(DatasetError, match=rf"{first}_{second}\.flo cannot be read"):
        folder.between(frames[0], frames[1])
    with pytest.raises(DatasetError, match="none of the 3 frames"):
        folder.between(frames[0], textured((6, 8), 9))


def test_a_folder_with_flow_of_another_size(tmp_path: Path) -> None:
    frames = [textured((6, 8), seed) for seed in range(2)]
    video = Video.from_arrays(frames)
    first, second = (Path(name).stem for name in video.names)
    write_flo(tmp_path / f"{first}_{second}.flo", np.zeros((3, 4, 2), np.float32))
    with pytest.raises(DatasetError, match="flow of 4×3 pixels, but its frame is 8×6"):
        FlowFolder.of_video(tmp_path, video, pairs=[]).between(*frames)


def test_the_files_of_a_folder_are_looked_at_before_any_is_used(tmp_path: Path) -> None:
    video = Video.from_arrays([textured((6, 8), seed) for seed in range(4)])
    for frame, other in ((1, 0), (2, 1), (3, 2), (1, 2)):
        write_flo(tmp_path / f"{frame:05d}_{other:05d}.flo", np.zeros((6, 8, 2), np.float32))
    FlowFolder.of_video(tmp_path, video)
    FlowFolder.of_video(tmp_path, video, pairs=[(1, 2)])
    with pytest.raises(DatasetError, match=r"^The flow .*00002_00003\.flo cannot be read"):
        FlowFolder.of_video(tmp_path, video, pairs=[(1, 2), (2, 3)])
    (tmp_path / "00002_00001.flo").unlink()
    write_flo(tmp_path / "00003_00002.flo", np.zeros((3, 4, 2), np.float32))
    with pytest.raises(DatasetError, match=r"^2 of the 3 flow files .*: The flow .*00002_00001\.flo cannot"):
        FlowFolder.of_video(tmp_path, video)
    with pytest.raises(DatasetError, match=r"^\S*00003_00002\.flo is flow of 4×3 pixels, .* is 8×6"):
        FlowFolder.of_video(tmp_path, video, working_height=3, pairs=[(3, 2)])


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no folder"):
        FlowFolder.of_video(tmp_path / "x", Video.from_arrays([textured((6, 8))]))


def test_a_cache_asks_once(tmp_path: Path) -> None:
    inner = Counted()
    cached = CachedFlow(inner, tmp_path / "new")
    frames = [textured((6, 8), seed) for seed in range(2)]
    first = cached.between(*frames)
    np.testing.assert_array_equal(cached.between(*frames), first)
    assert inner.calls == 1
    assert not np.array_equal(cached.between(*reversed(frames)), first)
    np.testing.assert_array_equal(CachedFlow(Counted(), tmp_path / "new").between(*frames), first)


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    cached = CachedFlow(Counted(), tmp_path)
    frames = [textured((6, 8), seed) for seed in range(2)]
    cached.between(*frames)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    np.testing.assert_array_equal(cached.between(*frames), np.full((6, 8, 2), 2, np.float32))
    np.testing.assert_array_equal(cached.between(*frames), np.full((6, 8, 2), 2, np.float32))


def test_many_writers_leave_whole_files(tmp_path: Path) -> None:
    frames = [textured((30, 40), seed) for seed in range(2)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: CachedFlow(DisFlow(), tmp_path).between(*frames), range(32)))
    assert all(np.array_equal(f, found[0]) for f in found)
    assert [p.suffix for p in tmp_path.iterdir()] == [".flo"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", locked)
    frames = [textured((6, 8), seed) for seed in range(2)]
    with pytest.raises(OutputError, match=r"cache.*cannot be written: Permission denied\. .*--flow-cache"):
        CachedFlow(Counted(), tmp_path / "cache").between(*frames)


_SHARE = """
import sys
from pathlib import Path
import numpy as np
from tinct.networks.flow import CachedFlow, DisFlow
frames = list(np.load(sys.argv[2]))
print("ready", flush=True)
input()
cached = CachedFlow(DisFlow(), Path(sys.argv[1]))
np.save(sys.argv[3], [cached.between(a, b) for a, b in zip(frames[1:], frames)])
"""


def test_processes_that_share_a_cache_get_one_flow(tmp_path: Path) -> None:
    frames = [moved(textured((60, 80)), 2 * t, t) for t in range(12)]
    np.save(tmp_path / "frames.npy", frames)
    cache = tmp_path / "cache"
    cache.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (cache / f".x.{host_tag()}-{gone.pid}-abc_1234.part.flo").write_bytes(b"PIEH half")
    found = [tmp_path / f"{name}.npy" for name in "ab"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _SHARE, str(cache), str(tmp_path / "frames.npy"), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path in found
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("\n", timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    expected = [DisFlow().between(a, b) for a, b in zip(frames[1:], frames, strict=False)]
    for path in found:
        np.testing.assert_array_equal(np.load(path), expected)
    assert sorted(path.suffix for path in cache.iterdir()) == [".flo"] * 11


def test_raft_runs_on_any_size_with_weights_from_a_file(tmp_path: Path) -> None:
    from torchvision.models.optical_flow import raft_small

    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    raft = RaftFlow("small", tmp_path / "raft.pth")
    frame = textured((50, 61))
    found = raft.between(frame, moved(frame, 2, 0))
    assert found.shape == (50, 61, 2)
    assert np.isfinite(found).all()
    assert raft.name.startswith("raft-small-")


def test_raft_without_weights_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(flows.torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(flows.torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError, match=r"host\. Download https.*raft_large.*--flow-weights.*--flow dis"):
        flow_estimator("raft-large")
    with pytest.raises(WeightsError, match="cannot be had from"):
        flow_estimator("raft-small", weights=tmp_path / "none.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="does not hold the weights of torchvision's RAFT small"):
        flow_estimator("raft-small", weights=tmp_path / "a.pth")
    torch.save([1], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no weights but a list"):
        flow_estimator("raft-small", weights=tmp_path / "a.pth")


def test_rafts_weights_are_downloaded_once_and_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torchvision.models.optical_flow import raft_small

    asked = []

    def download(url: str, target: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix, progress))
        torch.save(raft_small(weights=None).state_dict(), target)

    monkeypatch.setattr(flows.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(flows.torch.hub, "download_url_to_file", download)
    choice = FlowChoice("raft-small")
    url = choice.download
    assert url is not None
    assert RaftFlow().name == RaftFlow().name
    assert asked == [(url, "01064c6d", False)]
    assert choice.download is None
    assert FlowChoice("raft-large", Path("a.pth")).download is FlowChoice().download is None
    assert capsys.readouterr() == ("", "")


def test_estimators_by_name(tmp_path: Path) -> None:
    assert isinstance(flow_estimator(), DisFlow)
    assert isinstance(flow_estimator(cache=tmp_path), CachedFlow)
    with pytest.raises(OptionError, match="Did you mean 'raft-small'"):
        flow_estimator("raft_small")
    with pytest.raises(OptionError, match="RAFT has no size"):
        RaftFlow("huge")
