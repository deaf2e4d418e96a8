from __future__ import annotations

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.io.levels import BitRange, Levels


@pytest.mark.parametrize(
    ("value", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (16384, 16), (70_000, 16)]
)
def test_the_smallest_usual_range_is_taken(value: int, bits: int) -> None:
    assert BitRange.holding(value) == BitRange(bits)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_range_of_bits_gives_the_upper_eight(bits: int) -> None:
    pixels = np.array([0, 1, 2 ** (bits - 1), 2**bits - 1], np.uint16)
    assert BitRange(bits).eight_bits(pixels).tolist() == [0, 1 if bits == 8 else 0, 128, 255]


@pytest.mark.parametrize("value", [-1, 4096])
def test_a_value_outside_the_range_is_named_with_the_way_out(value: int) -> None:
    with pytest.raises(ValueError, match=rf"the value {value}, and 0 to 4095 .*--levels LOW:HIGH"):
        BitRange(12).eight_bits(np.array([7, value], np.int32))


def test_fractions_have_no_range_of_bits() -> None:
    with pytest.raises(ValueError, match=r"fractions; .*--levels LOW:HIGH"):
        BitRange(8).eight_bits(np.array([0.5], np.float32))


def test_levels_scale_between_black_and_white_and_cut_outside() -> None:
    levels = Levels.parse("-1:1.0")
    assert levels == Levels(-1, 1)
    assert levels.eight_bits(np.array([-9, -1, 0, 1, 9], np.float32)).tolist() == [0, 0, 128, 255, 255]
    assert Levels(0, 65535).eight_bits(np.array([0, 257, 65535], np.uint16)).tolist() == [0, 1, 255]


def test_levels_do_not_pass_over_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Levels(0, 1).eight_bits(np.array([0.5, np.nan], np.float32))


@pytest.mark.parametrize("text", ["0:4095", "-0.1:0.30000000000000004"])
def test_levels_are_written_as_they_are_read(text: str) -> None:
    assert Levels.parse(str(Levels.parse(text))) == Levels.parse(text)


@pytest.mark.parametrize("text", ["", "4095", "0:", "a:b", "5:5", "9:1", "0:inf", "nan:1", "0:1:2"])
def test_what_are_no_levels_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="expected LOW:HIGH"):
        Levels.parse(text)
