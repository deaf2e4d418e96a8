"""`tinct compare-methods`: runs, what they took, how far they agree, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from command_kit import tinct_command
from PIL import Image

from tinct.errors import OptionError, TinctError
from tinct.evaluation.side_by_side import MethodRun, agreements, finished_run, parse_methods, write_page
from tinct.io.mask_files import write_mask
from tinct.io.video import Video


def labels_at(index: int) -> np.ndarray:
    labels = np.zeros((24, 40), np.uint8)
    labels[4:14, 4 + index : 18 + index] = 1
    return labels


def test_methods_and_variants_are_named() -> None:
    assert parse_methods("feelvos, sam2:large,edgetam") == [
        ("feelvos", "mobilenetv2"), ("sam2", "large"), ("edgetam", "repvit"),
    ]  # fmt: skip
    for text, said in (("feelvoz", "Did you mean"), (" , ", "No method came"), ("osvos,osvos", "came twice")):
        with pytest.raises(OptionError, match=said):
            parse_methods(text)


def test_agreement_is_the_mean_j_of_all_objects() -> None:
    one, other = labels_at(0), labels_at(7)
    one[20:24, :10] = 2
    assert agreements([one, one])[0, 1] == 1
    found = agreements([one, other, np.zeros_like(one)])
    assert found[0, 1] == found[1, 0] == pytest.approx((70 / 210 + 0) / 2)
    assert found[0, 2] == 0
    assert agreements([np.zeros_like(one)] * 2)[0, 1] == 1


def test_the_page_shows_what_was_run_and_marks_what_is_theirs(tmp_path: Path) -> None:
    video = Video.from_arrays([np.full((24, 40, 3), 99, np.uint8)] * 5)
    for name, shift in (("a", 0), ("b", 3)):
        (tmp_path / name / "masks").mkdir(parents=True)
        for index in range(5):
            write_mask(tmp_path / f"{name}/masks/{video.names[index]}.png", labels_at(index + shift))
    runs = [
        MethodRun("feelvos", "mobilenetv2", tmp_path / "a", "", 0.2, 400.0, "in the package, sha256 12"),
        MethodRun("sam2", "tiny", tmp_path / "b", "", 0.5, 900.0, "hf://facebook/<b>"),
        MethodRun("sam3_tracker", "pe", tmp_path / "c", "it is gated"),
    ]
    write_page(tmp_path / "methods.html", video, {0}, runs)
    page = (tmp_path / "methods.html").read_text()
    assert page.count("data:image/jpeg") == 2 * 4
    assert "no masks: it is gated" in page
    assert "hf://facebook/&lt;b&gt;" in page
    assert f"{110 / 170:.3f}" in page
    rows = re.findall(r"<tr><td>sam2 tiny</td><td>(.*?) J&amp;F</td>.*?<td>(theirs:)", page)
    assert [benchmark for benchmark, _ in rows] == ["SA-V test", "MOSE val", "LVOS-v2"]
    write_page(tmp_path / "none.html", video, {0}, runs[2:])
    assert "data:image" not in (tmp_path / "none.html").read_text()


def test_methods_are_run_apart_and_failures_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip").mkdir()
    for index in range(3):
        frame = np.repeat(labels_at(index)[..., None] * np.uint8(200), 3, axis=2)
        Image.fromarray(frame).save(tmp_path / f"clip/{index:05d}.png")
    write_mask(tmp_path / "mask.png", labels_at(0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    words = ("compare-methods", "clip", "mask.png", "--out", "out", "--device", "cpu", "--threads", "1")
    assert tinct_command(monkeypatch, *words, "--methods", "feelvos,sam2") == 0
    run = finished_run("feelvos", "mobilenetv2", Path("out/feelvos_mobilenetv2"))
    assert run.seconds_per_frame is not None
    assert run.peak_memory_mb is not None
    page = Path("out/methods.html").read_text()
    assert "no masks: hf://facebook/sam2.1-hiera-tiny is not in the cache" in page
    assert "--local-dir DIR" in page
    assert "sam2 tiny               no masks" in capfd.readouterr().out
    Path("out/feelvos_mobilenetv2/run.json").write_text("{}")
    with pytest.raises(TinctError, match="is not what a run leaves behind"):
        finished_run("feelvos", "mobilenetv2", Path("out/feelvos_mobilenetv2"))
