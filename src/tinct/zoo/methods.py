"""The rows of the zoo: every method that tinct has, its variants, and the papers' own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinct.errors import OptionError, WeightsError, near_match

PRESETS = ("default", "paper", "fast")
"""What every method offers: our best setting, the paper's alone, and the one for live use."""


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
class TrainingHelp:
    """What `tinct train METHOD --help` says of one method; the defaults fit most.

    Attributes:
        verb: What is trained, and where the result is.
        needs_videos: Whether `--data` must be given.
        stills: Of `--stills`.
        steps: An example for `--steps`.
        dev: Of `--dev`.
        init: Of `--init`.
        samples: What `--workers` make.
        defaults: The recipes' batches, sizes and learning rates, by variant and stage.
    """

    verb: str
    needs_videos: bool = False
    stills: str = "Photos with object masks."
    steps: str = "stills=400,video=300"
    dev: str = "Measure J and F on it, untuned, at the end of every stage."
    init: str = "Start from these weights: of this method, or of the one it builds on."
    samples: str = "samples"
    defaults: str = ""


def _defaults(**variants: str) -> str:
    """Paragraphs: per variant the stages, each with its samples, their size, and its rate."""
    head = "Recipes, as samples of a step × height × width, largest learning rate:"
    return "\n\n".join([head, *(f"{name}: {stages}" for name, stages in variants.items())])


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
        presets: Names of settings.
        lacking: Variant → those of the presets that it lacks; the others have all of them.
        fine_tunes: It learns from the annotated frames: its `Options` have a field `fine_tuning`.
        uses_flow: Its `build` takes a `FlowEstimator`.
        uses_proposals: Its `build` takes a `ProposalSource`.
        explains: It reports a trace of its decisions (`tinct.inference.callbacks`).
        has_ablation: `tinct.evaluation.ablation_rows` holds the table of its paper.
        training: Help of `tinct train METHOD`, which runs `tinct.training.recipes.METHOD`; None if it has
            no recipe.
        recipe_parts: What `tinct train METHOD --without` can leave out of its recipe.
        recipe_additions: What `--with` can add to it.
        joined: Variant → the variants whose weights its file joins; no recipe trains it as a whole.
        onnx_variants: Those that run in ONNX Runtime, too; its `build` takes a `backend` then, and
            `missing_graph` says which options do not.
        streams: It goes through a video from the first annotated frame on, and gives each mask at once.
    """

    title: str
    module: str
    variants: Mapping[str, str]
    default_variant: str
    paper_variant: str
    paper_scores: Mapping[str, Score]
    presets: tuple[str, ...] = PRESETS
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fine_tunes: bool = False
    uses_flow: bool = False
    uses_proposals: bool = False
    explains: bool = False
    has_ablation: bool = False
    training: TrainingHelp | None = None
    recipe_parts: tuple[str, ...] = ()
    recipe_additions: tuple[str, ...] = ()
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    onnx_variants: tuple[str, ...] = ()
    streams: bool = True

    def presets_of(self, variant: str) -> tuple[str, ...]:
        """The presets that a variant has."""
        return tuple(preset for preset in self.presets if preset not in self.lacking.get(variant, ()))


@dataclass(frozen=True)
class Capability:
    """What some methods can do and others cannot.

    Attributes:
        does: Said of a method that can.
        does_not: Said of a method that cannot.
        options: With which options it is asked for on the command line.
    """

    does: str
    does_not: str
    options: str


CAPABILITIES: Mapping[str, Capability] = {
    "fine_tunes": Capability("fine-tunes", "does not fine-tune", "--fine-tune"),
    "uses_flow": Capability("uses optical flow", "uses no optical flow", "--flow and its cache"),
    "uses_proposals": Capability("uses object proposals", "uses no object proposals", "--proposals"),
    "explains": Capability("explains its decisions", "explains nothing", "--explain"),
}
"""By field of `MethodRecord`."""


def method_record(method: str) -> MethodRecord:
    """The row of a method; an unknown name raises OptionError with the nearest one."""
    if method not in METHODS:
        raise OptionError(f"There is no method {method!r}. {near_match(method, METHODS)}")
    return METHODS[method]


def weights_owner(method: str) -> MethodRecord:
    """The row of a method, or of what segments by prompts: whoever may have weights in the package."""
    return PROMPTABLE[method] if method in PROMPTABLE else method_record(method)


def methods_where(capability: str) -> tuple[str, ...]:
    """The methods for which a field of `MethodRecord` is true (or not empty)."""
    return tuple(name for name, record in METHODS.items() if getattr(record, capability))


def check_capability(method: str, capability: str) -> None:
    """OptionError if a method cannot do what a name of `CAPABILITIES` says."""
    if not getattr(method_record(method), capability):
        able = CAPABILITIES[capability]
        raise OptionError(
            f"{method} {able.does_not}; leave {able.options} out, or take one of "
            f"{', '.join(methods_where(capability))}."
        )


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
        lacking={"mobilenetv2": ("paper",)},
        onnx_variants=("mobilenetv2",),
        training=TrainingHelp(
            "Train FEELVOS; the result is OUT/video.safetensors, for `tinct segment --weights`.",
            needs_videos=True,
            stills="Photos with object masks, for the first stage.",
            steps="stills=1200,video=1900",
            dev="Measure J and F on it at the end of every stage.",
            init="Start from these weights, not from ImageNet's; xception65 also from DeepLabv3+'s (.npz).",
            samples="clips",
            defaults=_defaults(
                mobilenetv2="stills 4 × 240×432, 0.001; video 4 × 240×432, 0.0007",
                xception65="video 6 × 465×465, 0.0007",
            ),
        ),
        has_ablation=True,
        recipe_parts=("global-matching", "local-matching", "window", "previous-prediction"),
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
        has_ablation=True,
        training=TrainingHelp(
            "Train OSVOS's parent network; the result is OUT/video.safetensors.",
            defaults=_defaults(
                mobilenetv2="stills 8 × 256×384, 0.001; video 8 × 256×384, 0.0005",
                vgg16="sides, half_sides, fused 10 × 480×854, 0.0040992",
            ),
        ),
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
        has_ablation=True,
        recipe_parts=("damage", "deformation", "dilation", "mask", "non-rigid"),
        recipe_additions=("box-mask", "few-photos", "video"),
        training=TrainingHelp(
            "Train MaskTrack; the result is OUT/clips.safetensors.",
            defaults=_defaults(
                mobilenetv2="stills 8 × 256×384, 0.001; clips 4 × 256×448, 0.0005",
                vgg16="stills 10 × 321×321, 0.001",
                resnet101="stills 10 × 321×321, 0.001",
            ),
        ),
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
        has_ablation=True,
        recipe_parts=("localization", "recurrence"),
        lacking={"mobilenetv2": ("paper",)},
        training=TrainingHelp(
            "Train MaskRNN, starting from a MaskTrack (--init); the result is OUT/recurrence.safetensors.",
            defaults=_defaults(
                mobilenetv2="recurrence 2 × 240×416, 0.0005",
                vgg16="frames 4 × 480×854, 1e-05; recurrence 1 × 480×854, 1e-05",
            ),
        ),
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
        presets=(*PRESETS, "advanced"),
        fine_tunes=True,
        uses_flow=True,
        uses_proposals=True,
        explains=True,
        joined={"ensemble": ("resnet101", "xception65")},
        streams=False,
        has_ablation=True,
        recipe_parts=("attention",),
        recipe_additions=("two-streams", "pyramid", "patches"),
        training=TrainingHelp(
            "Train DyeNet; the result is OUT/long.safetensors (papers' variants: joint).",
            defaults=_defaults(
                mobilenetv2="proposals, identities 8 × 256×448, 0.001; joint 3 × 256×448, 0.0007; "
                "long 2 × 256×448, 0.0004; online 2 × 256×448, 0.0002",
                resnet101="proposals, identities, joint 8 × 480×854, 0.001; online 8 × 480×854, 0.0001",
                xception65="proposals, identities, joint 8 × 480×854, 0.001; online 8 × 480×854, 0.0001",
            ),
        ),
    ),
}
"""Every method that tinct has."""

PROMPTABLE: Mapping[str, MethodRecord] = {
    "click": MethodRecord(
        title="Clicks: tinct's own, after RITM (Sofiiuk 2022) and SAM (Kirillov 2023)",
        module="tinct.methods.click",
        variants={"mobilenetv2": "compact: a frozen MobileNetV2, and a decoder that runs once per prompt"},
        default_variant="mobilenetv2",
        paper_variant="mobilenetv2",
        paper_scores={},
        presets=("default",),
        training=TrainingHelp(
            "Train the network behind clicks; the result is OUT/clicks.safetensors.",
            steps="small=600,clicks=300",
            init="Start from these weights of it.",
            samples="samples",
            defaults=_defaults(mobilenetv2="small 8 × 160×160, 0.001; clicks 8 × 256×256, 0.0005"),
        ),
        streams=False,
    ),
}
"""What segments one frame by prompts (`tinct.inference.promptable`); none of it goes through a video."""
