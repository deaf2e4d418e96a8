"""The ablations that the papers report, row by row: by which options they are had, and what the papers found.

A row is compared with another one of its table (`against`). The papers' figures are those of
`published.json`; where a paper says in words alone which way a row moved, `direction` holds that.
Sources: the ablation tables of FEELVOS, OSVOS and MaskTrack; MaskRNN, ablation study; DyeNet, table 1 of the
DAVIS-2018 report, and the ECCV paper on rounds. What the summaries at hand do not say is left out, not
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinct.errors import OptionError, near_match
from tinct.evaluation.ablation_row import AblationRow, AblationTable

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

_OWN_MASKS = (
    "The paper trains this row again (tinct train masktrack --with box-mask, or --without mask, then "
    "--weights NAME=FILE); without such weights this row does so in fine-tuning and at test alone."
)

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
        AblationRow(
            "few-photos",
            "trained on fewer images",
            _PLAIN,
            needs_weights="trained on 5,000 photos",
            published="trained on 5,000 images",
            against=("without-flow",),
        ),
        AblationRow(
            "video",
            "trained on video",
            _PLAIN,
            needs_weights="trained on frames of videos",
            published="trained offline on video",
            against=("without-flow",),
        ),
        AblationRow(
            "box-mask",
            "the mask's box in the place of the mask",
            {**_PLAIN, "mask_input": "box"},
            published="a box as fourth channel",
            against=("without-flow",),
            note=_OWN_MASKS,
        ),
        AblationRow(
            "without-mask",
            "without the mask",
            {**_PLAIN, "mask_input": "none"},
            published="without the mask channel",
            against=("without-flow",),
            note=_OWN_MASKS,
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

_FEELVOS_NOTE = (
    "The paper trains each row again (tinct train feelvos --without PART, then --weights NAME=FILE); without "
    "such weights the part says nothing at test alone."
)
_TRAINED_ON = "without YouTube-VOS"
"""All of the table's networks are."""


_NO_WINDOW = "previous frame matched globally"
_NO_LOCAL = "without matching to the previous frame"
_GLOBAL = "without matching to the previous frame and its prediction"
_NO_PREDICTION = "without the previous prediction"
_NO_GLOBAL = "without global matching to the first frame"
_WHOLE, _NO_PREVIOUS = {"previous_matching": "frame"}, {"previous_matching": "none"}
_UNSEEN, _UNMATCHED = {"previous_prediction": False}, {"global_matching": False}


def _feelvos_row(name: str, title: str, published: str | None, options: Mapping[str, Any]) -> AblationRow:
    known = None if published is None else f"{_TRAINED_ON}, {published}"
    return AblationRow(name, title, options, published=known, against=("full",), note=_FEELVOS_NOTE)


FEELVOS = AblationTable(
    "feelvos",
    "FEELVOS",
    "davis-2017",
    "val",
    (
        AblationRow("full", "everything", published=_TRAINED_ON),
        _feelvos_row("without-window", "previous frame matched globally", _NO_WINDOW, _WHOLE),
        _feelvos_row("without-local", "no matching with the previous frame", _NO_LOCAL, _NO_PREVIOUS),
        _feelvos_row("global-alone", "global matching alone", _GLOBAL, {**_NO_PREVIOUS, **_UNSEEN}),
        _feelvos_row("without-prediction", "no previous prediction", _NO_PREDICTION, _UNSEEN),
        _feelvos_row("without-global", "no global matching", _NO_GLOBAL, _UNMATCHED),
        _feelvos_row("local-alone", "local matching alone", None, {**_UNMATCHED, **_UNSEEN}),
    ),
    measure="G",
)

ABLATIONS: Mapping[str, AblationTable] = {
    table.method: table for table in (FEELVOS, OSVOS, MASKTRACK, MASKRNN, DYENET)
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
