from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.errors import DatasetError, OptionError, OutputError
from tinct.evaluation.pack import PackReport, pack
from tinct.io.mask_files import write_mask
from tinct.io.masks import voc_palette

HEIGHT, WIDTH = 24, 32


def labels_of(*ids: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    for column, object_id in enumerate(ids):
        labels[4:12, 4 * column : 4 * column + 3] = object_id
    return labels


def write_frames(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Pictures.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.jpg")


def write_masks(folder: Path, names: list[str], *ids: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_mask(folder / f"{name}.png", labels_of(*ids))


FRAMES = [f"{i:05d}" for i in range(3)]


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two sequences of test-challenge, whose official list is not known; the first frames are annotated."""
    root = tmp_path / "DAVIS"
    for name, ids in (("boat", (1, 2)), ("cat", (1,))):
        write_frames(root / "JPEGImages" / "480p" / name, FRAMES)
        write_masks(root / "Annotations" / "480p" / name, FRAMES[:1], *ids)
    lists = root / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "test-challenge.txt").write_text("boat\ncat\n")
    return root


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    write_masks(folder / "boat", FRAMES, 1, 2)
    write_masks(folder / "cat", FRAMES, 1)
    return folder


def pack_davis(masks: Path, davis: Path) -> PackReport:
    return pack(masks, "davis-2017", masks.parent / "out.zip", root=davis, split="test-challenge")


def refusal(masks: Path, davis: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        pack_davis(masks, davis)
    assert {p.name for p in masks.parent.iterdir()} == {"DAVIS", "masks"}, "a refusal leaves no file behind"
    return str(caught.value)


class TestDavis:
    def test_sequence_folders_stand_at_the_top(self, masks: Path, davis: Path) -> None:
        report = pack_davis(masks, davis)
        with zipfile.ZipFile(report.path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == [f"{n}/{f}.png" for n in ("boat", "cat") for f in FRAMES]
            for name in archive.namelist():
                assert archive.read(name) == (masks / name).read_bytes()
        assert (report.sequences, report.frames, report.recoloured) == (2, 6, 0)
        assert report.megabytes == report.path.stat().st_size / 1e6
        assert "6 masks of 2 sequences of davis-2017 test-challenge" in report.lines[0]
        assert str(davis) in report.lines[1]

    def test_the_same_masks_give_the_same_bytes(self, masks: Path, davis: Path, tmp_path: Path) -> None:
        first = pack_davis(masks, davis).path.read_bytes()
        copy = tmp_path / "copied"
        for name in ("cat", "boat"):
            for frame in FRAMES[::-1]:
                (copy / name).mkdir(parents=True, exist_ok=True)
                (copy / name / f"{frame}.png").write_bytes((masks / name / f"{frame}.png").read_bytes())
        assert pack_davis(copy, davis).path.read_bytes() == first

    def test_run_folders_are_understood(self, masks: Path, davis: Path) -> None:
        plain = pack_davis(masks, davis).path.read_bytes()
        for name in ("boat", "cat"):
            (masks / name / "masks").mkdir()
            for frame in FRAMES:
                (masks / name / f"{frame}.png").rename(masks / name / "masks" / f"{frame}.png")
            (masks / name / "run.json").write_text("{}")
        assert pack_davis(masks, davis).path.read_bytes() == plain

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_grey_masks_are_given_the_palette(self, masks: Path, davis: Path, mode: str) -> None:
        labels = labels_of(1)
        grey = Pictures.fromarray(labels if mode == "L" else labels.astype(bool))
        grey.save(masks / "cat" / "00001.png")
        report = pack_davis(masks, davis)
        assert report.recoloured == 1
        assert "given the palette" in report.lines[1]
        with zipfile.ZipFile(report.path) as archive:
            packed = Pictures.open(io.BytesIO(archive.read("cat/00001.png")))
            assert packed.mode == "P"
            np.testing.assert_array_equal(np.asarray(packed), labels)
            assert packed.getpalette() == voc_palette().ravel().tolist()

    def test_progress_is_told(self, masks: Path, davis: Path, tmp_path: Path) -> None:
        calls: list[tuple[str, int, int]] = []
        options = {"root": davis, "split": "test-challenge"}
        pack(masks, "davis-2017", tmp_path / "a.zip", progress=lambda *of: calls.append(of), **options)
        assert calls == [("boat", 1, 2), ("cat", 2, 2)]


class TestWhatIsRefused:
    def test_missing_and_extra_names(self, masks: Path, davis: Path) -> None:
        (masks / "cat").rename(masks / "dog")
        (masks / "boat" / "00000.png").rename(masks / "boat" / "00009.png")
        text = refusal(masks, davis)
        assert "missing sequences (1): cat" in text
        assert "sequences that the split lacks (1): dog" in text
        assert "missing masks, where every frame needs one, the first too (1): boat/00000" in text
        assert "masks that belong to no frame of the split (1): boat/00009" in text

    def test_size(self, masks: Path, davis: Path) -> None:
        write_mask(masks / "cat" / "00002.png", labels_of(1, size=(HEIGHT, WIDTH + 2)))
        assert f"cat/00002 ({WIDTH + 2}×{HEIGHT}, not {WIDTH}×{HEIGHT})" in refusal(masks, davis)

    def test_colours(self, masks: Path, davis: Path) -> None:
        Pictures.new("RGB", (WIDTH, HEIGHT)).save(masks / "cat" / "00001.png")
        assert "neither palette nor 8-bit grey PNGs (1): cat/00001 (RGB)" in refusal(masks, davis)

    def test_ids_of_no_object(self, masks: Path, davis: Path) -> None:
        write_masks(masks / "cat", ["00001"], 1, 2, 7)
        write_masks(masks / "boat", ["00001"], 2)
        assert "masks with ids that the first annotation lacks (1): cat/00001 (2, 7)" in refusal(masks, davis)

    def test_void(self, masks: Path, davis: Path) -> None:
        Pictures.fromarray(labels_of(255)).save(masks / "cat" / "00001.png")
        write_masks(masks / "boat", ["00002"], 1, 255)
        text = refusal(masks, davis)
        assert "masks with 255, " in text
        assert "boat/00002, cat/00001" in text

    def test_broken_files(self, masks: Path, davis: Path) -> None:
        whole = (masks / "cat" / "00001.png").read_bytes()
        (masks / "cat" / "00001.png").write_bytes(whole[: len(whole) // 2])
        (masks / "cat" / "00002.png").write_bytes(b"")
        Pictures.new("L", (WIDTH, HEIGHT)).save(masks / "boat" / "00001.png", format="JPEG")
        assert "files that cannot be read as PNG (3): boat/00001, cat/00001, cat/00002" in refusal(
            masks, davis
        )

    def test_many_of_a_kind_are_counted(self, masks: Path, davis: Path) -> None:
        write_masks(masks / "cat", [f"{i:05d}" for i in range(3, 11)], 1)
        assert "belong to no frame of the split (8): cat/00003, " in (text := refusal(masks, davis))
        assert "cat/00007 and 3 more" in text
        assert "cat/00008" not in text

    def test_all_kinds_come_at_once(self, masks: Path, davis: Path) -> None:
        (masks / "boat" / "00000.png").unlink()
        write_masks(masks / "cat", ["00001"], 9)
        text = refusal(masks, davis)
        assert "boat/00000" in text
        assert "cat/00001 (9)" in text

    def test_an_old_zip_survives_a_refusal(self, masks: Path, davis: Path) -> None:
        out = pack_davis(masks, davis).path
        before = out.read_bytes()
        (masks / "boat" / "00000.png").unlink()
        with pytest.raises(DatasetError):
            pack_davis(masks, davis)
        assert out.read_bytes() == before


class TestOptions:
    def test_datasets_without_a_server(self, masks: Path, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="tinct score"):
            pack(masks, "davis-2016", tmp_path / "a.zip")

    def test_split_without_a_server(self, masks: Path, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="Known: test-challenge, test-dev, val"):
            pack(masks, "davis-2017", tmp_path / "a.zip", split="train")

    def test_only_a_zip(self, masks: Path, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"a\.zip"):
            pack(masks, "davis-2017", tmp_path / "a.tar")

    def test_no_such_folder(self, davis: Path, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="nowhere"):
            pack(tmp_path / "nowhere", "davis-2017", tmp_path / "a.zip")

    def test_zip_that_cannot_be_written(self, masks: Path, davis: Path, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"a\.zip"):
            pack(masks, "davis-2017", tmp_path / "no" / "a.zip", root=davis, split="test-challenge")


class TestKnownLists:
    def test_test_dev_is_known_without_the_dataset(self, tmp_path: Path) -> None:
        write_masks(tmp_path / "masks" / "slackline", FRAMES, 2)
        with pytest.raises(DatasetError) as caught:
            pack(tmp_path / "masks", "davis-2017", tmp_path / "a.zip")
        text = str(caught.value)
        assert "missing sequences (29): aerobatics, car-race" in text
        assert "the first too (57): slackline/00003" in text
        assert f"slackline/00000 ({WIDTH}×{HEIGHT}, not 1130×480)" in text
        assert "slackline/00000 (2)" in text

    def test_dataset_that_lacks_known_sequences_or_frames(
        self, masks: Path, davis: Path, tmp_path: Path
    ) -> None:
        write_frames(davis / "JPEGImages" / "480p" / "judo", FRAMES)
        write_masks(davis / "Annotations" / "480p" / "judo", FRAMES[:1], 1)
        (davis / "ImageSets" / "2017" / "val.txt").write_text("judo\n")
        write_masks(tmp_path / "val" / "judo", FRAMES, 1)
        with pytest.raises(DatasetError) as caught:
            pack(tmp_path / "val", "davis-2017", tmp_path / "a.zip", root=davis, split="val")
        assert "missing sequences (29): bike-packing" in str(caught.value)
        assert "not the known ones; see `tinct datasets check` (1): judo" in str(caught.value)

    def test_test_challenge_needs_the_dataset(self, masks: Path, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="--root"):
            pack(masks, "davis-2017", tmp_path / "a.zip", split="test-challenge")


class TestYouTubeVos:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """One video whose object 2 begins in its second frame."""
        folder = tmp_path / "YouTubeVOS" / "valid"
        names = ["00000", "00005", "00010"]
        write_frames(folder / "JPEGImages" / "0a49", names)
        write_masks(folder / "Annotations" / "0a49", names[:1], 1)
        write_masks(folder / "Annotations" / "0a49", names[1:2], 2)
        objects = {str(i): {"category": "cat", "frames": names[i - 1 :]} for i in (1, 2)}
        (folder / "meta.json").write_text(json.dumps({"videos": {"0a49": {"objects": objects}}}))
        return folder.parent

    def test_all_lies_below_annotations(self, root: Path, tmp_path: Path) -> None:
        names = ["00000", "00005", "00010"]
        write_masks(tmp_path / "masks" / "0a49", names, 1, 2)
        report = pack(tmp_path / "masks", "youtube-vos", tmp_path / "a.zip", root=root)
        with zipfile.ZipFile(report.path) as archive:
            assert archive.namelist() == [f"Annotations/0a49/{name}.png" for name in names]
        assert report.split == "valid"

    def test_only_every_fifth_frame_is_taken(self, root: Path, tmp_path: Path) -> None:
        write_masks(tmp_path / "masks" / "0a49", ["00000", "00005", "00006"], 1, 3)
        with pytest.raises(DatasetError) as caught:
            pack(tmp_path / "masks", "youtube-vos", tmp_path / "a.zip", root=root)
        assert "the first too (1): 0a49/00010" in str(caught.value)
        assert "no frame of the split (1): 0a49/00006" in str(caught.value)
        assert "0a49/00000 (3), 0a49/00005 (3)" in str(caught.value)

    def test_without_the_dataset_videos_are_counted(self, tmp_path: Path) -> None:
        write_masks(tmp_path / "masks" / "0a49", ["00000"], 1)
        write_mask(tmp_path / "masks" / "0a49" / "00005.png", labels_of(1, size=(HEIGHT, WIDTH + 1)))
        with pytest.raises(DatasetError) as caught:
            pack(tmp_path / "masks", "youtube-vos", tmp_path / "a.zip")
        assert "valid has 474 in 2018, 507 in 2019 (1): 1 are there" in str(caught.value)
        assert f"0a49/00005 ({WIDTH + 1}×{HEIGHT}, not {WIDTH}×{HEIGHT})" in str(caught.value)

    def test_without_the_dataset_the_report_says_what_was_not_checked(self, tmp_path: Path) -> None:
        for video in range(474):
            write_masks(tmp_path / "masks" / f"{video:04x}", ["00000"], 200)
        report = pack(tmp_path / "masks", "youtube-vos", tmp_path / "a.zip")
        assert report.sequences == 474
        assert any("Not checked" in line for line in report.lines)

    def test_names_that_a_server_may_not_unpack(self, root: Path, tmp_path: Path) -> None:
        write_frames(root / "valid" / "JPEGImages" / "-x", ["00000"])
        write_masks(root / "valid" / "Annotations" / "-x", ["00000"], 1)
        (root / "valid" / "meta.json").unlink()
        write_masks(tmp_path / "masks" / "0a49", ["00000", "00005", "00010"], 1)
        write_masks(tmp_path / "masks" / "-x", ["00000"], 1)
        with pytest.raises(DatasetError, match=r"not every server unpacks \(1\): -x/00000"):
            pack(tmp_path / "masks", "youtube-vos", tmp_path / "a.zip", root=root)
