"""The rows of the zoo: every method that tinct has, its variants, and the papers' own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinct.errors import OptionError, near_match
from tinct.zoo.plugins import plugin_methods
from tinct.zoo.records import PRESETS, HubWeights, MethodRecord, Score, TrainingHelp


def _defaults(**variants: str) -> str:
    """Paragraphs: per variant the stages, each with its samples, their size, and its rate."""
    head = "Recipes, as samples of a step × height × width, largest learning rate:"
    return "\n\n".join([head, *(f"{name}: {stages}" for name, stages in variants.items())])


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


def published_scores(method: str, variant: str) -> Mapping[str, Score]:
    """The scores that a variant's authors give: in the paper, and with weights on the hub."""
    record = weights_owner(method)
    papers = record.paper_scores if variant == record.paper_variant else {}
    return {**papers, **record.hub[variant].scores} if variant in record.hub else papers


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


def _published(where: str, **figures: float) -> dict[str, Score]:
    """J&F on SA-V test, MOSE val, LVOS v2 val and DAVIS 2017 val, as the authors give them."""
    names = {"sav": "SA-V test", "mose": "MOSE val", "lvos": "LVOS-v2", "davis": "DAVIS-2017 val"}
    return {f"{names[key]} J&F": Score(value, "published", where) for key, value in figures.items()}


def _sam2(repo: str, parameters: float, megabytes: int, *figures: float) -> HubWeights:
    scores = _published(
        "README of github.com/facebookresearch/sam2", sav=figures[0], mose=figures[1], lvos=figures[2]
    )
    return HubWeights(f"facebook/{repo}", parameters, megabytes, "Apache-2.0", scores)


OWN: Mapping[str, MethodRecord] = {
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
        presets=(*PRESETS, "best"),
        lacking={"mobilenetv2": ("paper",), "xception65": ("best",)},
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
    "sam2": MethodRecord(
        title="SAM 2: Segment Anything in Images and Videos (Ravi 2024), over transformers",
        module="tinct.methods.sam2",
        variants={
            "tiny": "SAM 2.1, Hiera-T; the smallest",
            "small": "SAM 2.1, Hiera-S",
            "base-plus": "SAM 2.1, Hiera-B+",
            "large": "SAM 2.1, Hiera-L; the best, for a GPU",
            "tiny-2.0": "SAM 2 as first released, Hiera-T",
            "small-2.0": "SAM 2 as first released, Hiera-S",
            "base-plus-2.0": "SAM 2 as first released, Hiera-B+",
            "large-2.0": "SAM 2 as first released, Hiera-L",
        },
        default_variant="tiny",
        paper_variant="large-2.0",
        paper_scores={},
        takes_clicks=True,
        hub={
            "tiny": _sam2("sam2.1-hiera-tiny", 38.9, 156, 0.765, 0.718, 0.773),
            "small": _sam2("sam2.1-hiera-small", 46.0, 184, 0.766, 0.735, 0.783),
            "base-plus": _sam2("sam2.1-hiera-base-plus", 80.8, 324, 0.782, 0.737, 0.782),
            "large": _sam2("sam2.1-hiera-large", 224.4, 898, 0.795, 0.746, 0.806),
            "tiny-2.0": _sam2("sam2-hiera-tiny", 38.9, 156, 0.750, 0.709, 0.753),
            "small-2.0": _sam2("sam2-hiera-small", 46.0, 184, 0.749, 0.715, 0.764),
            "base-plus-2.0": _sam2("sam2-hiera-base-plus", 80.8, 324, 0.747, 0.728, 0.758),
            "large-2.0": _sam2("sam2-hiera-large", 224.4, 898, 0.760, 0.746, 0.798),
        },
    ),
    "edgetam": MethodRecord(
        title="EdgeTAM: On-Device Track Anything Model (Zhou 2025), over transformers",
        module="tinct.methods.edgetam",
        variants={"repvit": "RepViT-M1 and a perceiver of memories; for processors and small GPUs"},
        default_variant="repvit",
        paper_variant="repvit",
        paper_scores={},
        takes_clicks=True,
        hub={
            "repvit": HubWeights(
                "yonigozlan/EdgeTAM-hf",
                13.9,
                56,
                "Apache-2.0",
                _published(
                    "README of github.com/facebookresearch/EdgeTAM", davis=0.877, sav=0.717, mose=0.700
                ),
            )
        },
    ),
    "sam3_tracker": MethodRecord(
        title="SAM 3: Segment Anything with Concepts (Carion 2025), its tracker, over transformers",
        module="tinct.methods.sam3_tracker",
        variants={"pe": "perception encoder; for a large GPU. Follows masks and clicks, reads no text"},
        default_variant="pe",
        paper_variant="pe",
        paper_scores={},
        takes_clicks=True,
        hub={
            "pe": HubWeights(
                "facebook/sam3", 860.0, 3440, "SAM License: Meta's own, read it before use", gated=True
            )
        },
    ),
}
"""Every method that comes with tinct."""

METHODS: Mapping[str, MethodRecord] = {**OWN, **plugin_methods(OWN)}
"""Every method that there is: tinct's own, then those of installed plugins."""

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
