from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinct.interchange.exports import LabelledVideo, export

OpenEXR = pytest.importorskip("OpenEXR", reason="needs OpenEXR (the extra vfx)")


def test_every_object_is_a_half_float_channel(labelled: LabelledVideo, tmp_path: Path) -> None:
    out = export(labelled, "exr", tmp_path / "out", first=1, last=3)
    assert sorted(path.name for path in out.iterdir()) == [f"shot.{1001 + t}.exr" for t in (1, 2, 3)]
    for index in (1, 2, 3):
        with OpenEXR.File(str(out / f"shot.{1001 + index}.exr"), separate_channels=True) as file:
            header, channels = file.header(), file.channels()
            assert sorted(channels) == ["dog", "dog_2", "object_5"]
            for name, object_id in (("dog", 1), ("object_5", 5), ("dog_2", 7)):
                assert channels[name].pixels.dtype == np.float16
                np.testing.assert_array_equal(channels[name].pixels, labelled.labels(index) == object_id)
            for window in ("dataWindow", "displayWindow"):
                assert [corner.tolist() for corner in header[window]] == [[0, 0], [16, 12]]
            assert header["compression"] == OpenEXR.ZIP_COMPRESSION
            assert (header["imageCounter"], header["frameRate"]) == (index, "30000/1001")


def test_soft_channels_are_the_probabilities_in_half_floats(soft: LabelledVideo, tmp_path: Path) -> None:
    out = export(soft, "exr", tmp_path / "out", soft=True, last=0)
    assert soft.soft is not None
    with OpenEXR.File(str(out / "shot.1001.exr"), separate_channels=True) as file:
        for position, name in enumerate(("dog", "object_5", "dog_2")):
            pixels = file.channels()[name].pixels
            expected = soft.soft(0).probs[position]
            np.testing.assert_array_equal(pixels, expected.astype(np.float16))
            assert np.abs(pixels.astype(np.float32) - expected).max() <= 1 / 4096
