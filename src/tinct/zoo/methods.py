"""The rows of the zoo: every method that tinct has, its variants, and the papers' own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinct.errors import WeightsError


@dataclass(frozen=True)
class Score:
    """A figure with its source: `paper`, or `ours` with the command that made it."""

    value: float
    source: str
    command: str

    def __post_init__(self) -> None:
        if self.source not in ("ours", "paper"):
            raise WeightsError(f"A score's source is 'ours' or 'paper'; {self.source!r} came.")


@dataclass(frozen=True)
class MethodRecord:
    """One row of the zoo.

    Args:
        title: The paper.
        module: Holds `Options`, `PRESETS` and `build`.
        variants: Variant → what it is, in a few words.
        default_variant: The one taken when none is named.
        paper_variant: The one that follows the paper.
        paper_scores: The paper's own figures, with the table or section as their command.
        fine_tunes: It learns from the painted frames: its `Options` have a field `fine_tuning`.
        uses_flow: Its `build` takes a `FlowEstimator`.
        uses_proposals: Its `build` takes a `ProposalSource`.
        explains: It gives an account of its decisions (`tinct.inference.callbacks`).
        joined: Variant → the variants whose weights its file joins; no recipe trains it as a whole.
        streams: It goes through a video from the first painted frame on, and gives each mask at once.
    """

    title: str
    module: str
    variants: Mapping[str, str]
    default_variant: str
    paper_variant: str
    paper_scores: Mapping[str, Score]
    fine_tunes: bool = False
    uses_flow: bool = False
    uses_proposals: bool = False
    explains: bool = False
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    streams: bool = True


def _paper(value: float, where: str) -> Score:
    return Score(value, "paper", where)


METHODS: Mapping[str, MethodRecord] = {
    "feelvos": MethodRecord(
        title="FEELVOS: Fast End-to-End Embedding Learning for Video Object Segmentation (Voigtlaender 2019)",
        module="tinct.methods.feelvos",
        variants={
            "mobilenetv2": "compact: MobileNetV2, weights in the package, made for a laptop's processor",
            "xception65": "the paper's: aligned Xception-65, DeepLabv3+, 100-d embedding at stride 4",
        },
        default_variant="mobilenetv2",
        paper_variant="xception65",
        paper_scores={
            "DAVIS-2016 val J&F": _paper(0.817, "results on the DAVIS 2016 validation set"),
            "DAVIS-2017 val J&F": _paper(0.715, "results on the DAVIS 2017 validation set, with YouTube-VOS"),
        },
    ),
    "osvos": MethodRecord(
        title="OSVOS: One-Shot Video Object Segmentation (Caelles 2017)",
        module="tinct.methods.osvos",
        variants={
            "mobilenetv2": "compact: MobileNetV2, fine-tuned in half a minute on a laptop's processor",
            "vgg16": "the paper's: VGG-16 with side outputs",
        },
        default_variant="mobilenetv2",
        paper_variant="vgg16",
        paper_scores={
            "DAVIS-2016 val J": _paper(0.798, "results on the DAVIS 2016 validation set"),
            "DAVIS-2016 val F": _paper(0.806, "results on the DAVIS 2016 validation set"),
        },
        fine_tunes=True,
    ),
    "masktrack": MethodRecord(
        title="MaskTrack: Learning Video Object Segmentation from Static Images (Perazzi 2017)",
        module="tinct.methods.masktrack",
        variants={
            "mobilenetv2": "compact: MobileNetV2, the mask guides a feature pyramid",
            "vgg16": "the paper's: DeepLabv2 on VGG-16 with the mask as a fourth channel",
            "resnet101": "DeepLabv2 on ResNet-101: the baseline in DyeNet's paper",
        },
        default_variant="mobilenetv2",
        paper_variant="vgg16",
        paper_scores={
            "DAVIS-2016 val J": _paper(0.797, "results on the DAVIS 2016 validation set, flow and CRF"),
        },
        fine_tunes=True,
        uses_flow=True,
    ),
    "maskrnn": MethodRecord(
        title="MaskRNN: Instance Level Video Object Segmentation (Hu 2017)",
        module="tinct.methods.maskrnn",
        variants={
            "mobilenetv2": "compact: MobileNetV2 in both streams, the warped mask guides feature pyramids",
            "vgg16": "the paper's: VGG-16 in both streams",
        },
        default_variant="mobilenetv2",
        paper_variant="vgg16",
        paper_scores={
            "DAVIS-2016 val J": _paper(0.807, "results on the DAVIS 2016 validation set"),
            "DAVIS-2017 val J": _paper(0.605, "results on the DAVIS 2017 validation set"),
        },
        fine_tunes=True,
        uses_flow=True,
    ),
    "dyenet": MethodRecord(
        title="DyeNet: Joint Re-identification and Attention-Aware Mask Propagation (Li 2018)",
        module="tinct.methods.dyenet",
        variants={
            "mobilenetv2": "compact: MobileNetV2 with a feature pyramid; sees the whole video",
            "resnet101": "the paper's: ResNet-101, a copy of its last stage in each head",
            "xception65": "the paper's deeper one, of the DAVIS-2018 challenge",
            "ensemble": "the challenge's: ResNet-101 and Xception-65, their probabilities averaged",
        },
        default_variant="mobilenetv2",
        paper_variant="resnet101",
        paper_scores={
            "DAVIS-2016 val J": _paper(0.862, "ECCV paper, results on DAVIS 2016, online training"),
            "DAVIS-2017 val J&F": _paper(0.741, "ECCV paper, results on DAVIS 2017"),
            "DAVIS-2017 test-dev J&F": _paper(0.682, "DAVIS-2018 report, table 1"),
        },
        fine_tunes=True,
        uses_flow=True,
        uses_proposals=True,
        explains=True,
        joined={"ensemble": ("resnet101", "xception65")},
        streams=False,
    ),
}
"""Every method that tinct has."""
