"""Trained weights in files: fp16 safetensors that say which method and variant they belong to.

A pickle is never read: loading one can run any code its author liked. Before a network is touched, a
file is checked from the outside inwards: is it there, is it whole, is it the file that was recorded,
does it belong to this method and variant, does every tensor fit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tinct.errors import MissingWeightsError, OutputError, WeightsError
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json
from tinct.io.regular_files import read_regular

FORMAT = "tinct-weights-1"
"""The `format` entry of the file's metadata."""

CHECKSUM = "content_sha256"
"""The entry of the metadata with the SHA-256 of the file as it is without that entry."""

PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
PICKLE_MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
NAMED_TENSORS = 3
"""How many offending tensors a message names."""


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


def canonical(data: bytes, changes: Mapping[str, str | None] = MappingProxyType({})) -> bytes:
    """A safetensors file with the entries of its header in order, as the library writes them at random.

    Equal tensors with equal metadata are equal bytes then, and have one hash. The tensors' bytes are taken as
    they are; the header is padded with spaces to a multiple of 8, as the format wants.

    Args:
        data: The file.
        changes: Entries of the metadata that are added, or removed where they are None.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    entries = sorted({**header.pop("__metadata__", {}), **changes}.items())
    metadata = {"__metadata__": {name: text for name, text in entries if text is not None}}
    text = json.dumps({**metadata, **dict(sorted(header.items()))}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


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
        WeightsError: The file is missing, a pickle, truncated, no safetensors file, of another method
            or variant, or its tensors are not those of the network.
    """
    path = Path(path)
    data = _read(path)
    _refuse_pickle(path, data)
    metadata = _read_metadata(path, data)
    _check_owner(path, metadata, method, variant)
    checksum = metadata.pop(CHECKSUM, None)
    if checksum is not None and checksum != hashlib.sha256(canonical(data, {CHECKSUM: None})).hexdigest():
        raise WeightsError(f"{path} is damaged: its checksum does not fit; restore it, or save it again.")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is a damaged safetensors file ({error}); download it again.") from error
    own = network.state_dict()
    # Tensors that may be missing, and are, are filled up by the network's own.
    tensors = {**{name: own[name] for name in own if name.startswith(may_lack)}, **tensors}
    _check_tensors(path, tensors, own, f"{method} ({variant})")
    network.load_state_dict(tensors)
    return metadata


def read_owner(path: Path) -> tuple[str, str]:
    """The method and variant that a file's weights are for, as its header says.

    Raises:
        WeightsError: It is no file of weights that tinct saved.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} was not saved by tinct; give weights of tinct, or of a known model.")
    return metadata.get("method", "?"), metadata.get("variant", "?")


def read_metadata(path: Path) -> dict[str, str]:
    """What a file of weights says of itself: its method and variant, and how it was trained.

    Raises:
        WeightsError: It is missing, a pickle, truncated, or no safetensors file.
    """
    data = _read(path)
    _refuse_pickle(path, data)
    return _read_metadata(path, data)


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


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise MissingWeightsError(
            f"no weights file at {path}: check the path, or run `tinct models` for those known."
        ) from error
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error}.") from error


def _refuse_pickle(path: Path, data: bytes) -> None:
    # The length of a safetensors header may begin like a pickle; but byte 8 is its opening brace.
    if path.suffix in PICKLE_SUFFIXES or (data.startswith(PICKLE_MAGIC) and data[8:9] != b"{"):
        raise WeightsError(
            f"{path} is a pickle, which could run any code when opened, and is refused: "
            "give a .safetensors file that tinct saved."
        )


def _read_metadata(path: Path, data: bytes) -> dict[str, str]:
    """The header's metadata, once the file is seen to be exactly as long as its header promises."""
    strange = f"{path} is not a safetensors file: give a .safetensors file that tinct saved."
    length = int.from_bytes(data[:8], "little")
    if len(data) >= 9 and data[8:9] != b"{":
        raise WeightsError(strange)
    if len(data) < 8 + length or len(data) < 9:
        raise WeightsError(f"{path} is truncated: it ends inside its header; download it again.")
    try:
        header = parse_json(data[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise WeightsError(strange) from error
    promised = 8 + length + max(ends, default=0)
    if len(data) != promised:
        state = "truncated" if len(data) < promised else "followed by other data"
        raise WeightsError(
            f"{path} is {state}: it has {len(data)} bytes, its header promises {promised}; download it again."
        )
    return metadata


def _check_owner(path: Path, metadata: Mapping[str, str], method: str, variant: str) -> None:
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} was not saved by tinct: its format is {metadata.get('format')!r}, expected {FORMAT!r}; "
            "load it into the network yourself and save it with save_weights."
        )
    owner = (metadata.get("method", "?"), metadata.get("variant", "?"))
    if owner != (method, variant):
        raise WeightsError(
            f"{path} holds weights of {owner[0]} ({owner[1]}), not of {method} ({variant}): "
            f"choose --method {owner[0]} --variant {owner[1]}, or another file."
        )


def _check_tensors(
    path: Path, tensors: Mapping[str, Tensor], target: Mapping[str, Tensor], owner: str
) -> None:
    missing = target.keys() - tensors.keys()
    unexpected = tensors.keys() - target.keys()
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(target[name].shape)}"
        for name in sorted(target.keys() & tensors.keys())
        if tensors[name].shape != target[name].shape
    ]
    problems = [
        f"{problem}: {_a_few(names)}"
        for problem, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise WeightsError(
            f"{path} does not fit the network of {owner}: {'; '.join(problems)}. It was saved with other "
            "options or by another version of tinct: use the file that belongs to this one."
        )


def _a_few(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - NAMED_TENSORS
    return ", ".join(ordered[:NAMED_TENSORS]) + (f" and {rest} more" if rest > 0 else "")
