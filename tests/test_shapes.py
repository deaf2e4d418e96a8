"""Every dataclass of the package that holds arrays or tensors answers `==` with True or False."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import tinct
from tinct.shapes import holds_arrays

ARRAYS = re.compile(
    r"\b(ndarray|Tensor|Image|LabelMap|BinaryMask|Probabilities|Shaped|Bool|Int|Int64|UInt8|UInt64|Float\w*)\["
    r"|\b(ndarray|Tensor|Image|LabelMap|BinaryMask|Probabilities|Array)\b"
)


def dataclasses_of_the_package() -> Iterator[type]:
    for module in pkgutil.walk_packages(tinct.__path__, "tinct."):
        if module.name.endswith("__main__"):
            continue
        try:
            found = importlib.import_module(module.name)
        except ImportError:  # it needs an extra that is not installed
            continue
        for value in vars(found).values():
            if (
                isinstance(value, type)
                and dataclasses.is_dataclass(value)
                and value.__module__ == module.name
            ):
                yield value


def holds_an_array(cls: type) -> bool:
    return any(ARRAYS.search(str(field.type)) for field in dataclasses.fields(cls))


CLASSES = [cls for cls in dataclasses_of_the_package() if holds_an_array(cls)]


def filled(cls: type, value: Any) -> Any:
    instance = object.__new__(cls)
    for field in dataclasses.fields(cls):
        object.__setattr__(instance, field.name, value)
    return instance


def test_the_walk_finds_the_classes_that_it_should() -> None:
    expected = {"ObjectMasks", "FeelvosState", "MaskTrackState", "MaskRnnState", "PixelSet", "LabelledVideo"}
    assert expected <= {cls.__name__ for cls in CLASSES}
    assert len(CLASSES) >= 30


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
@pytest.mark.parametrize("inside", [lambda array: array, lambda array: (array,), lambda array: {"a": array}])
def test_no_dataclass_with_arrays_raises_when_it_is_compared(cls: type, inside: Any) -> None:
    for zeros, ones in [(np.zeros(2), np.ones(2)), (torch.zeros(2), torch.ones(2))]:
        one, same, other = (filled(cls, inside(value)) for value in (zeros, zeros + 0, ones))
        assert (one == one) is True
        assert (one == same) in (True, False)
        assert (one == other) is False
        assert (one == 1) is False


@holds_arrays
@dataclass(frozen=True, repr=False)
class Thing:
    index: int
    pixels: Any
    parts: tuple[Any, ...] = ()
    secret: Any = dataclasses.field(default=None, repr=False, compare=False)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(3).astype(np.uint8), False),
        (np.arange(3), np.arange(4), False),
        (np.array([np.nan, 1]), np.array([np.nan, 1]), True),
        (np.array(["a"]), np.array(["a"]), True),
        (torch.arange(3), torch.arange(3), True),
        (torch.arange(3), torch.arange(4), False),
        (torch.arange(3), torch.arange(3).float(), False),
        (torch.tensor([torch.nan]), torch.tensor([torch.nan]), True),
        (torch.zeros(2).bfloat16(), torch.zeros(2).bfloat16(), True),
        (torch.zeros(2), np.zeros(2, np.float32), False),
        ([np.zeros(2)], [np.zeros(2)], True),
        ([np.zeros(2)], [np.zeros(2), np.zeros(2)], False),
        ({"a": np.zeros(2)}, {"a": np.zeros(2)}, True),
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}, False),
        (None, np.zeros(2), False),
        (Thing(1, np.zeros(2)), Thing(1, np.zeros(2)), True),
    ],
)
def test_arrays_are_compared_by_type_shape_and_value(one: Any, other: Any, equal: bool) -> None:
    assert (Thing(1, one) == Thing(1, other)) is equal
    assert (Thing(1, 0, (one,)) == Thing(1, 0, (other,))) is equal


def test_a_field_that_is_not_compared_is_not_compared() -> None:
    assert Thing(1, 2, secret=np.zeros(2)) == Thing(1, 2, secret=np.ones(2))
    assert Thing(1, 2) != Thing(2, 2)


def test_what_is_equal_by_changeable_values_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Thing(1, 2))


def test_arrays_show_their_type_and_shape() -> None:
    thing = Thing(3, torch.zeros(2, 3), (np.zeros(2), "a"))
    assert repr(thing) == "Thing(index=3, pixels=float32 [2, 3], parts=(float64 [2], 'a'))"
    assert repr(Thing(3, None, tuple(range(9)))).endswith("parts=9 × (0, 1, 2, 3, 4, 5, 6, 7, …))")
