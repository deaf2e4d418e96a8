"""What a video gives: values within a budget, frames in lots, views; and the members that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tinct.io.video import ArrayVideo, Video
from tinct.methods.dyenet import Options
from tinct.methods.dyenet.members import EncodedViews, Member, averaged, joined, make_members
from tinct.methods.dyenet.sources import BudgetCache, Sources
from tinct.networks.dyenet.network import FrameFeatures
from tinct.ops.views import View, full_view

CPU = torch.device("cpu")


class CountingVideo(ArrayVideo):
    """Knows how many frames were read."""

    read = 0

    def _read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        for frame in super()._read(start, stop):
            self.read += 1
            yield frame


@pytest.fixture
def video() -> CountingVideo:
    return CountingVideo([np.full((24, 32, 3), t, np.uint8) for t in range(40)])


def sources(video: Video, network: Any, flow: Any, **changes: Any) -> Sources:
    members = make_members((network,), CPU, flip=False, attention=True, lowered=False)
    return Sources(video, members, flow, None, Options(**changes))


def test_what_fits_is_cached_and_of_the_rest_the_newest() -> None:
    computed: list[int] = []

    def compute(key: int) -> int:
        computed.append(key)
        return key

    cache: BudgetCache[int] = BudgetCache(20.0, lambda _: 10)
    for key in (1, 2, 3, 3, 1, 2, 4, 3):
        assert cache.get(key, lambda key=key: compute(key)) == key
    assert computed == [1, 2, 3, 4, 3]


def test_a_walk_in_either_direction_reads_each_frame_once(
    video: CountingVideo, colour_network: Any, still: Any
) -> None:
    seen = sources(video, colour_network, still)
    assert [int(seen.frame(t)[0, 0, 0]) for t in range(39, -1, -1)] == list(range(39, -1, -1))
    assert video.read == 40
    again = sources(video, colour_network, still)
    for t in range(1, 40):
        again.flow(t, t - 1)
    assert video.read == 80


def test_candidates_are_taken_when_features_are_there_and_only_then(
    video: CountingVideo, colour_network: Any, still: Any
) -> None:
    seen = sources(video, colour_network, still, feature_budget_mb=0.0)
    seen.whole(3)
    seen.whole(5)
    assert colour_network.count.features == 2
    assert len(seen.candidates(3).boxes) == 0
    assert colour_network.count.features == 2
    seen.candidates(4)
    assert colour_network.count.features == 3


def test_boxes_are_placed_in_their_own_views() -> None:
    features = FrameFeatures(torch.zeros(2, 3, 8, 8), None, None)
    boxes = torch.tensor([[10.0, 10, 20, 20], [30, 30, 40, 50]])
    one = EncodedViews(features, (full_view((64, 64)),)).place(boxes)
    assert torch.equal(one[0], boxes)
    assert one[1].tolist() == [0, 0]
    views = (View((10.0, 10.0, 30.0, 30.0), (40, 40)), View((20.0, 20.0, 60.0, 60.0), (40, 40)))
    placed, index = EncodedViews(features, views).place(boxes)
    torch.testing.assert_close(placed, torch.tensor([[0.0, 0, 20, 20], [10, 10, 20, 30]]))
    assert index.tolist() == [0, 1]


def test_a_mirrored_member_says_of_mirrored_things_what_the_plain_one_says(colour_network: Any) -> None:
    plain = Member(colour_network, CPU)
    mirrored = Member(colour_network, CPU, mirrored=True)
    picture = torch.full((1, 3, 40, 60), 0.5)
    picture[:, :, 8:20, 5:25] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    boxes = torch.tensor([[2.0, 4, 34, 30]])
    encodings = [EncodedViews(m.features(picture, None), (full_view((40, 60)),)) for m in (plain, mirrored)]
    masks = [m.mask_probs(encoding, boxes) for m, encoding in zip((plain, mirrored), encodings, strict=True)]
    torch.testing.assert_close(*masks)
    assert 0.1 < float((masks[0] > 0.5).float().mean()) < 0.5
    hidden = [m.begin(k, boxes, masks[0]) for m, k in zip((plain, mirrored), encodings, strict=True)]
    torch.testing.assert_close(*hidden)
    proposed = [m.proposals(k, 5).boxes for m, k in zip((plain, mirrored), encodings, strict=True)]
    torch.testing.assert_close(*proposed)
    torch.testing.assert_close(proposed[0], torch.tensor([[5.0, 8, 25, 20]]))


def test_members_of_other_grids_are_averaged_on_the_first_ones() -> None:
    fine, coarse = torch.ones(2, 8, 8), torch.zeros(2, 4, 4)
    assert torch.equal(averaged([fine, coarse]), torch.full((2, 8, 8), 0.5))
    assert averaged([fine]) is fine


def test_the_cosine_of_joined_embeddings_is_the_mean_of_the_members() -> None:
    first, second = torch.eye(2), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]])
    both = joined([first, second])
    torch.testing.assert_close(both @ both.T, torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


def test_no_boxes_give_no_embeddings(colour_network: Any, video: CountingVideo, still: Any) -> None:
    found = sources(video, colour_network, still).candidates(0)
    assert found.boxes.shape == (0, 4)
    assert len(found.embeddings) == len(found.objectness) == 0
