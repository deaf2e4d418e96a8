"""The ablations that the papers report, row by row: by which options they are had, and what the papers found.

A row is compared with another one of its table (`against`). The papers' figures are those of
`published.json`; where a paper says in words alone which way a row moved, `direction` holds that.
Sources: OSVOS, ablation table; MaskTrack, ablation table; MaskRNN, ablation study; DyeNet, table 1 of the
DAVIS-2018 report, and the ECCV paper on rounds. What the summaries at hand do not say is left out, not
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinct.errors import OptionError, near_match


@dataclass(frozen=True)
class AblationRow:
    """One row.

    Attributes:
        name: On the command line, and of the row's folder.
        title: In tables.
        options: Fields of the method's `Options`, in the place of the preset's.
        method: The method that the row runs, where it is not the table's own; its weights are then that
            method's too.
        config: Fields of `Options.config` that differ in weights of the row's own (`--weights NAME=FILE`).
        fine_tuned: Whether objects are fine-tuned at all.
        needs_weights: What weights of its own the row needs; it then runs only with
            `--weights NAME=FILE`. Empty if the method's own weights serve.
        published: The variant of its method in `published.json`; None if there is no figure.
        paper: As `published.json` calls the row's method, where it is not the table's own.
        against: The row that it is compared with, and others for where that one could not be run;
            empty for the first.
        direction: Which way the paper says that the row moved against these, +1 or -1, where it
            gives no figure; 0 where figures say it, or nobody does.
        note: What a reader should know.
    """

    name: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    fine_tuned: bool = True
    needs_weights: str = ""
    published: str | None = None
    paper: str = ""
    against: tuple[str, ...] = ()
    direction: int = 0
    note: str = ""


@dataclass(frozen=True)
class AblationTable:
    """The rows of one paper.

    Attributes:
        method: As in the zoo.
        paper: As `published.json` calls the method.
        dataset: Where the paper measured.
        split: Likewise.
        rows: In the paper's order.
        measure: What the rows are compared by: "J", or "G", the mean of J and F; that on occlusion clips
            is of the frames after a reappearance ("G after").
    """

    method: str
    paper: str
    dataset: str
    split: str
    rows: tuple[AblationRow, ...]
    measure: str = "J"

    def chosen(self, names: list[str] | None) -> tuple[AblationRow, ...]:
        """The rows of these names, in the table's order; all for None.

        Raises:
            OptionError: There is no such row.
        """
        known = [row.name for row in self.rows]
        for name in names or ():
            if name not in known:
                raise OptionError(f"{self.method} has no ablation row {name!r}. {near_match(name, known)}")
        return tuple(row for row in self.rows if names is None or row.name in names)


OSVOS = AblationTable(
    "osvos",
    "OSVOS",
    "davis-2016",
    "val",
    (
        AblationRow("full", "everything", {"boundary": "guided"}, published=""),
        AblationRow(
            "without-boundary",
            "without boundary snapping",
            {"boundary": "none"},
            published="without boundary snapping",
            against=("full",),
        ),
        AblationRow(
            "without-parent",
            "without parent network and boundary snapping",
            {"boundary": "none"},
            needs_weights="those of ImageNet alone",
            published="without parent network and boundary snapping",
            against=("without-boundary",),
        ),
        AblationRow(
            "without-one-shot",
            "without fine-tuning and boundary snapping",
            {"boundary": "none"},
            fine_tuned=False,
            published="without fine-tuning and boundary snapping",
            against=("without-boundary",),
        ),
        AblationRow(
            "without-both",
            "without parent network, fine-tuning and boundary snapping",
            {"boundary": "none"},
            fine_tuned=False,
            needs_weights="those of ImageNet alone",
            published="without parent network, fine-tuning and boundary snapping",
            against=("without-one-shot",),
        ),
    ),
)

_PLAIN = {"flow_stream": False, "crf": False}
"""MaskTrack's ablations are of the network without flow stream and CRF."""

MASKTRACK = AblationTable(
    "masktrack",
    "MaskTrack",
    "davis-2016",
    "trainval",
    (
        AblationRow(
            "full", "with flow and CRF", {"flow_stream": True, "crf": True}, published="with flow and CRF"
        ),
        AblationRow(
            "without-crf",
            "without CRF",
            {"flow_stream": True, "crf": False},
            published="with flow",
            against=("full",),
        ),
        AblationRow("without-flow", "without flow and CRF", _PLAIN, published="", against=("without-crf",)),
        AblationRow(
            "box",
            "from a box",
            {**_PLAIN, "box": True},
            published="from a box",
            against=("without-flow",),
            note="The paper has a network of its own for the box; here the same network starts from it.",
        ),
        AblationRow(
            "without-online",
            "without fine-tuning",
            _PLAIN,
            fine_tuned=False,
            published="without fine-tuning",
            against=("without-flow",),
        ),
        AblationRow(
            "without-offline",
            "without offline training",
            _PLAIN,
            needs_weights="those of ImageNet alone",
            published="without offline training",
            against=("without-flow",),
        ),
        AblationRow(
            "without-dilation",
            "without dilation",
            {**_PLAIN, "dilation_px": 0},
            published="without dilation",
            against=("without-flow",),
            note="The paper leaves dilation out of training too (--weights without-dilation=FILE); without "
            "such weights this row does so at test alone.",
        ),
        AblationRow(
            "without-deformation",
            "without deformation",
            _PLAIN,
            needs_weights="trained on masks that are not deformed",
            published="without deformation",
            against=("without-flow",),
        ),
        AblationRow(
            "without-non-rigid",
            "without non-rigid deformation",
            _PLAIN,
            needs_weights="trained without thin-plate splines",
            published="without non-rigid deformation",
            against=("without-flow",),
        ),
    ),
)

_APPEARANCE = {"flow_stream": False, "localization": False}
_BOTH_STREAMS = {"flow_stream": True, "localization": False}
_EVERYTHING = {"flow_stream": True, "localization": True}
_SAME_WEIGHTS = (
    "The paper trains each row again (--weights NAME=FILE); without such weights the parts are switched off "
    "at test alone."
)

MASKRNN = AblationTable(
    "maskrnn",
    "MaskRNN",
    "davis-2016",
    "val",
    (
        AblationRow(
            "appearance",
            "appearance stream",
            _APPEARANCE,
            fine_tuned=False,
            published="appearance stream, without fine-tuning",
            note=_SAME_WEIGHTS,
        ),
        AblationRow(
            "flow-stream",
            "+ flow stream",
            _BOTH_STREAMS,
            fine_tuned=False,
            against=("appearance",),
            direction=1,
            note=_SAME_WEIGHTS,
        ),
        AblationRow(
            "localization-train",
            "+ localization net, trained but not applied",
            _BOTH_STREAMS,
            fine_tuned=False,
            needs_weights="trained with the localization net's loss, without the recurrence",
            against=("flow-stream",),
            direction=-1,
        ),
        AblationRow(
            "localization-apply",
            "+ localization net, applied",
            _EVERYTHING,
            fine_tuned=False,
            needs_weights="trained with the localization net's loss, without the recurrence",
            against=("localization-train",),
            direction=1,
        ),
        AblationRow(
            "recurrence",
            "+ recurrence",
            _EVERYTHING,
            fine_tuned=False,
            against=("localization-apply", "flow-stream"),
            direction=1,
        ),
        AblationRow(
            "online",
            "+ fine-tuning: everything",
            _EVERYTHING,
            published="",
            against=("recurrence",),
            direction=1,
        ),
        AblationRow(
            "appearance-online",
            "appearance stream, with fine-tuning",
            _APPEARANCE,
            published="appearance stream, with fine-tuning",
            against=("online",),
            note=_SAME_WEIGHTS,
        ),
    ),
)

_PROPAGATION = {"re_id": False}
_EVERYWHERE = {"re_id": True, "attention": True}
_ROUNDS = (
    "The ECCV paper on DAVIS-2017 val: G 0.732 after one round, 0.741 after two, then constant; 25 % of the "
    "masks retrieved after one round, 33 % after three."
)

DYENET = AblationTable(
    "dyenet",
    "DyeNet",
    "davis-2017",
    "test-dev",
    (
        AblationRow(
            "msk",
            "MSK",
            _PLAIN,
            method="masktrack",
            published="ResNet-101, by DyeNet's authors",
            paper="MaskTrack",
            note="MaskTrack without flow and CRF, with weights of its own training; its budget of "
            "fine-tuning is per object, DyeNet's per video.",
        ),
        AblationRow(
            "re-mp-without-attention",
            "Re-MP, no attention",
            {**_PROPAGATION, "attention": False},
            config={"attention": False},
            published="propagation alone, without attention",
            against=("msk",),
            note="The paper trains this row again (tinct train dyenet --without attention, then --weights "
            "re-mp-without-attention=FILE); without such weights the network looks at its boxes evenly at "
            "test alone.",
        ),
        AblationRow(
            "re-mp",
            "Re-MP",
            {**_PROPAGATION, "attention": True},
            published="propagation alone",
            against=("re-mp-without-attention",),
        ),
        AblationRow(
            "re-id",
            "+ Re-ID",
            _EVERYWHERE,
            published="with online training",
            against=("re-mp",),
            note="The paper's rows are after online training (--fine-tune); without it this one has G 0.625.",
        ),
        AblationRow(
            "advanced",
            "advanced",
            {**_EVERYWHERE, "patches": True, "flip": True},
            config={"pyramid": True, "two_streams": True},
            published="advanced: box input, two streams",
            against=("re-id",),
            note="Patches and mirror images. The flow's stream has weights of its own (--weights "
            "advanced=FILE, of a config with pyramid and two streams); without them this row has one stream.",
        ),
        AblationRow(
            "rounds-1",
            "+ Re-ID, 1 round",
            {**_EVERYWHERE, "rounds": 1},
            against=("re-mp",),
            direction=1,
            note=_ROUNDS,
        ),
        AblationRow(
            "rounds-2",
            "+ Re-ID, 2 rounds",
            {**_EVERYWHERE, "rounds": 2},
            against=("rounds-1",),
            direction=1,
        ),
        AblationRow(
            "rounds-3",
            "+ Re-ID, 3 rounds",
            {**_EVERYWHERE, "rounds": 3},
            against=("rounds-1",),
            direction=1,
        ),
    ),
    measure="G",
)

ABLATIONS: Mapping[str, AblationTable] = {
    table.method: table for table in (OSVOS, MASKTRACK, MASKRNN, DYENET)
}
"""Method → its table."""


def ablation_of(method: str) -> AblationTable:
    """The table of a method.

    Raises:
        OptionError: No paper's ablation is known for it.
    """
    if method not in ABLATIONS:
        raise OptionError(f"There is no table of ablations for {method!r}. {near_match(method, ABLATIONS)}")
    return ABLATIONS[method]
