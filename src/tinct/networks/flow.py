"""Optical flow between two frames, from whoever can give it, behind one interface.

| estimator | needs |
|---|---|
| `DisFlow` | nothing: OpenCV's dense inverse search (Kroeger et al., ECCV 2016), made for processors |
| `RaftFlow` | weights of torchvision's RAFT (Teed and Deng, ECCV 2020) |
| `FlowFolder` | `.flo` files that somebody computed, as the papers used FlowNet 2.0 and EpicFlow |
| `CachedFlow` | another estimator, whose results it keeps on disk |

Flow lives on the first frame: what is at p there is at p + flow[y, x] in the second one, in pixels
(`tinct.ops.warp`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8

from tinct.errors import (
    DatasetError,
    MissingDatasetError,
    OptionError,
    OutputError,
    VideoError,
    WeightsError,
    near_match,
)
from tinct.io.atomic import sweep
from tinct.io.flow_files import Flow, check_flo, read_flo, write_flo
from tinct.io.regular_files import check_regular
from tinct.io.video import Video
from tinct.ops.working_size import working_frame
from tinct.shapes import Image


class FlowEstimator(ABC):
    """Gives the flow between two frames.

    Attributes:
        name: Says what is computed and how, for caches and logs: equal names, equal flow.
    """

    name: str

    def between(self, frame: Image, other: UInt8[np.ndarray, "h w 3"]) -> Flow:
        """The flow that lives on `frame` and points into `other`, float32 [H, W, 2].

        Raises:
            VideoError: The frames are of different sizes.
            DatasetError: The flow should be in a file, and is not.
        """
        if frame.shape != other.shape:
            raise VideoError(
                f"Flow was asked for between frames of {frame.shape[1]}×{frame.shape[0]} and "
                f"{other.shape[1]}×{other.shape[0]} pixels; frames of one video are of one size."
            )
        return self._estimate(frame, other)

    @abstractmethod
    def _estimate(self, frame: Image, other: Image) -> Flow:
        """The same, of frames of one size."""


DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class DisFlow(FlowEstimator):
    """OpenCV's dense inverse search.

    Args:
        preset: "ultrafast", "fast" or "medium".
        scale: Frames are brought to this share of their size first, and the flow back again.

    Raises:
        OptionError: No such preset, or a scale outside (0, 1].
    """

    LEAST_SIDE = 16
    """Smaller frames than OpenCV's patches are enlarged by repeating their border."""

    def __init__(self, preset: str = "medium", scale: float = 0.5) -> None:
        if preset not in DIS_PRESETS:
            raise OptionError(f"DIS has no preset {preset!r}. {near_match(preset, DIS_PRESETS)}")
        if not 0 < scale <= 1:
            raise OptionError(f"DIS at scale {scale} came; a scale lies in (0, 1].")
        self.preset, self.scale = preset, scale
        self.name = f"dis-{preset}-{scale:g}"

    def _estimate(self, frame: Image, other: Image) -> Flow:
        H, W = frame.shape[:2]
        width, height = (max(1, round(side * self.scale)) for side in (W, H))
        first, second = (self._prepared(x, (width, height)) for x in (frame, other))
        # A new one each time: it keeps buffers between calls, and is not safe between threads.
        found = cv2.DISOpticalFlow.create(DIS_PRESETS[self.preset]).calc(first, second, None)
        return resized_flow(np.asarray(found[:height, :width], np.float32), (H, W))

    def _prepared(self, frame: Image, size: tuple[int, int]) -> Any:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if size != grey.shape[::-1]:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        right, bottom = (max(0, self.LEAST_SIDE - side) for side in size)
        return cv2.copyMakeBorder(grey, 0, bottom, 0, right, cv2.BORDER_REPLICATE)


RAFT_SIZES = ("small", "large")


class RaftFlow(FlowEstimator):
    """torchvision's RAFT.

    Args:
        size: "small" or "large".
        weights: A checkpoint file of torchvision's; None takes torchvision's own, which it keeps in
            torch's hub folder or downloads.
        device: Where it runs.

    Raises:
        OptionError: No such size.
        WeightsError: The weights cannot be had or do not fit.
    """

    LEAST_SIDE = 128
    """RAFT's coarsest correlation needs 16 cells of 8 pixels."""

    def __init__(
        self, size: str = "small", weights: Path | None = None, device: torch.device | None = None
    ) -> None:
        from torchvision.models import optical_flow

        url = raft_url(size)
        builder = optical_flow.raft_small if size == "small" else optical_flow.raft_large
        self.device = device or torch.device("cpu")
        state = _raft_state(url, weights)
        network = builder(weights=None)
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise WeightsError(
                f"{weights or url} does not hold the weights of torchvision's RAFT {size}: {reason} "
                f"Take the file of {url}."
            ) from error
        self.network = network.to(self.device).eval()
        digest = hashlib.blake2b(digest_size=6)
        for tensor in state.values():
            digest.update(tensor.cpu().numpy().tobytes())
        self.name = f"raft-{size}-{digest.hexdigest()}"

    @torch.inference_mode()
    def _estimate(self, frame: Image, other: Image) -> Flow:
        H, W = frame.shape[:2]
        bottom, right = (max(self.LEAST_SIDE, -(-side // 8) * 8) - side for side in (H, W))
        first, second = (
            F.pad(
                torch.from_numpy(np.ascontiguousarray(x)).to(self.device).permute(2, 0, 1)[None] / 127.5 - 1,
                (0, right, 0, bottom),
                mode="replicate",
            )
            for x in (frame, other)
        )
        flow = self.network(first, second)[-1][0, :, :H, :W]
        return np.ascontiguousarray(flow.permute(1, 2, 0).float().cpu().numpy())


def raft_url(size: str) -> str:
    """Where torchvision's weights of RAFT are; OptionError if there is no such size."""
    if size not in RAFT_SIZES:
        raise OptionError(f"RAFT has no size {size!r}. {near_match(size, RAFT_SIZES)}")
    from torchvision.models import optical_flow

    record = optical_flow.Raft_Small_Weights if size == "small" else optical_flow.Raft_Large_Weights
    return str(record.DEFAULT.url)


def hub_file(url: str) -> Path:
    """Where torch's hub keeps what is downloaded from a URL."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(url).name)


def _raft_state(url: str, weights: Path | None) -> dict[str, torch.Tensor]:
    path = weights or hub_file(url)
    try:
        if weights is None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The hub's own loader would print a line. The end of the name begins the file's SHA-256.
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)
        check_regular(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever pickle, zip or the network raise
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise WeightsError(
            f"RAFT's weights cannot be had from {weights or url}: {reason.rstrip('.')}. Download {url} "
            "elsewhere and give the file (--flow-weights FILE), or take --flow dis, which needs no weights."
        ) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{weights or url} holds no weights but a {type(state).__name__}.")
    return state


class FlowFolder(FlowEstimator):
    """Flow that somebody computed: `<frame>_<other>.flo`; 00003_00002.flo leads from frame 3 back to 2.

    A segmenter has frames, not their names; so frames are known by their pixels.

    Args:
        folder: Holds the files.
        names: `frame_digest` of every frame of the video → its names; several where frames are alike.
        size: (H, W) of the files' flow, which is brought to the size of the frames it is asked for;
            None if they are of that size.
    """

    def __init__(
        self, folder: Path, names: Mapping[str, tuple[str, ...]], size: tuple[int, int] | None = None
    ) -> None:
        self.folder, self.names, self.size = folder, dict(names), size
        self.name = f"folder-{folder}"

    @classmethod
    def of_video(
        cls,
        folder: Path,
        video: Video,
        working_height: int | None = None,
        pairs: Iterable[tuple[int, int]] | None = None,
    ) -> FlowFolder:
        """The flow of a video, whose frames are named as `video.names` says, without suffix.

        Args:
            folder: Its flow, of the video's own size.
            video: The frames.
            working_height: To which a segmenter brings frames before it asks for flow, if it does.
            pairs: (frame, other) whose flow will be asked for, by their indices, and whose files are
                looked at here; by default every frame and the one before it.

        Raises:
            DatasetError: There is no such folder, or a file in it is missing, damaged or of another size.
        """
        if not folder.is_dir():
            raise MissingDatasetError(
                f"{folder} is no folder; give one that holds <frame>_<other>.flo for neighbouring frames."
            )
        names: dict[str, tuple[str, ...]] = {}
        digests = []
        for frame, name in zip(video, video.names, strict=True):
            digests.append(frame_digest(working_frame(frame, working_height)))
            for digest in {frame_digest(frame), digests[-1]}:
                names[digest] = (*names.get(digest, ()), Path(name).stem)
        flow = cls(folder, names, video.size)
        if pairs is None:
            pairs = ((index, index - 1) for index in range(1, len(video)))
        flow._check([(digests[frame], digests[other]) for frame, other in pairs])
        return flow

    def _check(self, pairs: list[tuple[str, str]]) -> None:
        """DatasetError if the files of some pairs of digests cannot be used."""
        faults = []
        for first, second in pairs:
            try:
                check_flo(self._file(self.names[first], self.names[second]), self.size)
            except DatasetError as error:
                faults.append(error)
        if len(faults) > 1:
            raise DatasetError(
                f"{len(faults)} of the {len(pairs)} flow files that are needed cannot be used; the first: "
                f"{faults[0]}"
            ) from faults[0]
        if faults:
            raise faults[0]

    def _file(self, first: tuple[str, ...], second: tuple[str, ...]) -> Path:
        """The file of two frames, each of which may go by several names."""
        files = [self.folder / f"{a}_{b}.flo" for a in first for b in second]
        return next((path for path in files if path.exists()), files[0])

    def _estimate(self, frame: Image, other: Image) -> Flow:
        first, second = (self.names.get(frame_digest(x)) for x in (frame, other))
        if first is None or second is None:
            raise DatasetError(
                f"A frame came that is none of the {len(self.names)} frames whose flow is in {self.folder}; "
                "make the flow folder from the very video that is segmented."
            )
        size = (frame.shape[0], frame.shape[1])
        return resized_flow(read_flo(self._file(first, second), self.size or size), size)


def resized_flow(flow: Flow, size: tuple[int, int]) -> Float[np.ndarray, "h w 2"]:
    """Flow at another size, its vectors still in pixels of the frame that it lives on."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    resized = np.asarray(cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return resized * np.array([size[1] / width, size[0] / height], np.float32)


class CachedFlow(FlowEstimator):
    """An estimator whose results are cached as `.flo` files; any number of processes may share the folder.

    A file appears whole or not at all, and two processes that compute the same flow write the same
    bytes. A damaged file is computed again. What killed processes were writing is removed.

    Args:
        estimator: Is asked for what the folder lacks.
        folder: Made if it is not there.
    """

    def __init__(self, estimator: FlowEstimator, folder: Path) -> None:
        self.estimator, self.folder = estimator, folder
        self.name = estimator.name
        sweep(folder)

    def _estimate(self, frame: Image, other: Image) -> Flow:
        key = f"{self.estimator.name}|{frame_digest(frame)}|{frame_digest(other)}"
        path = self.folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.flo"
        if path.is_file():
            try:
                return read_flo(path, (frame.shape[0], frame.shape[1]))
            except DatasetError:
                pass
        flow = self.estimator.between(frame, other)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The flow cache {self.folder} cannot be written: {error.strerror or error}. Choose another "
                "folder (--flow-cache), or none."
            ) from error
        write_flo(path, flow)
        return flow


def frame_digest(frame: Image) -> str:
    """A name for a frame's pixels and size."""
    digest = hashlib.blake2b(repr(frame.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(frame).tobytes())
    return digest.hexdigest()


ESTIMATORS = ("dis", "raft-small", "raft-large")


def flow_estimator(
    name: str = "dis",
    *,
    weights: Path | None = None,
    device: torch.device | None = None,
    cache: Path | None = None,
) -> FlowEstimator:
    """An estimator by its name.

    Args:
        name: One of `ESTIMATORS`.
        weights: Of RAFT, see `RaftFlow`.
        device: Of RAFT.
        cache: Keep results in this folder.

    Raises:
        OptionError: No such estimator.
        WeightsError: RAFT's weights cannot be had.
    """
    if name not in ESTIMATORS:
        raise OptionError(f"There is no flow estimator {name!r}. {near_match(name, ESTIMATORS)}")
    estimator: FlowEstimator
    estimator = DisFlow() if name == "dis" else RaftFlow(name.removeprefix("raft-"), weights, device)
    return estimator if cache is None else CachedFlow(estimator, cache)


def backward_flow(
    estimator: FlowEstimator, frames: UInt8[np.ndarray, "T H W 3"]
) -> Float[np.ndarray, "T H W 2"]:
    """The flow of a training clip from each frame to the one before; zero for the first two.

    Frame 0 is a clip's reference, which has no neighbours.
    """
    backward = np.zeros((*frames.shape[:3], 2), np.float16)
    for t in range(2, len(frames)):
        backward[t] = estimator.between(frames[t], frames[t - 1])
    return backward
