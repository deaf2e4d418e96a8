"""How DyeNet is made and run: the options, and what each variant's presets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tinct.errors import OptionError
from tinct.methods.dyenet.fine_tuning import PAPER_TRAINING, OnlineTraining, compact_paper_training
from tinct.methods.dyenet.linking import LinkingRules
from tinct.networks.dyenet.network import COMPACT as COMPACT_CONFIG
from tinct.networks.dyenet.network import DyeNetConfig
from tinct.networks.dyenet.patches import PATCH_SIDE


@dataclass(frozen=True)
class Options:
    """The network's config and the way the loop is run; the defaults are the paper's.

    Where the text names no number, the default is inferred; most are those of the same authors'
    "Video Object Segmentation with Re-identification" (DAVIS challenge 2017), here VS-ReID.

    Attributes:
        config: What the weights are bound to.
        attention: Region attention (2.2); without it, a network that has it looks at its boxes evenly.
        re_id: Look for the objects in all frames (2.1); without it masks are only propagated from the
            annotated frames ("Re-MP" in table 1).
        rho: A box whose similarity to a template reaches this is a starting point (ρ, ECCV paper: 0.7).
        rounds: Largest number of rounds of re-identification; the loop ends sooner when nothing new is
            found (2; the ECCV paper says that three suffice).
        max_proposals: Largest number of boxes of each frame (inferred).
        box_margin: By which a box around a mask is wider on each side, as a fraction of its own (2.2: the
            bounding box of the warped mask, so 0; VS-ReID: 0.15). Weights want that of their training.
        least_box_cells: A warped mask's box ends a propagation if both its sides are shorter than so
            many cells of the finest features (inferred).
        least_area: A mask ends its propagation if its area is below this share of the annotated mask's,
            or of the starting point's if that is smaller (VS-ReID: 0.1 of the annotated one's).
        checkpoints: A propagation ends where a starting point of the same object that is nearer in time,
            and at least as similar, has a mask already (VS-ReID).
        covered_iou: A starting point that overlaps its object's tube by more is not propagated (2.1 says
            so without a number).
        refinements: Beyond the paper: a match's mask is looked for this many times more, each time in the box
            around what was found.
        least_agreement: Beyond the paper: boxes come from what the cells of a frame recall of the annotated
            ones, too; and a mask's similarity is its overlap with what they recall (`cell_matching`), which
            must reach this to start a tracklet. 0 never looks.
        memory_every: Beyond the paper: a propagation remembers what every so many frames show of its objects,
            and matches boxes with the last of these beside the frame before (0: with that alone).
        doubt_margin: The trace shows a doubt where the next object is less similar by no more than this.
        linking: When tracklets contradict each other (2.2 does not say).
        verification: Beyond the paper: a propagation ends where its mask's box is less similar to all
            templates of its object, or, with `least_agreement`, the mask agrees less; 0 never looks.
        compete: Beyond the paper: objects that are propagated together share out the pixels at every step.
        flip: Average with what the network says of mirrored frames (VS-ReID).
        patches: Propagate on size-normalised patches that enclose each object, cut from the frame at its
            full resolution (3, "advanced").
        patch_side: Of those, in pixels.
        fine_tuning: Online training on the annotated frames (ECCV paper); by default none, and the paper's
            layers and loss are those of the preset "paper".
        feature_budget_mb: Features and flow are cached up to this, and computed again past it.
        working_height: Short side in pixels to which frames are brought; None leaves them.

    Raises:
        OptionError: A number that makes no sense.
    """

    config: DyeNetConfig = field(default_factory=DyeNetConfig)
    attention: bool = True
    re_id: bool = True
    rho: float = 0.7
    rounds: int = 10
    max_proposals: int = 100
    box_margin: float = 0.0
    least_box_cells: float = 2.0
    least_area: float = 0.1
    checkpoints: bool = True
    covered_iou: float = 0.5
    refinements: int = 0
    least_agreement: float = 0.0
    memory_every: int = 0
    doubt_margin: float = 0.05
    linking: LinkingRules = field(default_factory=LinkingRules)
    verification: float = 0.0
    compete: bool = False
    flip: bool = False
    patches: bool = False
    patch_side: int = PATCH_SIDE
    fine_tuning: OnlineTraining = field(default_factory=OnlineTraining)
    feature_budget_mb: float = 650.0
    working_height: int | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.rho <= 1 or not -1 <= self.verification <= 1:
            raise OptionError(
                f"rho = {self.rho} and verification = {self.verification} came; they are cosines, in [-1, 1]."
            )
        shares = {name: getattr(self, name) for name in ("least_area", "covered_iou", "least_agreement")}
        if not all(0 <= share <= 1 for share in shares.values()):
            came = ", ".join(f"{name} = {share}" for name, share in shares.items())
            raise OptionError(f"{came} came; they are shares, in [0, 1].")
        if self.least_agreement and not self.config.matching_guide:
            raise OptionError(
                f"least_agreement = {self.least_agreement} came for a network without a matching guide, "
                "whose cells cannot be compared; set it to 0."
            )
        least = min(
            self.rounds,
            self.box_margin,
            self.least_box_cells,
            self.refinements,
            self.memory_every,
            self.feature_budget_mb,
        )
        if least < 0 or self.max_proposals < 1 or self.patch_side < 32:
            raise OptionError(
                f"rounds = {self.rounds}, max_proposals = {self.max_proposals}, "
                f"box_margin = {self.box_margin}, least_box_cells = {self.least_box_cells}, "
                f"refinements = {self.refinements}, memory_every = {self.memory_every}, "
                f"feature_budget_mb = {self.feature_budget_mb} and patch_side = {self.patch_side} came; none "
                "lies below 0, proposals begin at 1, patches at 32."
            )

    @property
    def flow_steps(self) -> tuple[int, ...]:
        """To which frames a frame's flow is asked for: its neighbours on both sides."""
        return (-1, 1)


PAPER = Options(fine_tuning=PAPER_TRAINING, working_height=480)
"""Frames of 480 pixels, as the benchmark that the paper reports on gives them."""

COMPACT_MARGIN, COMPACT_ENLARGEMENT = 0.15, (1.15, 1.5)
"""Of boxes at test, on each side; and the range of the factor on their sides in training."""

COMPACT_GRID = 56
"""m at test: boxes of frames of 400 rows have more pixels than those of training, of 256; masks show them."""

COMPACT = Options(
    config=replace(COMPACT_CONFIG, roi_grid=COMPACT_GRID),
    box_margin=COMPACT_MARGIN,
    rounds=3,
    refinements=1,
    least_agreement=0.3,
    memory_every=10,
    linking=LinkingRules(trim=True, prefer="similar", overrule_margin=0.1),
    verification=0.2,
    compete=True,
    fine_tuning=OnlineTraining(roi_grid=COMPACT_CONFIG.roi_grid),
    working_height=400,
)
"""Chosen on `dev` and on occlusion clips (docs/experiments.md)."""

ADVANCED = replace(PAPER, config=DyeNetConfig(pyramid=True, two_streams=True), patches=True, flip=True)
"""The form of the DAVIS-2018 challenge (3); its weights are its own: `tinct train dyenet --with`."""

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": COMPACT,
        "fast": replace(COMPACT, config=COMPACT_CONFIG, working_height=288, max_proposals=50, rounds=2),
        "paper": replace(
            PAPER,
            config=COMPACT_CONFIG,
            box_margin=COMPACT_MARGIN,
            fine_tuning=compact_paper_training(COMPACT_ENLARGEMENT),
        ),
        "advanced": replace(
            COMPACT, config=replace(COMPACT.config, two_streams=True), patches=True, flip=True
        ),
    },
    **{
        name: {
            "default": replace(PAPER, config=DyeNetConfig(backbone=name)),
            "fast": replace(PAPER, config=DyeNetConfig(backbone=name), working_height=288),
            "paper": replace(PAPER, config=DyeNetConfig(backbone=name)),
            "advanced": replace(ADVANCED, config=replace(ADVANCED.config, backbone=name)),
        }
        for name in ("resnet101", "xception65")
    },
    # The config of its first network; that of the other differs in the backbone (`ensemble`).
    "ensemble": {
        "default": PAPER,
        "fast": replace(PAPER, working_height=288),
        "paper": PAPER,
        "advanced": ADVANCED,
    },
}
"""Variant → preset → options. "advanced" is section 3's; weights without a second stream make do without."""
