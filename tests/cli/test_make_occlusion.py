from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_kit import tinct_command

from tinct.data.davis import Davis
from tinct.data.held_out import held_out
from tinct.data.static_images import StaticImages

SMALL = ("--clips", "1", "--size", "64x112", "--frames", "24,26")


@pytest.fixture
def make(tmp_path: Path, masked_photos: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`tinct datasets make-occlusion words...`; the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        return tinct_command(monkeypatch, "datasets", "make-occlusion", *words)

    return run


@pytest.mark.parametrize("training", [False, True])
def test_clips_are_made_of_held_out_photos_or_of_the_others(
    make: Callable[..., int], masked_photos: Path, capsys: pytest.CaptureFixture[str], training: bool
) -> None:
    assert make("OCC", "--stills", str(masked_photos), *SMALL, *(["--training"] if training else [])) == 0
    file = Path("OCC/Visibility/occlusion.json")
    assert capsys.readouterr().out.strip() == str(file)
    content = json.loads(file.read_text())
    assert "OCC" in content["command"]
    assert str(masked_photos.parent) not in content["command"]
    chosen = {"without": held_out} if training else {"only": held_out}
    names = {still.image.stem for still in StaticImages(masked_photos, **chosen)}
    clip = content["clips"]["occlusion-000"]
    sources = [clip["background"], *(o["source"] for o in clip["objects"].values())]
    sources += [other["source"] for other in clip["others"]]
    assert {source.split("/")[1].split(":")[0] for source in sources} <= names
    assert 24 <= len(Davis(Path("OCC"), "occlusion", year="2017")[0]) <= 26


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --stills, --data, or both"),
        (("--stills", "PHOTOS", "--size", "64"), "--size '64' came"),
        (("--stills", "PHOTOS", "--frames", "a,b"), "--frames 'a,b' came"),
        (("--stills", "PHOTOS", "--frames", "30,20"), "least comes before the most"),
        (("--stills", "NOWHERE"), "holds no folder `images`"),
    ],
)
def test_what_cannot_be_meant_is_explained(
    make: Callable[..., int],
    masked_photos: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    assert make("OCC", *(str(masked_photos) if word == "PHOTOS" else word for word in words)) == 1
    assert message in capsys.readouterr().err
    assert not Path("OCC").exists()
