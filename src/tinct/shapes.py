"""Dimension letters and array types, named once.

B batch, T frames, N objects, C channels, H rows, W columns, R reference pixels, Q query pixels.

Outside the networks everything is numpy: an `Image` is uint8 RGB, a `LabelMap` holds object ids
(0 background, 255 void). Inside, frames are float tensors [3, H, W] in [0, 1] until a network
normalises them. Shapes are checked only under test (jaxtyping + beartype, switched on by pytest).

The array types of jaxtyping come from here where no tensors are about: importing jaxtyping takes a
fifth of the time that a short score takes, and without a checker nothing reads them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Integer, Shaped, UInt8, UInt64
else:

    class _Unchecked:
        """`UInt8[np.ndarray, "H W"]` and its like, where nobody checks."""

        def __class_getitem__(cls, _: object) -> type:
            return np.ndarray

    Bool = Float = Float32 = Float64 = Int = Int64 = Integer = Shaped = UInt8 = UInt64 = _Unchecked

__all__ = [
    "BACKGROUND",
    "VOID",
    "BinaryMask",
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Image",
    "Int",
    "Int64",
    "Integer",
    "LabelMap",
    "Probabilities",
    "Shaped",
    "UInt8",
    "UInt64",
    "holds_arrays",
]

BACKGROUND = 0
"""The label of everything that is no object."""

VOID = 255
"""The label of a pixel that nobody decided: it is neither taught to a network nor scored."""

Image = UInt8[np.ndarray, "H W 3"]
"""One frame: RGB."""

LabelMap = UInt8[np.ndarray, "H W"]
"""One mask image: an object id per pixel, 0 background, 255 void."""

BinaryMask = Bool[np.ndarray, "H W"]
"""One object's pixels."""

Probabilities = Float[np.ndarray, "N H W"]
"""One probability map per object."""


Class = TypeVar("Class", bound=type)

_SHOWN_ITEMS = 8


def holds_arrays(cls: Class) -> Class:
    """Give a dataclass with arrays or tensors an `==` that answers True or False, and a short `repr`.

    Two of them are equal if all fields are: arrays and tensors by type, shape and every value (NaN equals
    NaN), on whatever device. Like everything that is compared by changeable values they have no hash. The
    `repr` of an array is its type and shape; a class with a `__repr__` of its own keeps it, and
    `@dataclass(repr=False)` leaves it to this decorator.
    """

    def equal(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self) if field.compare]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    def short(self: Any) -> str:
        shown = (f"{f.name}={_short(getattr(self, f.name))}" for f in dataclasses.fields(self) if f.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    changed: Any = cls
    changed.__eq__, changed.__hash__ = equal, None
    if "__repr__" not in vars(cls):
        changed.__repr__ = short
    return cls


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        floats = one.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=floats)
    if hasattr(one, "detach"):
        equal = one.shape == other.shape and one.dtype == other.dtype
        return equal and bool(_both_same_tensors(one.detach().cpu(), other.detach().cpu()))
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _both_same_tensors(one: Any, other: Any) -> Any:
    return ((one == other) | ((one != one) & (other != other))).all()


def _short(value: Any) -> str:
    if getattr(value, "shape", ()) and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if type(value) in (tuple, list):
        shown = [_short(item) for item in value[:_SHOWN_ITEMS]]
        if len(value) > _SHOWN_ITEMS:
            return f"{len(value)} × ({', '.join(shown)}, …)"
        return f"({', '.join(shown)}{',' * (len(value) == 1)})"
    return repr(value)
