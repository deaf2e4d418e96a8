"""The modules that must be exact, called in the browser: label maps as PNG, and painting in whole pixels."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

ENCODE = """async ([width, height, values]) => {
  const { encodeLabels } = await import("/static/js/png.js");
  const png = await encodeLabels({ width, height, data: Uint8Array.from(values) });
  return btoa(String.fromCharCode(...new Uint8Array(await png.arrayBuffer())));
}"""
DECODE = """async (text) => {
  const { decodeLabels } = await import("/static/js/png.js");
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const { width, height, data } = await decodeLabels(bytes.buffer);
  return [width, height, [...data]];
}"""
PAINT = """async ([kind, width, height, values, points, size, object, erase, keepOthers]) => {
  const labels = await import("/static/js/labels.js");
  const map = { width, height, data: Uint8Array.from(values) };
  const ink = labels.inkOf(object, erase, keepOthers);
  const corners = points.map(([x, y]) => ({ x, y }));
  const area = kind === "stroke"
    ? labels.stroke(map, corners[0], corners[1], size, ink) : labels.fillPolygon(map, corners, ink);
  return [[...map.data], area];
}"""


def test_a_label_map_is_the_same_after_png_and_back(blank: Any) -> None:
    draws = np.random.default_rng(0)
    for height, width in ((1, 1), (3, 7), (40, 33)):
        labels = draws.integers(0, 256, (height, width)).astype(np.uint8)
        coded = base64.b64decode(blank.evaluate(ENCODE, [width, height, labels.ravel().tolist()]))
        picture = Image.open(io.BytesIO(coded))
        assert picture.mode == "L"
        assert (np.array(picture) == labels).all()
        back = blank.evaluate(DECODE, base64.b64encode(coded).decode())
        assert back == [width, height, labels.ravel().tolist()]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_pngs_are_read_as_ids_whatever_their_colours(blank: Any, bits: int) -> None:
    rows, columns = np.mgrid[:19, :23]
    labels = ((rows // 3 + columns * columns // 5) % 2**bits).astype(np.uint8)  # all of PNG's filters pay off
    picture = Image.fromarray(labels, "L").convert("L")
    picture.putpalette([7, 7, 7] * 256)  # one colour for all: only indices tell ids apart
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", bits=bits, optimize=True)
    width, height, data = blank.evaluate(DECODE, base64.b64encode(buffer.getvalue()).decode())
    assert (width, height) == (23, 19)
    assert (np.array(data).reshape(19, 23) == labels).all()


def test_every_png_filter_is_undone(blank: Any) -> None:
    draws = np.random.default_rng(1)
    smooth = np.clip(np.cumsum(draws.integers(-2, 4, (30, 41)), axis=1) + 60, 0, 255).astype(np.uint8)
    for kind in range(5):
        coded = filtered_png(smooth, kind)
        assert (np.array(Image.open(io.BytesIO(coded))) == smooth).all()  # the twin below is right
        data = blank.evaluate(DECODE, base64.b64encode(coded).decode())[2]
        assert (np.array(data).reshape(smooth.shape) == smooth).all(), kind


def filtered_png(labels: np.ndarray, kind: int) -> bytes:
    """A grey PNG whose rows all have one filter."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    height, width = labels.shape
    padded = np.pad(labels.astype(int), ((1, 0), (1, 0)))
    left, up, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    guess = left + up - corner
    far = np.abs(guess - np.stack([left, up, corner]))
    paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], up, corner))
    predicted = [np.zeros_like(left), left, up, (left + up) // 2, paeth][kind]
    rows = ((labels - predicted) % 256).astype(np.uint8)
    packed = zlib.compress(b"".join(bytes([kind]) + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def painted(blank: Any, kind: str, labels: np.ndarray, points: Any, size: float = 0, **ink: Any) -> Any:
    height, width = labels.shape
    options = [size, ink.get("object", 5), ink.get("erase", False), ink.get("keep_others", False)]
    values, area = blank.evaluate(PAINT, [kind, width, height, labels.ravel().tolist(), points, *options])
    return np.array(values).reshape(labels.shape), area


def capsule(shape: tuple[int, int], a: Any, b: Any, diameter: float) -> np.ndarray:
    """The pixels whose centre is at most half a diameter from the line, one by one."""
    a, b = np.array(a, float), np.array(b, float)
    hit = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        point, along = np.array([x + 0.5, y + 0.5]), b - a
        share = np.clip((point - a) @ along / (along @ along), 0, 1) if along.any() else 0.0
        hit[y, x] = ((point - a - share * along) ** 2).sum() <= (diameter / 2) ** 2
    return hit


@pytest.mark.parametrize(
    ("a", "b", "diameter"),
    [((10, 8), (10, 8), 9), ((3.25, 4.5), (20.5, 13.75), 6), ((-5, 2), (40, 30), 5), ((12, 9), (12.5, 9), 2)],
)
def test_a_stroke_paints_whole_pixels_and_says_where(blank: Any, a: Any, b: Any, diameter: float) -> None:
    before = np.zeros((18, 26), np.uint8)
    before[5:12, 8:16] = 2
    after, area = painted(blank, "stroke", before, [a, b], diameter)
    hit = capsule(before.shape, a, b, diameter)
    assert hit.any()
    assert (after == np.where(hit, 5, before)).all()
    outside = np.ones_like(hit)
    outside[area["y0"] : area["y1"], area["x0"] : area["x1"]] = False
    assert not (hit & outside).any()


def test_a_brush_of_one_pixel_leaves_no_gap(blank: Any) -> None:
    after, _ = painted(blank, "stroke", np.zeros((20, 30), np.uint8), [(2.5, 3.5), (27.5, 16.5)], 1)
    hit = after == 5
    assert hit[3, 2]
    assert hit[16, 27]
    assert set(np.unique(np.nonzero(hit)[1])) == set(range(2, 28))
    assert hit.sum() < 60


def test_other_objects_are_kept_when_asked(blank: Any) -> None:
    before = np.tile(np.array([0, 2, 5, 255], np.uint8), (6, 3))
    line = [(0, 3), (12, 3)]
    kept, _ = painted(blank, "stroke", before, line, 20, keep_others=True)
    assert (kept == np.where(before == 2, 2, 5)).all()
    erased, _ = painted(blank, "stroke", before, line, 20, erase=True, keep_others=True)
    assert (erased == np.where(before == 5, 0, before)).all()
    erased, _ = painted(blank, "stroke", before, line, 20, erase=True)
    assert (erased == 0).all()


def test_a_polygon_takes_the_pixels_whose_centre_is_inside(blank: Any) -> None:
    corners = [(2.2, 1.7), (24.1, 4.0), (14.5, 9.3), (21.9, 17.4), (3.3, 14.2)]
    after, _ = painted(blank, "polygon", np.zeros((18, 26), np.uint8), corners)
    expected = np.zeros((18, 26), bool)
    for y, x in np.ndindex(expected.shape):
        inside = False
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            crosses = (y0 <= y + 0.5) != (y1 <= y + 0.5)
            inside ^= crosses and x + 0.5 > x0 + (y + 0.5 - y0) / (y1 - y0) * (x1 - x0)
        expected[y, x] = inside
    assert 100 < expected.sum() < 350
    assert ((after == 5) == expected).all()
