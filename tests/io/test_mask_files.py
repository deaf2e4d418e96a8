from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tinct.errors import MaskError, OptionError, OutputError
from tinct.io.mask_files import atomic_write, read_label_png, read_mask, write_mask
from tinct.io.masks import MaskWarning, voc_palette

SIZE = (48, 64)
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 255, 0)], np.uint8)


def painted(*ids: int) -> np.ndarray:
    """A disc, a box and a ring for up to three ids, on background."""
    labels = np.zeros(SIZE, np.uint8)
    for i, centre in zip(ids, [(16, 16), (44, 30), (30, 38)], strict=False):
        cv2.circle(labels, centre, 8, i, -1)
    return labels


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(picture: np.ndarray | Image.Image, name: str = "first.png", **options: object) -> Path:
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def palette_picture(indices: np.ndarray, palette: np.ndarray) -> Image.Image:
    picture = Image.fromarray(indices)
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return picture


def with_alpha(labels: np.ndarray) -> np.ndarray:
    """Objects in colour, on transparency whose hidden colour is white."""
    rgb = np.where(labels[..., None] > 0, COLOURS[labels], 255).astype(np.uint8)
    return np.dstack([rgb, (labels > 0).astype(np.uint8) * 255])


LABELS = painted(1, 5, 7)
BLUE_RED = painted(2, 1)  # by luminance blue (id 1) comes before red (id 2)
ONE = (LABELS == 5).astype(np.uint8)
GREYS = np.repeat(np.arange(256)[:, None], 3, axis=1)
REORDERED = np.array([(255, 0, 0), (0, 0, 0), (0, 0, 255)])


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(palette_picture(LABELS, voc_palette()), LABELS, id="palette"),
        pytest.param(palette_picture(LABELS, 255 - GREYS), LABELS, id="palette of other colours"),
        pytest.param(palette_picture(ONE * 255, GREYS), ONE, id="palette with white at 255"),
        pytest.param(
            palette_picture(np.array([1, 0, 2], np.uint8)[painted(1, 2)], REORDERED), BLUE_RED, id="reordered"
        ),
        pytest.param(LABELS, LABELS, id="grey labels"),
        pytest.param(np.where(painted(1) > 0, 255, LABELS), np.where(painted(1) > 0, 255, LABELS), id="void"),
        pytest.param(ONE, ONE, id="0/1"),
        pytest.param(ONE * 255, ONE, id="0/255"),
        pytest.param(np.dstack([ONE * 255] * 3), ONE, id="0/255 in RGB"),
        pytest.param(np.dstack([LABELS] * 3), LABELS, id="grey labels in RGB"),
        pytest.param(ONE > 0, ONE, id="1 bit"),
        pytest.param(LABELS.astype(np.uint16), LABELS, id="16 bits"),
        pytest.param(LABELS.astype(np.uint16) * 257, LABELS, id="16 bits, stretched"),
        pytest.param(ONE.astype(np.uint16) * 65535, ONE, id="0/65535"),
        pytest.param(voc_palette()[LABELS], LABELS, id="RGB in VOC colours"),
        pytest.param(COLOURS[painted(1, 2)], BLUE_RED, id="RGB in other colours"),
        pytest.param(with_alpha(painted(1, 2)), BLUE_RED, id="RGBA"),
    ],
)
def test_every_kind_of_mask_is_read(
    save: Callable[..., Path], picture: np.ndarray | Image.Image, expected: np.ndarray
) -> None:
    np.testing.assert_array_equal(read_mask(save(picture), frame_size=SIZE), expected)


def test_a_mixture_of_voc_and_other_colours_gets_free_ids(save: Callable[..., Path]) -> None:
    colours = np.array([(0, 0, 0), (128, 0, 0), (255, 255, 0), (0, 0, 255)], np.uint8)
    labels = read_mask(save(colours[painted(1, 2, 3)]))
    np.testing.assert_array_equal(labels, np.array([0, 1, 3, 2], np.uint8)[painted(1, 2, 3)])


def test_tiny_and_thin_objects_are_not_taken_for_blur(save: Callable[..., Path]) -> None:
    labels = painted(1, 5)
    labels[40, 2:9], labels[44, 3], labels[45, 60] = 2, 3, 9
    np.testing.assert_array_equal(read_mask(save(labels)), labels)
    np.testing.assert_array_equal(read_mask(save(palette_picture(labels, voc_palette()))), labels)


def anti_aliased(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(colours[labels], (0, 0), 0.7)


def noisy_white() -> np.ndarray:
    """What a JPEG that was saved again as a PNG looks like."""
    picture = ONE * 255
    picture[20:24, 40:44], picture[4:8, 4:8] = 253, 2
    return picture


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The lowest intersection over union of the ids that either holds."""
    ids = set(np.unique(one)) | set(np.unique(other))
    return min(float(((one == i) & (other == i)).sum() / ((one == i) | (other == i)).sum()) for i in ids)


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        pytest.param(anti_aliased(ONE, np.array([0, 255], np.uint8)), "soft.png", ONE, id="soft 0/255"),
        pytest.param(anti_aliased(painted(1, 2), COLOURS), "soft.png", BLUE_RED, id="soft RGB"),
        pytest.param(ONE * 255, "mask.jpg", ONE, id="JPEG 0/255"),
        pytest.param(COLOURS[painted(1, 2)], "mask.jpg", BLUE_RED, id="JPEG RGB"),
        pytest.param(noisy_white(), "noisy.png", ONE, id="noise near white"),
    ],
)
def test_soft_edges_are_counted_and_repaired_on_request(
    save: Callable[..., Path], picture: np.ndarray, name: str, expected: np.ndarray
) -> None:
    path = save(picture, name)
    with pytest.raises(MaskError, match=r"\d+ stray colours? on \d+ pixels .*--repair-mask"):
        read_mask(path)
    repaired = read_mask(path, repair=True)
    assert set(np.unique(repaired)) == set(np.unique(expected))
    assert agreement(repaired, expected) > 0.85


def test_repair_leaves_a_good_mask_alone(save: Callable[..., Path]) -> None:
    np.testing.assert_array_equal(read_mask(save(LABELS), repair=True), LABELS)


def test_a_small_object_survives_jpeg(save: Callable[..., Path]) -> None:
    labels = painted(1)
    labels[32:41, 40:49] = 2
    path = save(COLOURS[labels], "small.jpg", quality=92)
    assert agreement(read_mask(path, repair=True), painted(2) + (labels == 2)) > 0.5


def test_255_is_never_the_background(save: Callable[..., Path]) -> None:
    ground = np.where(LABELS == 0, 255, LABELS).astype(np.uint8)
    for picture in (ground, palette_picture(ground, voc_palette()), np.dstack([ground] * 3)):
        path = save(picture)
        number = int((LABELS == 0).sum())
        with pytest.raises(MaskError, match=rf"first\.png has no pixel of background.* {number} pixels"):
            read_mask(path)
        with pytest.warns(MaskWarning, match=f"{number} pixels of 255 are taken for background"):
            np.testing.assert_array_equal(read_mask(path, repair=True), LABELS)
    # Grey objects on white: the same, and white is no object.
    with pytest.raises(MaskError, match="no pixel of background"):
        read_mask(save(np.where(ONE, 128, 255).astype(np.uint8)))


@pytest.mark.parametrize("shade", [85, 100, 127, 128])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_white_beside_grey_is_an_object(save: Callable[..., Path], shade: int, mode: str) -> None:
    labels = painted(1, 2)
    grey = np.array([0, shade, 255], np.uint8)[labels]
    picture = palette_picture(grey, GREYS) if mode == "P" else Image.fromarray(grey).convert(mode)
    with pytest.warns(MaskWarning, match=rf"on {(labels == 2).sum()} pixels .* id 1, .*{shade}"):
        read = read_mask(save(picture))
    np.testing.assert_array_equal(read, np.array([0, shade, 1], np.uint8)[labels])


def test_255_beside_ids_is_void(save: Callable[..., Path]) -> None:
    labels = painted(3, 64)
    labels[:4] = 255
    for picture in (labels, palette_picture(labels, voc_palette()), palette_picture(labels, GREYS)):
        np.testing.assert_array_equal(read_mask(save(picture)), labels)


def rgba(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([rgb, alpha]).astype(np.uint8)


BLACK = np.zeros((*SIZE, 3), np.uint8)
ALPHA = ONE * 255


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        pytest.param(rgba(BLACK, ALPHA), "black", id="black layer"),
        pytest.param(rgba(255 * (1 - ONE[..., None]) + BLACK, ALPHA), "black", id="black on clear white"),
        pytest.param(Image.fromarray(np.dstack([ONE * 0, ALPHA]), "LA"), "black", id="LA"),
        pytest.param(
            rgba(np.random.default_rng(0).integers(0, 256, (*SIZE, 3)), ALPHA), "cut-out", id="cut-out"
        ),
    ],
)
def test_a_mask_in_the_transparency_is_one_object(
    save: Callable[..., Path], picture: np.ndarray | Image.Image, what: str
) -> None:
    for repair in (False, True):
        with pytest.warns(MaskWarning, match=rf"first\.png: its transparency .* one object, .*{what}"):
            np.testing.assert_array_equal(read_mask(save(picture), repair=repair), ONE)


def test_soft_transparency_is_cut_in_the_middle_and_counted(save: Callable[..., Path]) -> None:
    alpha = ALPHA.copy()
    alpha[1, 1:4], alpha[2, 1:3] = 127, 128
    with pytest.warns(MaskWarning, match="5 pixels are half transparent"):
        labels = read_mask(save(rgba(BLACK, alpha)))
    np.testing.assert_array_equal(labels, alpha >= 128)


def test_colours_on_transparency_stay_objects(save: Callable[..., Path]) -> None:
    soft = with_alpha(painted(1, 2))
    np.testing.assert_array_equal(read_mask(save(soft)), BLUE_RED)
    with pytest.raises(MaskError, match="wholly transparent"):
        read_mask(save(rgba(BLACK + 200, ONE * 0)))


def test_a_repair_is_not_advised_where_it_makes_up_objects(save: Callable[..., Path]) -> None:
    blurred = cv2.GaussianBlur(COLOURS[painted(1, 2)], (0, 0), 3)
    with pytest.raises(MaskError) as raised:
        read_mask(save(blurred))
    assert "--repair-mask" not in str(raised.value)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("picture", "name", "message"),
    [
        pytest.param(noise(), "a.png", "looks like a photo: [0-9]{4} colours", id="RGB photo"),
        pytest.param(cv2.GaussianBlur(noise(), (0, 0), 3), "a.jpg", "looks like a photo", id="JPEG photo"),
        pytest.param(np.zeros(SIZE, np.uint8), "a.png", "no object", id="empty"),
        pytest.param(np.full(SIZE, 255, np.uint8), "a.png", "no other value than 255", id="only 255"),
        pytest.param(
            palette_picture(ONE * 255, voc_palette()), "a.png", "255 is void", id="0/255 in VOC colours"
        ),
        pytest.param(COLOURS[1 + painted(1)], "a.png", "none of them is black", id="no background"),
        pytest.param(ONE.astype(np.uint16) * 700 + LABELS, "a.png", "16-bit .*Renumber", id="16-bit ids"),
        pytest.param(Image.new("F", SIZE), "a.tiff", "fractions", id="floats"),
        pytest.param(
            np.kron(np.arange(80).reshape(8, 10), np.ones((4, 4))).astype(np.uint8),
            "a.png",
            "more objects than anyone paints: 80",
            id="many",
        ),
    ],
)
def test_a_wrong_mask_file_is_explained(
    save: Callable[..., Path], picture: np.ndarray | Image.Image, name: str, message: str
) -> None:
    with pytest.raises(MaskError, match=message) as raised:
        read_mask(save(picture, name))
    assert str(raised.value).startswith(name)


def test_another_size_than_the_frames_is_said_before_anything_else(save: Callable[..., Path]) -> None:
    with pytest.raises(MaskError, match=r"64×48 pixels and its frame is 48×64.*swapped"):
        read_mask(save(noise()), frame_size=(64, 48))


def test_a_missing_file_names_its_neighbour(save: Callable[..., Path]) -> None:
    path = save(LABELS, "first.png")
    with pytest.raises(MaskError, match=r"Did you mean 'first\.png'"):
        read_mask(path.with_name("frist.png"))
    with pytest.raises(MaskError, match="Check the path"):
        read_mask(path.parent / "no" / "first.png")


def test_what_is_no_image_is_said_to_be_none(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="is a folder"):
        read_mask(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(MaskError, match="no image"):
        read_mask(tmp_path / "text.png")
    path = save(noise(), "cut.png")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MaskError, match="image file is truncated"):
        read_mask(path)


def test_a_written_mask_is_a_voc_palette_png_with_the_same_ids(tmp_path: Path) -> None:
    labels = np.where(painted(9) > 0, 255, LABELS).astype(np.uint8)
    write_mask(tmp_path / "00000.png", labels)
    with Image.open(tmp_path / "00000.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), voc_palette()[labels])
    np.testing.assert_array_equal(read_label_png(tmp_path / "00000.png"), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["00000.png"]


def test_label_pngs_are_read_as_they_are(save: Callable[..., Path]) -> None:
    np.testing.assert_array_equal(read_label_png(save(ONE * 255)), ONE * 255)
    with pytest.raises(MaskError, match="mode RGB"):
        read_label_png(save(COLOURS[ONE]))


def test_a_mask_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no.*00000\.png cannot be written: No such file"):
        write_mask(tmp_path / "no" / "00000.png", LABELS)


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"old")

    def fill_the_disk() -> None:
        with atomic_write(path) as part:
            part.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        fill_the_disk()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["mask.png"]


def test_written_files_have_the_rights_of_any_new_file(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", LABELS)
    (tmp_path / "plain").touch()
    assert (tmp_path / "mask.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_a_label_map_of_any_type_is_written(tmp_path: Path, dtype: type) -> None:
    labels = np.array([[0, 1], [1, 0]], dtype)
    write_mask(tmp_path / "mask.PNG", labels)
    np.testing.assert_array_equal(read_label_png(tmp_path / "mask.PNG"), [[0, 1], [1, 0]])


@pytest.mark.parametrize("name", ["mask.jpg", "mask.webp", "mask"])
def test_a_mask_is_written_as_png_alone(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"Name it mask\.png\."):
        write_mask(tmp_path / name, np.ones((2, 2), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_label_map_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="Renumber"):
        write_mask(tmp_path / "mask.png", np.array([[300]]))


def test_a_missing_mask_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no mask file"):
        read_mask(tmp_path / "first.png")


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_a_file_of_several_masks_is_refused_with_what_to_do(suffix: str, save: Callable[..., Path]) -> None:
    masks = [Image.fromarray(painted(i)) for i in (120, 240)]
    path = save(masks[0], f"a.{suffix}", save_all=True, append_images=masks[1:])
    with pytest.raises(MaskError, match="holds 2 pictures, and a mask is one") as raised:
        read_mask(path)
    assert "Save or copy it again" not in str(raised.value)
    assert "one by one, each with its frame" in str(raised.value)
