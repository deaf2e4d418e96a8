"""Segmenter states on disk: a frozen dataclass as one safetensors file, without pickle.

Tensors and arrays become the file's tensors; everything else, and how it all hangs together, is
JSON in the file's metadata. Only the dataclasses that the caller's own class names are built on
loading, so a file from elsewhere cannot run code. Checksums of both are kept, so that a damaged file is
refused, and never gives other masks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tinct.errors import OutputError, TinctError
from tinct.io.atomic import atomic_write
from tinct.io.regular_files import check_regular

T = TypeVar("T")
_KEY, _TEXT_SHA256, _TENSORS_SHA256 = "tinct_state", "text_sha256", "tensors_sha256"


def save_state(path: Path, state: Any, extra: Mapping[str, str | int] | None = None) -> None:
    """Write a state, atomically: the file is whole or it is the one that was there before.

    Args:
        path: Usually `state.safetensors`.
        state: A dataclass whose fields are tensors, numpy arrays, numbers, strings, booleans, None,
            tuples of these, or dataclasses of these.
        extra: A few words to save with it; `read_extra` returns them without reading the tensors.

    Raises:
        OutputError: The file cannot be written.
        TypeError: A field holds something else.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps({"state": _encode(state, tensors, "state"), "extra": dict(extra or {})})
    # safetensors refuses a file without any tensor's bytes on some versions; one zero is no price.
    tensors = tensors or {"empty": torch.zeros(1)}
    metadata = {_KEY: text, _TEXT_SHA256: _sha256(text.encode()), _TENSORS_SHA256: _tensors_sha256(tensors)}
    with atomic_write(path) as part:
        try:
            save_file(tensors, part, metadata=metadata)
        except SafetensorError as error:
            raise OutputError(
                f"The state {path} cannot be written: {error}. Free some space or choose another folder."
            ) from error


def load_state(path: Path, cls: type[T], device: str | torch.device = "cpu") -> T:
    """Read a state that `save_state` wrote; tensors keep their values, types and memory layout.

    Args:
        path: The file.
        cls: The state's class. Dataclasses inside it must be named in its annotations.
        device: Where the tensors go.

    Raises:
        TinctError: The file is missing, truncated, no state, or the state of another class or version.
    """
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tree = _content(path, metadata)["state"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise TinctError(f"The state {path} cannot be read: {error}. Start the run again.") from error
    if metadata.get(_TENSORS_SHA256) != _tensors_sha256(tensors):
        raise _damaged(path)
    if tree[0] != "dataclass" or tree[1] != cls.__name__:
        raise TinctError(f"{path} holds a state of {tree[1]}, not of {cls.__name__}. Start the run again.")
    return typing.cast(T, _decode(tree, tensors, _classes_of(cls), torch.device(device), path))


def read_extra(path: Path) -> dict[str, str | int]:
    """The words that were saved with a state; an unreadable file raises TinctError."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            extra: dict[str, str | int] = _content(path, file.metadata())["extra"]
    except (OSError, SafetensorError) as error:
        raise TinctError(f"The state {path} cannot be read: {error}. Start the run again.") from error
    return extra


def _content(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if not metadata or _KEY not in metadata:
        raise TinctError(f"{path} is no saved state of tinct (weights, perhaps?). Start the run again.")
    if metadata.get(_TEXT_SHA256) != _sha256(metadata[_KEY].encode()):
        raise _damaged(path)
    content: dict[str, Any] = json.loads(metadata[_KEY])
    return content


def _damaged(path: Path) -> TinctError:
    return TinctError(f"The state {path} cannot be read: its checksum does not fit. Start the run again.")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Of the names, types, shapes and bytes of dense tensors on the CPU."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _encode(value: Any, tensors: dict[str, Tensor], name: str) -> list[Any]:
    """The JSON tree of a value, [kind, ...]; tensors go into `tensors` under dotted names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return ["value", value]
    if isinstance(value, np.ndarray):
        return ["strided array", *_store(torch.from_numpy(value.copy(order="K")), tensors, name)]
    if isinstance(value, Tensor):
        return ["strided tensor", *_store(value.detach(), tensors, name)]
    if isinstance(value, tuple):
        return ["tuple", [_encode(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _encode(getattr(value, field.name), tensors, f"{name}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return ["dataclass", type(value).__name__, fields]
    raise TypeError(
        f"{name} is a {type(value).__name__}; a state holds tensors, arrays, numbers, text, tuples."
    )


def _store(tensor: Tensor, tensors: dict[str, Tensor], name: str) -> tuple[str, list[int]]:
    """Keep a dense copy of a tensor; return its name and its strides."""
    tensors[name] = tensor.to("cpu", copy=True).contiguous()
    return name, list(tensor.stride())


def _decode(
    tree: list[Any],
    tensors: Mapping[str, Tensor],
    classes: Mapping[str, type],
    device: torch.device,
    path: Path,
) -> Any:
    kind, content = tree[0], tree[1]
    if kind == "value":
        return content
    if kind == "tuple":
        return tuple(_decode(item, tensors, classes, device, path) for item in content)
    if kind == "strided array":
        return _restore(tensors[content], tree[2]).numpy()
    if kind == "strided tensor":
        return _restore(tensors[content].to(device), tree[2])
    cls, fields = classes.get(content), tree[2]
    if cls is None or {field.name for field in dataclasses.fields(cls)} != fields.keys():
        raise TinctError(
            f"{path} holds a {content} with the fields {', '.join(fields)}; this version of tinct knows no "
            "such state. Start the run again, or use the version that began it."
        )
    return cls(**{name: _decode(item, tensors, classes, device, path) for name, item in fields.items()})


def _restore(tensor: Tensor, strides: list[int]) -> Tensor:
    """The tensor in the memory layout that it had when it was saved.

    Which kernel runs, and so how the last bits round, can hang on every stride: on those of dimensions of
    size 1, and on gaps between rows. A resumed run must give the very same masks, so all of it is kept.
    """
    restored = torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device=tensor.device)
    # An expanded dimension (stride 0) is written once.
    once = tuple(slice(1) if stride == 0 else slice(None) for stride in strides)
    restored[once].copy_(tensor[once])
    return restored


def _classes_of(cls: type) -> dict[str, type]:
    """Every dataclass that the annotations of `cls` reach, by name."""
    found: dict[str, type] = {}
    waiting: list[Any] = [cls]
    while waiting:
        hint = waiting.pop()
        waiting.extend(typing.get_args(hint))
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint.__name__ not in found:
            found[hint.__name__] = hint
            waiting.extend(typing.get_type_hints(hint).values())
    return found
