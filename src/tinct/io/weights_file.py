"""Files of trained weights: fp16 safetensors that say which method and variant they belong to.

A pickle is never read: loading one can run any code its author liked. Before a network is touched, a
file is checked from the outside inwards: is it there, is it whole, is it the file that was recorded,
does it belong to this method and variant, does every tensor fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tinct.errors import MissingWeightsError, WeightsError
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


def checked_weights(path: Path, method: str, variant: str) -> tuple[bytes, dict[str, str]]:
    """A weights file's bytes and metadata, once all but its tensors is seen to be right.

    Raises:
        WeightsError: The file is missing, a pickle, truncated, no safetensors file, damaged, or of another
            method or variant.
    """
    data = _read(path)
    _refuse_pickle(path, data)
    metadata = _read_metadata(path, data)
    _check_owner(path, metadata, method, variant)
    checksum = metadata.pop(CHECKSUM, None)
    if checksum is not None and checksum != hashlib.sha256(canonical(data, {CHECKSUM: None})).hexdigest():
        raise WeightsError(f"{path} is damaged: its checksum does not fit; restore it, or save it again.")
    return data, metadata


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


def read_weights(path: Path, method: str, variant: str) -> dict[str, np.ndarray]:
    """A weights file's tensors as arrays, without torch: name → values, floats in single precision.

    Raises:
        WeightsError: As `checked_weights`, or the tensors cannot be read.
    """
    data, _ = checked_weights(path, method, variant)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise damaged(path, error) from error
    return {
        name: values.astype(np.float32) if values.dtype.kind == "f" else values
        for name, values in tensors.items()
    }


def damaged(path: Path, error: Exception) -> WeightsError:
    """What is said of a file whose tensors cannot be read."""
    return WeightsError(f"{path} is a damaged safetensors file ({error}); download it again.")


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


def check_shapes(path: Path, tensors: Mapping[str, Any], target: Mapping[str, Any], owner: str) -> None:
    """WeightsError if tensors are not, by name and shape, those of a network."""
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
