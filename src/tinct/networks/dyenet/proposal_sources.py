"""Where object proposals may come from, besides a network's own: a file of boxes, or a detector.

| source | needs |
|---|---|
| `BoxesFile` | a JSON file: frame name → list of [x0, y0, x1, y1, score] |
| `DetectorProposals` | weights of one of torchvision's detectors |

Boxes are (x0, y0, x1, y1) as in `tinct.ops.boxes`, in pixels of the frame that a source is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from tinct.errors import DatasetError, OptionError, WeightsError, near_match
from tinct.io.json_files import read_json
from tinct.io.regular_files import check_regular, read_regular
from tinct.io.video import Video
from tinct.shapes import Image


@runtime_checkable
class ProposalSource(Protocol):
    """Gives boxes in which some object may lie.

    Attributes:
        name: Says where the boxes come from: equal names, equal boxes.
    """

    name: str

    def boxes(self, index: int, frame: Image) -> Float[np.ndarray, "P 5"]:
        """The boxes of one frame, float32 (x0, y0, x1, y1, score) each; none is allowed.

        Args:
            index: Of the frame in its video.
            frame: Its pixels, at the size at which the caller works.
        """
        ...


class BoxesFile:
    """Boxes that somebody computed, of one video.

    Frames that the file does not name have no boxes.

    Args:
        path: JSON: frame name → list of [x0, y0, x1, y1, score], in pixels of the video's own frames.
        video: What they are of.

    Raises:
        DatasetError: The file cannot be read, is not of that form, or is of another video: it names
            frames that the video lacks, or its boxes lie outside the frames.
    """

    def __init__(self, path: Path, video: Video) -> None:
        self.path, self.size = path, video.size
        content = _read(path)
        self.name = _file_name(path)
        places = {name: index for index, name in enumerate(video.names)}
        unknown = sorted(set(content) - set(places))
        if unknown:
            raise DatasetError(
                f"{path} names the frame {unknown[0]!r}, which the video lacks (its {len(places)} frames are "
                f"{video.names[0]!r} to {video.names[-1]!r}); is it a file of another video?"
            )
        self._boxes = {places[name]: _checked(rows, name, path, video.size) for name, rows in content.items()}

    def boxes(self, index: int, frame: Image) -> Float[np.ndarray, "P 5"]:
        """The frame's boxes, brought to its size; the likeliest first."""
        own = self._boxes.get(index, np.zeros((0, 5), np.float32))
        height, width = frame.shape[:2]
        scale = np.array([width / self.size[1], height / self.size[0]] * 2 + [1], np.float32)
        return own[np.argsort(-own[:, 4], kind="stable")] * scale


def _read(path: Path) -> Mapping[str, Any]:
    form = "expected a JSON object, frame name → list of [x0, y0, x1, y1, score]"
    content = read_json(path, "proposals", f"Check the path; {form}.", DatasetError)
    if not isinstance(content, dict):
        raise DatasetError(f"The proposals {path} are a JSON {type(content).__name__}; {form}.")
    return content


def _checked(rows: Any, name: str, path: Path, size: tuple[int, int]) -> Float[np.ndarray, "P 5"]:
    try:
        boxes = np.asarray(rows, np.float32).reshape(len(rows), 5)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"{path} holds something else than rows of [x0, y0, x1, y1, score] for the frame {name!r}."
        ) from error
    if not np.isfinite(boxes).all() or (boxes[:, 2:4] <= boxes[:, :2]).any():
        raise DatasetError(
            f"{path} holds an empty or infinite box for the frame {name!r}; a box is [x0, y0, x1, y1, score] "
            "with x0 < x1 and y0 < y1, in pixels."
        )
    height, width = size
    # Detectors may leave the frame by a pixel or so.
    if len(boxes) and (
        boxes[:, :4].min() < -0.05 * max(size) or (boxes[:, 2:4] > [width * 1.05, height * 1.05]).any()
    ):
        raise DatasetError(
            f"{path} holds a box outside the frame {name!r} of {width}×{height} pixels; is it a file of "
            "another video, or of another size of this one?"
        )
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0, width)
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0, height)
    return boxes[(boxes[:, 2:4] > boxes[:, :2]).all(1)]


def proposal_source(
    name: str, video: Video, device: torch.device | None = None, sequence: str | None = None
) -> ProposalSource:
    """A source by its name.

    Args:
        name: A detector of `DETECTORS`, or else the path of a file of boxes, or of a folder of such files.
        video: What a file's boxes are of.
        device: Of a detector.
        sequence: The video is this sequence of a dataset: a folder holds its boxes as `<sequence>.json`.

    Raises:
        OptionError: Neither a detector, a file, nor a folder with a file for the sequence.
        DatasetError: The file is not of that form, or of another video.
        WeightsError: A detector's weights cannot be had.
    """
    if name in DETECTORS:
        return DetectorProposals(name, device=device)
    path = Path(name)
    if path.is_dir():
        if sequence is None:
            raise OptionError(
                f"The proposals {name} are a folder, one file for each sequence of a dataset; for a single "
                "video give its file."
            )
        check_proposals(name, [sequence])
        path = path / f"{sequence}.json"
    _check_known(path, name)
    return BoxesFile(path, video)


def check_proposals(name: str, sequences: Sequence[str]) -> None:
    """Whether there are proposals for some sequences of a dataset; called before anything is segmented.

    Args:
        name: As for `proposal_source`.
        sequences: Their names.

    Raises:
        OptionError: Neither a detector, a file nor a folder; one file for several sequences.
        DatasetError: The folder lacks files.
    """
    path = Path(name)
    if name in DETECTORS:
        return
    if not path.is_dir():
        _check_known(path, name)
        if len(sequences) > 1:
            # Their frames are often called alike, so that nobody would notice.
            raise OptionError(
                f"The proposals {name} are a file of one video, and {len(sequences)} sequences were chosen; "
                "give a folder with a file <sequence>.json for each, or choose one with --sequences."
            )
        return
    missing = [sequence for sequence in sequences if not (path / f"{sequence}.json").is_file()]
    if missing:
        raise DatasetError(
            f"The folder of proposals {name} lacks {missing[0]}.json"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} of the {len(sequences)} files "
            "that were expected; a sequence without boxes has a file with {} in it."
        )


def describe_proposals(name: str) -> str:
    """What makes two runs use the same proposals, without this machine's paths; OptionError for neither."""
    if name in DETECTORS:
        return name
    path = Path(name)
    if not path.is_dir():
        _check_known(path, name)
        return _file_name(path)
    whole = hashlib.sha256()
    for file in sorted(path.glob("*.json")):
        whole.update(f"{file.stem}\n{_file_name(file)}\n".encode())
    return f"boxes-{whole.hexdigest()[:12]}"


def _check_known(path: Path, name: str) -> None:
    if not path.is_file():
        raise OptionError(
            f"There is no proposals file and no detector {name!r}. {near_match(name, DETECTORS)}"
        )


def _file_name(path: Path) -> str:
    return f"boxes-{hashlib.sha256(read_regular(path)).hexdigest()[:12]}"


DETECTORS = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn_v2")
"""torchvision's names of detectors, the quickest first."""


class DetectorProposals:
    """The boxes of one of torchvision's detectors, of whatever class.

    Args:
        detector: One of `DETECTORS`.
        weights: A checkpoint file of torchvision's; None takes torchvision's own, which it keeps in
            torch's hub folder or downloads.
        device: Where it runs.
        least_score: Weaker boxes are left out.

    Raises:
        OptionError: No such detector.
        WeightsError: The weights cannot be had or do not fit.
    """

    def __init__(
        self,
        detector: str = DETECTORS[0],
        weights: Path | None = None,
        device: torch.device | None = None,
        least_score: float = 0.05,
    ) -> None:
        if detector not in DETECTORS:
            raise OptionError(f"There is no detector {detector!r}. {near_match(detector, DETECTORS)}")
        from torchvision.models import get_model, get_model_weights

        record = get_model_weights(detector).DEFAULT
        try:
            if weights is not None:
                check_regular(weights)
            state = (
                torch.load(weights, map_location="cpu", weights_only=True)
                if weights is not None
                else torch.hub.load_state_dict_from_url(
                    record.url, map_location="cpu", progress=False, weights_only=True
                )
            )
            network = get_model(detector, weights=None, weights_backbone=None)
            network.load_state_dict(state)
        except Exception as error:  # whatever pickle, zip or the network raise
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise WeightsError(
                f"The weights of {detector} cannot be had from {weights or record.url}: "
                f"{reason.rstrip('.')}. "
                f"Download {record.url} elsewhere and give the file, or leave --proposals out."
            ) from error
        self.device = device or torch.device("cpu")
        self.network: Any = network.to(self.device).eval()
        self.name, self.least_score = detector, least_score

    @torch.inference_mode()
    def boxes(self, index: int, frame: Image) -> Float[np.ndarray, "P 5"]:
        """What the detector finds, the likeliest first."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        found = self.network([pixels.permute(2, 0, 1).float() / 255])[0]
        rows = torch.cat([found["boxes"], found["scores"][:, None]], 1)
        return rows[found["scores"] >= self.least_score].float().cpu().numpy()
