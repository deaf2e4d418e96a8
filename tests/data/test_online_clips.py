"""Clips from annotated frames: every object moves by itself over a background without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinct.data.online_clips import AnnotatedRegions, LabelledFrame, OnlineClips
from tinct.data.region_clips import RegionOptions
from tinct.errors import MaskError
from tinct.shapes import VOID

OPTIONS = RegionOptions(size=(48, 64), frames=4, min_pixels=10, paste=0.0, colour=0.0, degrade=0.0)


def annotated(video: int = 0, ids: tuple[int, int] = (4, 6)) -> LabelledFrame:
    labels = np.zeros((48, 64), np.uint8)
    labels[6:26, 6:30], labels[28:44, 36:60], labels[:2] = *ids, VOID
    image = np.full((48, 64, 3), 128, np.uint8)
    image[labels == ids[0]], image[labels == ids[1]] = 255, 0
    return LabelledFrame(image, labels, video)


def test_objects_keep_their_identities_over_frames_of_one_video() -> None:
    regions = AnnotatedRegions([annotated(), annotated(1), annotated(0, (4, 9)), annotated(0, (0, 0))])
    assert len(regions.frames) == 3
    # Objects 4, 6 and 9 of video 0; 4 and 6 of video 1.
    assert regions.identities == 5
    assert [regions.part(i).identities for i in range(3)] == [{4: 0, 6: 1}, {4: 3, 6: 4}, {4: 0, 9: 2}]


def test_frames_without_objects_are_refused() -> None:
    with pytest.raises(MaskError, match="None of the 1 annotated frames shows an object"):
        AnnotatedRegions([annotated(0, (0, 0))])


def test_an_emptied_frame_shows_no_object() -> None:
    part = AnnotatedRegions([annotated()]).emptied(0)
    assert np.unique(part.labels[0]).tolist() == [0, VOID]
    assert np.abs(part.images[0].astype(int) - 128).max() < 40


@pytest.mark.parametrize("lucid", [0.0, 1.0])
def test_identities_stay_with_their_objects(lucid: float) -> None:
    clips = OnlineClips(AnnotatedRegions([annotated()]), OPTIONS, lucid)
    for i in range(8):
        clip = clips[i]
        assert torch.equal(clips[i]["frames"], clip["frames"])
        for k in range(int(clip["objects"])):
            colour = clip["frames"][clip["labels"] == k + 1].float().median()
            assert colour == (255, 0)[int(clip["identities"][k])]


def test_composed_objects_move_apart() -> None:
    clips = OnlineClips(AnnotatedRegions([annotated()]), OPTIONS, 1.0)
    gaps = []
    for i in range(8):
        labels = clips[i]["labels"]
        if all((labels[t] == k).any() for t in (0, 1) for k in (1, 2)):
            centres = [[(labels[t] == k).nonzero().float().mean(0) for k in (1, 2)] for t in (0, 1)]
            gaps.append(float(((centres[0][0] - centres[0][1]) - (centres[1][0] - centres[1][1])).norm()))
    assert np.median(gaps) > 4


def test_what_it_says_of_itself() -> None:
    text = OnlineClips(AnnotatedRegions([annotated()]), OPTIONS, 0.6).describe()
    assert text.startswith("1 painted frames of 2 objects (1.00)")
    assert text.endswith("0.6 put together anew")
