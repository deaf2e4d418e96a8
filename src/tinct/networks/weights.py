"""Networks' weights to files and back (`tinct.io.weights_file` says what a file is)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tinct.errors import OutputError, WeightsError
from tinct.io.atomic import atomic_write
from tinct.io.weights_file import CHECKSUM, FORMAT, canonical, check_shapes, checked_weights, damaged


def save_weights(
    path: str | os.PathLike[str],
    network: nn.Module,
    *,
    method: str,
    variant: str,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Write a network's weights: floating-point tensors as fp16, the others as they are.

    The file appears whole or not at all; the same weights and metadata give the same bytes.

    Args:
        path: Ends in `.safetensors`; an existing file is replaced.
        network: What to save; its parameters and buffers.
        method: The method's registered name.
        variant: The variant's registered name.
        extra: More metadata, such as the recipe, the data and the scores.

    Returns:
        The SHA-256 of the file.

    Raises:
        WeightsError: A tensor is not finite, or is too large for fp16.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise OutputError(f"weights are saved as .safetensors, not {path.suffix!r}: rename {path.name}.")
    tensors = {name: _to_half(name, tensor) for name, tensor in network.state_dict().items()}
    metadata = {**(extra or {}), "format": FORMAT, "method": method, "variant": variant}
    data = canonical(save(tensors, metadata))
    data = canonical(data, {CHECKSUM: hashlib.sha256(data).hexdigest()})
    with atomic_write(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def load_weights(
    path: str | os.PathLike[str],
    network: nn.Module,
    *,
    method: str,
    variant: str,
    may_lack: tuple[str, ...] = (),
) -> dict[str, str]:
    """Read weights into a network, in the network's own dtype and on its own device; all or nothing.

    Args:
        path: A file that `save_weights` wrote.
        network: Receives the weights; untouched if anything is wrong with the file.
        method: The method that the network belongs to.
        variant: The variant that the network belongs to.
        may_lack: How the names of tensors begin that may be missing; they stay as they are.

    Returns:
        The file's metadata.

    Raises:
        WeightsError: As `read_weights`, or its tensors are not those of the network.
    """
    path = Path(path)
    data, metadata = checked_weights(path, method, variant)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise damaged(path, error) from error
    own = network.state_dict()
    # Tensors that may be missing, and are, are filled up by the network's own.
    tensors = {**{name: own[name] for name in own if name.startswith(may_lack)}, **tensors}
    check_shapes(path, tensors, own, f"{method} ({variant})")
    network.load_state_dict(tensors)
    return metadata


def _to_half(name: str, tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    half = tensor.half() if tensor.is_floating_point() else tensor
    if half.is_floating_point() and not torch.isfinite(half).all():
        largest = float(torch.finfo(torch.float16).max)
        raise WeightsError(
            f"{name} is not finite in fp16, whose largest number is {largest:.0f}: the training diverged; "
            "go back to an earlier checkpoint."
        )
    # Tied parameters share their memory, which the format forbids.
    return half.clone(memory_format=torch.contiguous_format)
