from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinct.data.davis import Davis
from tinct.data.held_out import held_out
from tinct.data.occlusion.clips import OcclusionClip, OcclusionClips
from tinct.data.occlusion.files import read_visibility, visibility_file, write_occlusion_split
from tinct.data.occlusion.objects import BackgroundPool, ObjectPool
from tinct.data.occlusion.plan import OcclusionOptions
from tinct.data.static_images import StaticImages
from tinct.errors import DatasetError, OutputError

FILE = '{"clips": {"a": {"objects": {"1": {"source": "", "role": "", %s}}}}}'


@pytest.fixture(scope="module")
def clips(masked_photos: Path) -> OcclusionClips:
    stills = StaticImages(masked_photos, only=held_out)
    options = OcclusionOptions(size=(64, 112), frames=(24, 24))
    return CachedClips(ObjectPool(stills, None), BackgroundPool(stills, None), options)


class CachedClips(OcclusionClips):
    """Every clip is rendered once."""

    def __getitem__(self, index: int) -> OcclusionClip:
        made: dict[int, OcclusionClip] = self.__dict__.setdefault("made", {})
        if index not in made:
            made[index] = super().__getitem__(index)
        return made[index]


def test_a_split_is_read_as_it_was_made(clips: OcclusionClips, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    file = write_occlusion_split(
        clips, tmp_path, "cross", 2, command="the command", progress=lambda *call: calls.append(call)
    )
    assert calls == [("make", 1, 2), ("make", 2, 2)]
    assert file == visibility_file(tmp_path, "cross")
    split = Davis(tmp_path, "cross", year="2017")
    assert [sequence.name for sequence in split] == ["cross-000", "cross-001"]
    traces = read_visibility(tmp_path, "cross")
    for index, sequence in enumerate(split):
        clip = clips[index]
        assert len(sequence) == len(clip.images) == 24
        for t in (0, 11, 23):
            np.testing.assert_array_equal(sequence.read_labels(t), clip.labels[t])
            # A JPEG changes pixels, but no picture.
            difference = np.abs(sequence.read_frame(t).astype(float) - clip.images[t])
            assert difference.mean() < 6
        assert set(sequence.prompts()) == {0}
        assert list(traces[sequence.name]) == list(clip.objects)
        for object_id, trace in traces[sequence.name].items():
            made = clip.objects[object_id]
            assert (trace.source, trace.role) == (made.source, made.role)
            np.testing.assert_array_equal(trace.states, made.states)
            np.testing.assert_allclose(trace.sizes, made.sizes, atol=1e-4)
            np.testing.assert_allclose(trace.shares, made.shares, atol=1e-3)
    content = json.loads(file.read_text())
    assert content["command"] == "the command"
    assert content["options"]["size_change"] == [1.3, 1.9]
    first = content["clips"]["cross-000"]["objects"]["1"]
    assert len(first["states"]) == 24
    assert {d["kind"] for d in first["disappearances"]} <= {"hidden", "outside"}


def test_a_shorter_clip_of_the_same_name_leaves_no_frame_behind(
    clips: OcclusionClips, tmp_path: Path
) -> None:
    write_occlusion_split(clips, tmp_path, "cross", 1)
    folder = tmp_path / "Annotations" / "480p" / "cross-000"
    (folder / "00024.png").write_bytes((folder / "00023.png").read_bytes())
    write_occlusion_split(clips, tmp_path, "cross", 1)
    assert len(list(folder.iterdir())) == 24


def test_what_cannot_be_written_is_said(clips: OcclusionClips, tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").write_text("a file")
    with pytest.raises(OutputError, match="JPEGImages"):
        write_occlusion_split(clips, tmp_path, "cross", 1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", FILE % '"states": "vv"', FILE % '"states": "vv", "sizes": [1], "shares": [1, 1]'],
)
def test_another_file_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="make-occlusion"):
        read_visibility(tmp_path, "cross")
    file = visibility_file(tmp_path, "cross")
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DatasetError, match="make-occlusion"):
        read_visibility(tmp_path, "cross")
