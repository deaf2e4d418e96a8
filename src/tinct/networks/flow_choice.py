"""Which optical flow a person wants, as plain values: it can be written down, and sent to a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from tinct.errors import OptionError, near_match
from tinct.io.video import Video
from tinct.networks.flow import (
    ESTIMATORS,
    CachedFlow,
    FlowEstimator,
    FlowFolder,
    flow_estimator,
    hub_file,
    raft_url,
)


@dataclass(frozen=True)
class FlowChoice:
    """An estimator's name, or a folder of `.flo` files.

    Attributes:
        name: One of `tinct.networks.flow.ESTIMATORS`, or a folder (a name with a slash in it, or one
            that is there).
        weights: Of RAFT; None for torchvision's own.
        cache: Keep what is computed in this folder.

    Raises:
        OptionError: Neither an estimator nor a folder, or a cache for what lies on disk already.
    """

    name: str = "dis"
    weights: Path | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not self.is_folder and self.name not in ESTIMATORS:
            raise OptionError(
                f"There is no flow estimator and no folder {self.name!r}. "
                f"{near_match(self.name, ESTIMATORS)} Or give a folder of .flo files."
            )
        if self.is_folder and self.cache is not None:
            raise OptionError(
                f"The flow of {self.name} is on disk already; leave --flow-cache out, or take an estimator: "
                f"{', '.join(ESTIMATORS)}."
            )
        if self.weights is not None and not self.name.startswith("raft-"):
            raise OptionError(
                f"--flow-weights {self.weights} came with the flow {self.name!r}; they are for "
                "raft-small and raft-large."
            )

    @property
    def is_folder(self) -> bool:
        """Whether the flow is read, not computed."""
        return self.name not in ESTIMATORS and ("/" in self.name or Path(self.name).is_dir())

    @property
    def download(self) -> str | None:
        """From where `estimator` will download RAFT's weights; None where nothing is downloaded."""
        if self.is_folder or self.name == "dis" or self.weights is not None:
            return None
        url = raft_url(self.name.removeprefix("raft-"))
        return None if hub_file(url).exists() else url

    def described(self, device: torch.device) -> str:
        """What makes two runs use the same flow, without this machine's paths."""
        return f"folder {Path(self.name).name}" if self.is_folder else self._computed(device).name

    def estimator(
        self,
        device: torch.device,
        video: Video | None = None,
        working_height: int | None = None,
        sequence: str | None = None,
        pairs: Iterable[tuple[int, int]] | None = None,
    ) -> FlowEstimator:
        """The estimator.

        Args:
            device: Of RAFT.
            video: A folder's flow belongs to this one.
            working_height: As for `FlowFolder.of_video`.
            sequence: The video is this sequence of a dataset: its flow lies in a folder of that name.
            pairs: As for `FlowFolder.of_video`.

        Raises:
            OptionError: A folder without a video that it could belong to.
            DatasetError: There is no such folder, or its files cannot be used.
            WeightsError: RAFT's weights cannot be had.
        """
        if not self.is_folder:
            found = self._computed(device)
            return found if self.cache is None else CachedFlow(found, self.cache)
        if video is None:
            raise OptionError(
                f"The flow in {self.name} belongs to one video, and none came; take dis or RAFT."
            )
        folder = Path(self.name) if sequence is None else Path(self.name) / sequence
        return FlowFolder.of_video(folder, video, working_height, pairs)

    def _computed(self, device: torch.device) -> FlowEstimator:
        return flow_estimator(self.name, weights=self.weights, device=device)
