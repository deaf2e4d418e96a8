"""What a row of the zoo says of a method: its variants, presets, scores, weights and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinct.errors import WeightsError

PRESETS = ("default", "paper", "fast")
"""What every method offers: our best setting, the paper's alone, and the one for live use."""


@dataclass(frozen=True)
class Score:
    """A figure with its source: `paper`, `published` (its authors' model card), or `ours` and its command."""

    value: float
    source: str
    command: str

    def __post_init__(self) -> None:
        if self.source not in ("ours", "paper", "published"):
            raise WeightsError(f"A score's source is ours, paper or published; {self.source!r} came.")


@dataclass(frozen=True)
class HubWeights:
    """A variant's weights on the Hugging Face hub: its authors', not tinct's.

    Attributes:
        repo: `user/name`.
        parameters: How many million.
        megabytes: Of the safetensors.
        licence: Of the weights.
        scores: The authors' own figures, `published`.
        gated: Its authors want consent to their terms before it can be fetched.
    """

    repo: str
    parameters: float
    megabytes: int
    licence: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    gated: bool = False


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
        hub: Variant → its weights on the hub, for methods whose weights are not in the package.
        takes_clicks: Its segmenter is a `PromptableSegmenter` as well.
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
    hub: Mapping[str, HubWeights] = field(default_factory=dict)
    takes_clicks: bool = False
    streams: bool = True

    def presets_of(self, variant: str) -> tuple[str, ...]:
        """The presets that a variant has."""
        return tuple(preset for preset in self.presets if preset not in self.lacking.get(variant, ()))
