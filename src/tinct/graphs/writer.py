"""ONNX graphs as bytes: nodes, constants, inputs and outputs in protocol buffers' encoding.

Only what a graph of this project needs of the format (onnx/onnx.proto, IR version 8, opset 17). Numbers of
fields and types are the format's own.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

IR_VERSION, OPSET = 8, 17

_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "bool": 9, "float16": 10}

Dims: TypeAlias = Sequence[int | str]
"""Sizes of a value: a number, or the name of a size that is known when the graph runs."""


class Graph:
    """A graph in the making; values go by their names.

    Args:
        name: Of the graph.
        half: Store constants of more than a few numbers in half precision, as the weights files do; a Cast
            makes them float32 where they are used.
        outer: The graph in whose node this one stands (a body of Scan); its values can be used here.

    Attributes:
        described: The inputs and outputs by name: type, shape, and what they are.
    """

    def __init__(self, name: str, *, half: bool = False, outer: Graph | None = None) -> None:
        self.name = name
        self.half: bool = half if outer is None else outer.half
        self._numbers: Iterator[int] = itertools.count() if outer is None else outer._numbers
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._small: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self.described: dict[str, dict[str, dict[str, Any]]] = {"inputs": {}, "outputs": {}}

    def input(self, name: str, kind: str, dims: Dims, doc: str = "") -> str:
        """An input of a type such as "float32", with words for readers; its name."""
        self._inputs.append(_value_info(name, kind, dims, doc))
        self.described["inputs"][name] = {"type": kind, "shape": list(dims), "what": doc}
        return name

    def output(self, value: str, name: str, dims: Dims, doc: str = "", kind: str = "float32") -> None:
        """Give a value out under another name."""
        self._nodes.append(_node("Identity", [value], [name], {}))
        self._outputs.append(_value_info(name, kind, dims, doc))
        self.described["outputs"][name] = {"type": kind, "shape": list(dims), "what": doc}

    def constant(self, values: Any, kind: str | None = None) -> str:
        """A constant: floats become float32, whole numbers int64, unless `kind` says otherwise."""
        array = np.asarray(values)
        if kind is None:
            kind = {"f": "float32", "i": "int64", "b": "bool"}[array.dtype.kind]
        stored = "float16" if self.half and kind == "float32" and array.size > 16 else kind
        array = np.ascontiguousarray(array.astype(stored)).reshape(array.shape)
        key = (stored, array.tobytes(), array.shape)
        if array.size <= 16 and key in self._small:
            return self._small[key]
        name = f"constant_{next(self._numbers)}"
        self._constants.append(_tensor(name, array, stored))
        value = self.node("Cast", name, to=_TYPES[kind]) if stored != kind else name
        if array.size <= 16:
            self._small[key] = value
        return value

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        return self.nodes(operation, *inputs, outputs=1, **attributes)[0]

    def nodes(self, operation: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs; their names."""
        names = [f"{operation.lower()}_{next(self._numbers)}" for _ in range(outputs)]
        self._nodes.append(_node(operation, inputs, names, attributes))
        return names

    def cast(self, value: str, kind: str) -> str:
        """A value as another type."""
        return self.node("Cast", value, to=_TYPES[kind])

    def model(self, notes: Mapping[str, str] | None = None) -> bytes:
        """The file: this graph with the versions of format and operations, and notes for readers."""
        entries = (_text(1, key) + _text(2, text) for key, text in (notes or {}).items())
        return b"".join(
            [
                _number(1, IR_VERSION), _text(2, "tinct"), _part(7, self.encoded()),
                _part(8, _text(1, "") + _number(2, OPSET)), *(_part(14, entry) for entry in entries),
            ]
        )  # fmt: skip

    def encoded(self) -> bytes:
        """The graph alone, as a model or a node of another graph holds it."""
        parts = [(1, self._nodes), (5, self._constants), (11, self._inputs), (12, self._outputs)]
        named = _text(2, self.name)
        return named + b"".join(_part(field, one) for field, several in parts for one in several)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative ones are written as 64 bits
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _float(field: int, number: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", number)


def _tensor(name: str, array: np.ndarray, kind: str) -> bytes:
    dims = b"".join(_number(1, side) for side in array.shape)
    return dims + _number(2, _TYPES[kind]) + _text(8, name) + _part(9, array.tobytes())


def _value_info(name: str, kind: str, dims: Dims, doc: str) -> bytes:
    sides = (_number(1, side) if isinstance(side, int) else _text(2, side) for side in dims)
    shape = b"".join(_part(1, side) for side in sides)
    of_type = _part(1, _number(1, _TYPES[kind]) + _part(2, shape))
    return _text(1, name) + _part(2, of_type) + (_text(3, doc) if doc else b"")


def _node(
    operation: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
) -> bytes:
    values = [_text(1, name) for name in inputs] + [_text(2, name) for name in outputs]
    named = [_part(5, _attribute(name, value)) for name, value in attributes.items()]
    return b"".join([*values, _text(3, outputs[0]), _text(4, operation), *named])


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, Graph):
        content, kind = _part(6, value.encoded()), 5
    elif isinstance(value, str):
        content, kind = _text(4, value), 3
    elif isinstance(value, float):
        content, kind = _float(2, value), 1
    elif isinstance(value, int):
        content, kind = _number(3, value), 2
    else:
        content, kind = b"".join(_number(8, int(each)) for each in value), 7
    return _text(1, name) + content + _number(20, kind)
