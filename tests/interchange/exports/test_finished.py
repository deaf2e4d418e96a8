"""Exports of finished masks, of some of the objects, and with numbers of their own."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.errors import OptionError
from tinct.interchange.exports import LabelledVideo, export
from tinct.io.mask_files import read_label_png
from tinct.ops.finishing import Finishing, FinishingRule

H, W, IDS = 13, 17, (1, 5, 7)
FEATHER = FinishingRule(Finishing(feather_px=2))


def test_without_rules_it_is_the_same_source(labelled: LabelledVideo) -> None:
    assert labelled.finished([]) is labelled
    hard = labelled.finished([FinishingRule(Finishing(grow_px=1))])
    assert hard.soft is None
    assert labelled.finished([FEATHER]).soft is not None


def test_finished_label_maps_are_exported_and_the_source_stays(
    labelled: LabelledVideo, tmp_path: Path
) -> None:
    before = labelled.read(1)
    rule = FinishingRule(Finishing(grow_px=1), (5,), 1, 1)
    out = export(labelled.finished([rule]), "palette-png", tmp_path / "out", last=1)
    grown = read_label_png(out / "shot.1002.png")
    assert (grown == 5).sum() > (before == 5).sum()
    np.testing.assert_array_equal(grown[before > 0], before[before > 0])
    np.testing.assert_array_equal(read_label_png(out / "shot.1001.png"), labelled.read(0))
    np.testing.assert_array_equal(labelled.read(1), before)


def test_a_feather_makes_hard_masks_soft_ones(labelled: LabelledVideo, tmp_path: Path) -> None:
    source = labelled.finished([FEATHER])
    out = export(source, "soft-png", tmp_path / "soft", last=0)
    alpha = np.array(Pictures.open(out / "1_dog" / "shot.1001.png")) / 65535
    np.testing.assert_array_equal(alpha > 0.5, labelled.read(0) == 1)
    assert 0 < alpha[1, 2] < 0.5 < alpha[2, 2] < 1
    mov = export(source, "cutout-prores", tmp_path / "cut", soft=True, last=0)
    with av.open(str(mov)) as container:
        plane = next(container.decode(video=0)).planes[3]
        rows = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
    expected = np.rint(255 * source.read_soft(0).probs.sum(axis=0))
    np.testing.assert_array_equal(np.rint(rows / 4095 * 255), expected)


def test_channels_of_exr_have_mattes(labelled: LabelledVideo, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    source = labelled.finished([FinishingRule(Finishing(matte="guided", matte_px=2))])
    out = export(source, "exr", tmp_path / "exr", soft=True, last=0, start=1001)
    assert [path.name for path in out.iterdir()] == ["01001.exr"]
    file = exr.File(str(out / "01001.exr"), separate_channels=True)
    assert file.header()["imageCounter"] == 1001
    alpha = file.channels()["dog"].pixels
    assert ((alpha > 0) & (alpha < 1)).any()


def test_frames_may_be_read_backward_and_steadied(labelled: LabelledVideo) -> None:
    source = labelled.finished([FinishingRule(Finishing(steady_frames=2, matte="guided", matte_px=2))])
    forward = [source.read(index) for index in range(6)]
    backward = [source.read(index) for index in reversed(range(6))]
    for one, other in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(one, other)


def test_some_of_the_objects(soft: LabelledVideo, tmp_path: Path) -> None:
    some = soft.only([7, 1])
    assert some.object_ids == (1, 7)
    np.testing.assert_array_equal(some.read(0), np.where(soft.read(0) == 5, 0, soft.read(0)))
    np.testing.assert_array_equal(some.read_soft(0).probs, soft.read_soft(0).probs[[0, 2]])
    out = export(some, "object-png", tmp_path / "out", last=0)
    assert sorted(path.name for path in out.iterdir()) == ["1_dog", "7_dög_2"]
    for wrong in ([2], [], [1, 9]):
        with pytest.raises(OptionError, match="objects 1, 5, 7"):
            soft.only(wrong)


def test_numbers_begin_where_they_are_asked_to(labelled: LabelledVideo, tmp_path: Path) -> None:
    out = export(labelled, "object-png", tmp_path / "out", first=2, last=4, start=100)
    assert sorted(path.name for path in (out / "1_dog").iterdir()) == ["00100.png", "00101.png", "00102.png"]
    np.testing.assert_array_equal(read_label_png(out / "1_dog" / "00100.png") == 255, labelled.read(2) == 1)
    mov = export(labelled, "cutout-prores", tmp_path / "cut", first=2, last=2, start=86400)
    with av.open(str(mov)) as container:
        assert container.streams.video[0].metadata["timecode"] == "00:48:00:00"
    for to, start in (("coco", 1), ("overlay", 0), ("palette-png", -1)):
        with pytest.raises(OptionError, match="expected 0 or more"):
            export(labelled, to, tmp_path / "no", start=start)
