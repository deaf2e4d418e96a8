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
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays

from tinct.errors import OutputError, TinctError
from tinct.io.atomic import atomic_write
from tinct.io.optional import import_optional
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
    tensors: dict[str, Any] = {}
    text = json.dumps({"state": _encode(state, tensors, "state"), "extra": dict(extra or {})})
    # safetensors refuses a file without any tensor's bytes on some versions; one zero is no price.
    tensors = tensors or {"empty": np.zeros(1, np.float32)}
    metadata = {_KEY: text, _TEXT_SHA256: _sha256(text.encode()), _TENSORS_SHA256: _tensors_sha256(tensors)}
    with atomic_write(path) as part:
        try:
            _write(part, tensors, metadata)
        except SafetensorError as error:
            raise OutputError(
                f"The state {path} cannot be written: {error}. Free some space or choose another folder."
            ) from error


def load_state(path: Path, cls: type[T], device: Any = "cpu") -> T:
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
        with safe_open(path, framework="np") as file:
            metadata = file.metadata()
            tree = _content(path, metadata)["state"]
        framework = "pt" if '"strided tensor"' in metadata[_KEY] else "np"
        if framework == "pt":
            import_optional("torch", "torch", f"The state {path}, which the backend torch saved,")
        with safe_open(path, framework=framework) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise TinctError(f"The state {path} cannot be read: {error}. Start the run again.") from error
    if metadata.get(_TENSORS_SHA256) != _tensors_sha256(tensors):
        raise _damaged(path)
    if tree[0] != "dataclass" or tree[1] != cls.__name__:
        raise TinctError(f"{path} holds a state of {tree[1]}, not of {cls.__name__}. Start the run again.")
    return typing.cast(T, _decode(tree, tensors, _classes_of(cls), device, path))


def read_extra(path: Path) -> dict[str, str | int]:
    """The words that were saved with a state; an unreadable file raises TinctError."""
    try:
        check_regular(path)
        with safe_open(path, framework="np") as file:
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


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _write(path: Path, tensors: Mapping[str, Any], metadata: dict[str, str]) -> None:
    """A safetensors file of arrays, or of tensors and arrays."""
    if any(_is_tensor(values) for values in tensors.values()):
        from safetensors.torch import save_file

        torch = sys.modules["torch"]
        save_file({name: torch.as_tensor(values) for name, values in tensors.items()}, path, metadata)
    else:
        save_arrays(dict(tensors), path, metadata)


def _tensors_sha256(tensors: Mapping[str, Any]) -> str:
    """Of the names, types, shapes and bytes of dense arrays, or of tensors on the processor."""
    found = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        kind = str(values.dtype).removeprefix("torch.")
        found.update(f"{name} torch.{kind} {tuple(values.shape)}\n".encode())  # an array's, too: as ever
        flat = values.reshape(-1)
        # Arrays have no bfloat16; bytes they have.
        found.update(
            flat.view(sys.modules["torch"].uint8).numpy().data if _is_tensor(flat) else flat.tobytes()
        )
    return found.hexdigest()


def _encode(value: Any, tensors: dict[str, Any], name: str) -> list[Any]:
    """The JSON tree of a value, [kind, ...]; arrays go into `tensors` under dotted names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return ["value", value]
    if isinstance(value, np.ndarray):
        tensors[name] = np.array(value, order="C")
        strides = value.copy(order="K").strides
        return ["strided array", name, [stride // value.itemsize for stride in strides]]
    if _is_tensor(value):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return ["strided tensor", name, list(value.stride())]
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


def _decode(
    tree: list[Any],
    tensors: Mapping[str, Any],
    classes: Mapping[str, type],
    device: Any,
    path: Path,
) -> Any:
    kind, content = tree[0], tree[1]
    if kind == "value":
        return content
    if kind == "tuple":
        return tuple(_decode(item, tensors, classes, device, path) for item in content)
    if kind == "strided array":
        return _restored_array(tensors[content], tree[2])
    if kind == "strided tensor":
        return _restored_tensor(tensors[content].to(device), tree[2])
    cls, fields = classes.get(content), tree[2]
    if cls is None or {field.name for field in dataclasses.fields(cls)} != fields.keys():
        raise TinctError(
            f"{path} holds a {content} with the fields {', '.join(fields)}; this version of tinct knows no "
            "such state. Start the run again, or use the version that began it."
        )
    return cls(**{name: _decode(item, tensors, classes, device, path) for name, item in fields.items()})


def _restored_tensor(tensor: Any, strides: list[int]) -> Any:
    """The tensor in the memory layout that it had when it was saved.

    Which kernel runs, and so how the last bits round, can hang on every stride: on those of dimensions of
    size 1, and on gaps between rows. A resumed run must give the very same masks, so all of it is kept.
    """
    restored = sys.modules["torch"].empty_strided(
        tensor.shape, strides, dtype=tensor.dtype, device=tensor.device
    )
    # An expanded dimension (stride 0) is written once.
    once = tuple(slice(1) if stride == 0 else slice(None) for stride in strides)
    restored[once].copy_(tensor[once])
    return restored


def _restored_array(values: Any, strides: list[int]) -> np.ndarray:
    """As `_restored_tensor`; in a file with tensors, arrays are read as tensors, too."""
    array = np.asarray(values)
    most = 1 + sum((side - 1) * stride for side, stride in zip(array.shape, strides, strict=True))
    in_bytes = [stride * array.itemsize for stride in strides]
    restored = np.lib.stride_tricks.as_strided(
        np.empty(max(0, most) if array.size else 0, array.dtype), array.shape, in_bytes
    )
    restored[...] = array
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
