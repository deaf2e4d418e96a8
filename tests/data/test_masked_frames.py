"""Single-frame samples: pure functions of their index, targets of one object or all, masks that guide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.data.davis import Davis
from tinct.data.deform import MaskDeformation
from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames, Pictures, StillPictures
from tinct.data.static_images import StaticImages
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID, Image, LabelMap


class Squares(Pictures):
    """Two objects, a dim one on the left and a bright one on the right, and a line of void."""

    def __len__(self) -> int:
        return 4

    def read(self, index: int) -> tuple[Image, LabelMap]:
        image, labels = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
        labels[8:32, 5:25], labels[8:32, 35:55] = 3, 7
        image[labels == 3], image[labels == 7] = 90, 220
        labels[20] = VOID
        return image, labels


class Nothing(Squares):
    def read(self, index: int) -> tuple[Image, LabelMap]:
        return np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)


OPTIONS = FrameOptions(size=(32, 48), min_pixels=10, colour=0.0)


def samples(pictures: Pictures | None = None, options: FrameOptions = OPTIONS) -> MaskedFrames:
    return MaskedFrames([(pictures or Squares(), 1.0)], options)


def test_a_sample_is_a_function_of_seed_and_index() -> None:
    first, again, other = samples()[5], samples()[5], samples()[6]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["frames"], other["frames"])
    reseeded = samples(options=FrameOptions(size=(32, 48), min_pixels=10, colour=0.0, seed=1))[5]
    assert not torch.equal(first["frames"], reseeded["frames"])


def test_what_a_sample_holds() -> None:
    for index in range(20):
        sample = samples()[index]
        assert sample["frames"].shape == (32, 48, 3)
        assert sample["labels"].shape == sample["previous"].shape == (32, 48)
        assert all(tensor.dtype == torch.uint8 for tensor in sample.values())
        assert set(sample["labels"].unique().tolist()) <= {0, 1, VOID}
        assert (sample["labels"] == 1).sum() >= 10


def test_one_object_or_all_of_them() -> None:
    for index in range(20):
        one = samples()[index]
        seen = one["frames"][..., 0][one["labels"] == 1].float()
        assert (seen > 150).float().mean() > 0.8 or (seen < 150).float().mean() > 0.8
    both = MaskedFrames([(Squares(), 1.0)], FrameOptions(size=(32, 48), one_object=False, colour=0.0))
    seen = torch.cat([both[i]["frames"][..., 0][both[i]["labels"] == 1] for i in range(20)])
    assert (seen > 150).any()
    assert ((seen > 60) & (seen < 120)).any()


def test_the_previous_mask_lies_near_the_object_and_is_coarser() -> None:
    options = FrameOptions(size=(32, 48), min_pixels=30, deformation=MaskDeformation(dilation_px=2))
    covered = []
    for index in range(30):
        sample = samples(options=options)[index]
        mask, previous = sample["labels"] == 1, sample["previous"] > 127
        covered.append(float((mask & previous).sum() / mask.sum()))
    assert np.median(covered) > 0.9


def test_boxes_and_damage() -> None:
    boxed = samples(options=FrameOptions(size=(32, 48), min_pixels=30, box=1.0))[0]
    rows, columns = np.nonzero(boxed["previous"].numpy())
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    damaged = [samples(options=FrameOptions(size=(32, 48), damaged=1.0))[i]["previous"] for i in range(5)]
    assert any(len(mask.unique()) > 2 for mask in damaged)


def test_pasted_objects_may_be_the_target() -> None:
    pasting = FrameOptions(size=(32, 48), min_pixels=10, paste=1.0, one_object=True)
    assert len({int((samples(options=pasting)[i]["labels"] == 1).sum()) for i in range(10)}) > 3


def test_pictures_of_photos_and_of_videos(shared_data: Path) -> None:
    davis = DavisFrames(Davis(shared_data / "davis-2016", "dev", only=["lucia"]))
    photos = StillPictures(StaticImages(shared_data / "stills" / "feral_cat"))
    assert len(davis) == 70
    mixed = MaskedFrames([(davis, 3.0), (photos, 1.0)], FrameOptions(size=(32, 48)))
    assert "70 pictures (0.75), " in mixed.describe()
    assert "FrameOptions(size=(32, 48)" in mixed.describe()
    assert (mixed[0]["labels"] == 1).any()


def test_pictures_without_objects() -> None:
    with pytest.raises(DatasetError, match="100 pictures in a row showed no object"):
        samples(Nothing())[0]
    with pytest.raises(DatasetError, match="100 pictures in a row"):
        MaskedFrames([(Nothing(), 1.0)], FrameOptions(one_object=False))[0]


def test_options_that_make_no_sense() -> None:
    with pytest.raises(OptionError, match="shares lie in"):
        FrameOptions(box=1.5)
