"""MaskRNN's net: both streams matter, the localization net starts at its proposal, gradients reach all."""

from __future__ import annotations

import pytest
import torch

from tinct.networks.localization import LocalizationNet, box_loss, located, proposals_of
from tinct.networks.two_streams import StreamFeatures, TwoStreams, VggTwoStreams
from tinct.ops.boxes import box_deltas


@pytest.fixture(scope="module")
def streams() -> TwoStreams:
    torch.manual_seed(0)
    return TwoStreams("mobilenetv2_100", hidden=16).eval()


def inputs(size: tuple[int, int] = (48, 64)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    guides = torch.zeros(2, 1, *size)
    guides[:, :, 10:30, 8:40] = 1
    return torch.rand(2, 3, *size), torch.rand(2, 2, *size), guides


@pytest.mark.parametrize("size", [(48, 64), (47, 61)])
def test_all_outputs_are_of_stride_4(streams: TwoStreams, size: tuple[int, int]) -> None:
    frames, magnitudes, guides = inputs(size)
    output = streams(streams.features(frames, magnitudes), guides, proposals_of(guides))
    expected = (2, -(-size[0] // 4), -(-size[1] // 4))
    assert output.fused.shape == output.appearance.shape == output.motion.shape == expected
    assert output.deltas.tolist() == [[0, 0, 0, 0]] * 2


def test_the_fusion_is_linear_in_both_streams(streams: TwoStreams) -> None:
    frames, magnitudes, guides = inputs()
    output = streams(streams.features(frames, magnitudes), guides, proposals_of(guides))
    torch.testing.assert_close(output.fused, output.appearance + 0.1 * output.motion)
    other = streams(streams.features(frames, 1 - magnitudes), guides, proposals_of(guides))
    torch.testing.assert_close(other.appearance, output.appearance)
    assert not torch.equal(other.motion, output.motion)


def test_the_papers_streams() -> None:
    torch.manual_seed(0)
    paper = VggTwoStreams(hidden=16)
    frames, magnitudes, guides = inputs()
    features = paper.features(frames[:1], magnitudes[:1])
    output = paper(features, guides[:1], proposals_of(guides[:1]))
    assert output.fused.shape == output.motion.shape == (1, 48, 64)
    torch.testing.assert_close(output.fused, (output.appearance + output.motion) / 2)
    alone = paper(StreamFeatures(features.appearance, []), guides[:1], proposals_of(guides[:1]))
    assert torch.equal(alone.fused, output.appearance)
    (output.fused.sum() + output.deltas.sum()).backward()
    unused = [n for n, p in paper.named_parameters() if p.grad is None and ".scores." not in n]
    assert unused == []


def test_objects_share_features(streams: TwoStreams) -> None:
    frames, magnitudes, guides = inputs()
    both = streams.features(frames, magnitudes)
    first = StreamFeatures([m[:1] for m in both.appearance], [m[:1] for m in both.motion])
    alone = streams(first, guides[:1], proposals_of(guides[:1])).fused
    together = streams(both, guides, proposals_of(guides)).fused
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-4)


def test_the_localization_net_learns_a_shift() -> None:
    torch.manual_seed(0)
    net = LocalizationNet(3, 32)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    features = torch.zeros(4, 3, 12, 16)
    proposals = torch.tensor([[0.0, 0, 64, 64]]).repeat(4, 1)
    targets = proposals + torch.tensor([16.0, 0, 16, 0])
    features[:, :, :, 6:] = 1
    for _ in range(60):
        loss = (net(features, proposals) - box_deltas(proposals, targets)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    warped = torch.zeros(4, 1, 192, 256)
    warped[:3, :, :64, :64] = 1
    moved = located(warped, net(features, proposals), 1.0)
    torch.testing.assert_close(moved[:3], targets[:3], atol=1.0, rtol=0)
    assert moved[3].tolist() == [0, 0, 256, 192]


def test_boxes_contain_the_unwarped_masks_where_they_are_given() -> None:
    warped, before = torch.zeros(2, 1, 40, 60), torch.zeros(2, 1, 40, 60)
    warped[:, :, 10:20, 30:50] = 1
    before[0, :, 5:15, 20:30] = 1
    found = located(warped, torch.zeros(2, 4), 1.0, before)
    assert found.tolist() == [[20, 5, 50, 20], [30, 10, 50, 20]]
    assert located(warped, torch.zeros(2, 4), 2.0)[0].tolist() == [20, 5, 60, 25]


def test_the_box_is_taught_by_objects_that_are_to_be_seen() -> None:
    proposals = torch.tensor([[0.0, 0, 20, 10]]).repeat(2, 1)
    truth = torch.zeros(2, 40, 60, dtype=torch.bool)
    truth[0, :10, 10:30] = True
    # Half the proposal's width to the right; smooth L1 is quadratic there.
    assert float(box_loss(torch.zeros(2, 4), proposals, truth)) == 0.5 * 0.5**2
    assert float(box_loss(torch.zeros(2, 4), proposals, torch.zeros_like(truth))) == 0.0
