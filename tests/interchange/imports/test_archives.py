from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tinct.errors import MaskError
from tinct.interchange import imports
from tinct.interchange.imports import read_annotations
from tinct.io.video import Video

XML = (
    '<annotations><image name="00001.png" width="16" height="12">'
    '<box label="dog" xtl="0" ytl="0" xbr="2" ybr="2"/></image></annotations>'
)


def packed(path: Path, *files: tuple[str, str], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["annotations.xml", "annotations/default.XML", "../../outside.xml"])
def test_the_annotations_in_a_zip_are_read_and_nothing_is_unpacked(
    video: Video, tmp_path: Path, name: str
) -> None:
    (tmp_path / "inner").mkdir()
    path = packed(
        tmp_path / "inner" / "a.zip", (name, XML), ("images/00001.png", "x"), ("__MACOSX/._a.xml", "")
    )
    assert list(read_annotations(path, video).prompts) == [1]
    assert [each.name for each in tmp_path.rglob("*")] == ["inner", "a.zip"]


def test_a_zip_without_annotations_or_with_several_is_refused(video: Video, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"a\.zip holds 0 JSON or XML files"):
        read_annotations(packed(tmp_path / "a.zip", ("a.png", "x")), video)
    with pytest.raises(MaskError, match=r"2 JSON or XML files \(a.json, b.xml\)"):
        read_annotations(packed(tmp_path / "a.zip", ("a.json", "{}"), ("b.xml", XML)), video)


def test_a_large_file_in_a_zip_is_not_unpacked(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_FILE_BYTES", 2**20)
    path = packed(tmp_path / "a.zip", ("a.xml", " " * (2**20 + 1)))
    assert path.stat().st_size < 2**12
    with pytest.raises(MaskError, match="more than 1 MB"):
        read_annotations(path, video)


def test_a_damaged_or_strange_zip_is_refused(video: Video, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", ("a.xml", XML), how=zipfile.ZIP_BZIP2)
    with pytest.raises(MaskError, match="packed in a way that is not read"):
        read_annotations(path, video)
    whole = packed(path, ("a.xml", XML)).read_bytes()
    for damaged in (whole[:-30], whole[:40] + b"\xff" * 20 + whole[60:]):
        path.write_bytes(damaged)
        with pytest.raises(MaskError, match=r"a\.zip"):
            read_annotations(path, video)
    path.write_text("no zip")
    with pytest.raises(MaskError, match="is no ZIP"):
        read_annotations(path, video)
