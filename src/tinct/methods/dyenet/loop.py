"""DyeNet: Joint Re-identification and Attention-Aware Mask Propagation.

Xiaoxiao Li, Chen Change Loy. "Video Object Segmentation with Joint Re-identification and Attention-Aware
Mask Propagation", ECCV 2018, arXiv:1803.04242; and the authors' report of the same name to the DAVIS
Challenge 2018, whose sections are cited here.

Re-identification finds objects in any frame by what they look like; recurrent propagation carries each
found mask both ways in time. The surest tracklets are linked to tubes, and what was found teaches more
templates, until nothing new is found.

| paper | here |
|---|---|
| features f_i, once per frame (2) | `sources.Sources.whole` |
| object proposals (2.1) | `sources.Sources.candidates` |
| similarity to templates, threshold ρ (2.1) | `reid.matched` |
| the mask network (2.1) | `sources.Sources.masks` |
| starting points ŷ (2.2) | `tracklets.StartingPoint` |
| h_j = N_R(h_{(j-1)→j}, x_j), y_j = N_O(h_j), eq. 1 and 2 | `propagation.propagated` |
| tracklets, both ways (2.2) | `tracklets.Tracklet` |
| linking (2.2) | `linking.linked` |
| iterative inference with template expansion (2) | `DyeNet._loop`, `run.Run` |
| online training (ECCV paper) | `fine_tuning.trained_online`, `Options.fine_tuning` |
| ensemble, patches, two streams (3) | `members`, `ensemble`, `Options.patches`, `DyeNetConfig.two_streams` |

What goes beyond the paper is an `Options` field that the preset "paper" switches off; the page
docs/methods/dyenet.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from tinct.data.online_clips import LabelledFrame
from tinct.inference.callbacks import report_explanation
from tinct.inference.segmenter import VideoSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.video import Video
from tinct.methods.dyenet.fine_tuning import tuned_for_video
from tinct.methods.dyenet.members import Member, make_members
from tinct.methods.dyenet.merging import merged
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.run import Run
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import Tubes
from tinct.networks.dyenet.proposal_sources import ProposalSource
from tinct.networks.flow import DisFlow, FlowEstimator
from tinct.ops.precision import bfloat16_is_faster
from tinct.shapes import LabelMap


class DyeNet(VideoSegmenter):
    """DyeNet at test time; all masks come when the loop over the whole video has ended.

    Args:
        networks: One `DyeNetNetwork`, or several whose probabilities are averaged (3); never changed.
        options: How the loop is run.
        device: Where it runs.
        flow: Gives the optical flow; DIS if None.
        proposals: Gives the boxes; None for the first network's own.
    """

    streams = False

    def __init__(
        self,
        networks: Any,
        options: Options,
        device: torch.device | None = None,
        flow: FlowEstimator | None = None,
        proposals: ProposalSource | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.options = options
        self.flow = flow or DisFlow()
        self.proposals = proposals
        self.members = self._members(tuple(networks) if isinstance(networks, Sequence) else (networks,))

    @property
    def networks(self) -> tuple[Any, ...]:
        """This segmenter's copies of the networks, without the mirror images."""
        return tuple(member.network for member in self.members if not member.mirrored)

    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        """Masks of every frame, of all objects of all prompts; annotated masks come out as they are."""
        object_ids = tuple(sorted({i for labels in prompts.values() for i in object_ids_of(labels)}))
        sources = Sources(video, self._tuned(video, prompts), self.flow, self.proposals, self.options)
        tubes = self._loop(Run(sources, self.options, object_ids), prompts)
        for index in range(len(video)):
            seen = {i: tube[index].mask for i, tube in tubes.items() if index in tube}
            masks = merged(seen, object_ids, sources.size, video.size)
            yield index, masks.corrected(prompts[index]) if index in prompts else masks

    def _tuned(self, video: Video, prompts: Mapping[int, LabelMap]) -> tuple[Member, ...]:
        """The members, or copies that have learned from annotated frames (ECCV paper: online training)."""
        training = self.options.fine_tuning
        if training.budget.is_none:
            return self.members
        annotated = [LabelledFrame(video[index], labels) for index, labels in prompts.items()]
        several = self.networks
        tuned = [
            tuned_for_video(network, annotated, training, place, len(several))
            for place, network in enumerate(several)
        ]
        return self._members(tuned)

    def _members(self, networks: Sequence[Any]) -> tuple[Member, ...]:
        lowered = bfloat16_is_faster(self.device.type)
        flip, attention = self.options.flip, self.options.attention
        return make_members(networks, self.device, flip=flip, attention=attention, lowered=lowered)

    @torch.inference_mode()
    def _loop(self, run: Run, prompts: Mapping[int, LabelMap]) -> Tubes:
        """Match → propagate both ways → link → expand the templates, until nothing new is found (2).

        Round 0 is that of the annotated masks: starting points of similarity 1.
        """
        starts = run.paint(prompts)
        for number in range(1, self.options.rounds + 2):
            run.propagate(starts)
            run.link()
            run.expand_templates()
            starts = run.match(number) if self.options.re_id and number <= self.options.rounds else []
            if not starts:
                break
        report_explanation(run.decisions())
        return run.tubes
