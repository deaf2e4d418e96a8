from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tinct.errors import MaskError, OptionError
from tinct.interchange.exports import LabelledVideo, export
from tinct.interchange.exports.object_names import channel_names, folder_name
from tinct.io.masks import voc_palette

NAMES = [f"shot.{1001 + t}" for t in range(6)]


def annotated(labelled: LabelledVideo, index: int) -> np.ndarray:
    """The frame's ids; void is nobody's."""
    labels = labelled.labels(index)
    return np.where(labels == 255, 0, labels)


def test_palette_pngs_hold_the_ids_in_vocs_colours(labelled: LabelledVideo, tmp_path: Path) -> None:
    out = export(labelled, "palette-png", tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.png" for name in NAMES]
    for index, name in enumerate(NAMES):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), annotated(labelled, index))
            coloured = voc_palette()[annotated(labelled, index)]
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), coloured)


def test_every_object_has_a_black_and_white_picture_in_every_frame(
    labelled: LabelledVideo, tmp_path: Path
) -> None:
    out = export(labelled, "object-png", tmp_path / "out")
    folders = {1: "1_dog", 5: "5", 7: "7_dög_2"}
    assert sorted(path.name for path in out.iterdir()) == sorted(folders.values())
    for object_id, folder in folders.items():
        assert sorted(path.stem for path in (out / folder).iterdir()) == NAMES
        for index, name in enumerate(NAMES):
            picture = cv2.imread(str(out / folder / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            assert picture.dtype == np.uint8
            np.testing.assert_array_equal(picture, 255 * (labelled.labels(index) == object_id))


def test_soft_masks_have_sixteen_bits(soft: LabelledVideo, tmp_path: Path) -> None:
    out = export(soft, "soft-png", tmp_path / "out", first=1, last=3)
    assert soft.soft is not None
    for position, folder in enumerate(["1_dog", "5", "7_dög_2"]):
        assert sorted(path.stem for path in (out / folder).iterdir()) == NAMES[1:4]
        for index in (1, 2, 3):
            grey = cv2.imread(str(out / folder / f"{NAMES[index]}.png"), cv2.IMREAD_UNCHANGED)
            assert grey.dtype == np.uint16
            expected = soft.soft(index).probs[position]
            # Half a step of 16 bits, and the rounding of float32.
            np.testing.assert_allclose(grey / 65535, expected, rtol=0, atol=0.505 / 65535)


def test_cut_out_pngs_have_the_frames_own_colours_and_black_outside(
    labelled: LabelledVideo, tmp_path: Path
) -> None:
    out = export(labelled, "cutout-png", tmp_path / "out")
    for index, name in enumerate(NAMES):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.mode == "RGBA"
            rgba = np.asarray(picture)
        inside = annotated(labelled, index) > 0
        np.testing.assert_array_equal(rgba[..., 3], 255 * inside)
        np.testing.assert_array_equal(rgba[..., :3], labelled.require_video()[index] * inside[..., None])


def test_alpha_is_straight_where_edges_are_soft(soft: LabelledVideo, tmp_path: Path) -> None:
    out = export(soft, "cutout-png", tmp_path / "out", soft=True)
    assert soft.soft is not None
    rgba = cv2.cvtColor(cv2.imread(str(out / f"{NAMES[4]}.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    alpha = np.rint(255 * soft.soft(4).probs.sum(axis=0))
    assert ((alpha > 50) & (alpha < 200)).sum() > 100
    np.testing.assert_array_equal(rgba[..., 3], alpha)
    # Not multiplied with alpha: the colours are whole wherever anything is seen.
    np.testing.assert_array_equal(rgba[..., :3], soft.require_video()[4] * (alpha > 0)[..., None])


@pytest.mark.parametrize("to", ["soft-png", "cutout-png", "cutout-prores", "exr"])
def test_soft_export_of_hard_masks_is_refused(labelled: LabelledVideo, tmp_path: Path, to: str) -> None:
    with pytest.raises(OptionError, match="--soft"):
        export(labelled, to, tmp_path / "out", soft=True)
    assert not list(tmp_path.iterdir())


def test_a_stranger_among_the_masks_is_refused(labelled: LabelledVideo, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(MaskError, match="frame 0 holds object 7, which is not among"):
        export(replace(labelled, object_ids=(1, 5)), "palette-png", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "folder", "channel"),
    [
        ("", "4", "object_4"),
        ("dog", "4_dog", "dog"),
        ("../../etc/passwd", "4_etc_passwd", "etc_passwd"),
        ("C:\\con", "4_C_con", "C_con"),
        ("Hündin 2", "4_Hündin_2", "Hundin_2"),
        ("犬", "4_犬", "object_4"),
        ("A", "4_A", "object_A"),
        ("dog.R", "4_dog_R", "dog_R"),
        ("2nd dog", "4_2nd_dog", "object_2nd_dog"),
        ("x" * 500, "4_" + "x" * 60, "x" * 60),
        ("\0\n/", "4", "object_4"),
    ],
)
def test_names_of_objects_become_harmless(name: str, folder: str, channel: str) -> None:
    assert folder_name(4, {4: name}) == folder
    assert channel_names([4], {4: name}) == [channel]


def test_channels_differ_even_where_names_do_not() -> None:
    names = {1: "dog", 2: "Dog", 3: "dog!", 4: "dog_2", 5: ""}
    channels = channel_names([1, 2, 3, 4, 5], names)
    assert channels == ["dog", "Dog_2", "dog_3", "dog_2_4", "object_5"]
