"""`tinct models`: what there is to choose from."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct import zoo
from tinct.cli.application import app

if TYPE_CHECKING:
    from tinct.zoo import HubWeights, MethodRecord, Score, WeightsRecord

WIDTH = 80
"""No line is longer, so that every terminal shows the table."""

PER_FRAME = "854×480, one object, one thread, fine-tuning apart"
"""What the seconds per frame are those of."""

WHOSE = {"paper": "paper", "published": "theirs"}
"""How the table marks scores that are not ours, by their source."""

MEASURES = ("J&F", "J", "F")
"""Of which the best score is taken: the first of them that was measured."""


@app.command()
def models(
    method: Annotated[str | None, typer.Argument(help="Show all that is known of this method.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every variant and preset with its options as JSON.")
    ] = False,
) -> None:
    """List methods, variants, weights and scores."""
    if as_json:
        import json

        print(json.dumps(list_models(method), indent=2, default=str))
        return
    print("\n".join(table_lines() if method is None else method_lines(method)))


def table_lines() -> list[str]:
    """One line a variant."""
    lines = [_row("method", "variant", "weights", "s/frame", "best score")]
    for method, record in {**zoo.METHODS, **zoo.PROMPTABLE}.items():
        for variant in record.variants:
            card = zoo.weights_record(method, variant)
            seconds = None if card is None else card.seconds_per_frame
            lines.append(
                _row(
                    method,
                    variant + ("*" if variant == record.default_variant else ""),
                    _size_of(record, variant, card),
                    "-" if seconds is None else f"{seconds:.2f}",
                    _best(card, zoo.published_scores(method, variant)),
                )
            )
    takers = [
        line
        for name, able in zoo.CAPABILITIES.items()
        for line in _wrapped(f"{able.options.split()[0]}: ", ", ".join(zoo.methods_where(name)))
    ]
    return [
        *lines,
        "",
        *takers,
        "",
        *_wrapped("s/frame: ", f"{PER_FRAME}, on a processor with AVX-512 and bfloat16."),
        "* the default variant. Variants without weights here take --weights FILE.",
        *_wrapped("hub: ", "the authors' weights, fetched from huggingface.co when first used."),
        "`tinct models METHOD` shows presets, all scores with their sources, and more.",
    ]


def method_lines(method: str) -> list[str]:
    """All that is known of a method: what it can do, then its variants with weights, scores and recipe."""
    record = zoo.weights_owner(method)
    lines = [method, *_wrapped("", record.title), ""]
    whole = method in zoo.METHODS
    does = "; ".join(_abilities(record)) if whole else "segments one frame by clicks, boxes and scribbles"
    lines += _wrapped("can: ", f"{does}.")
    lines += _wrapped("presets: ", ", ".join(record.presets))
    for variant, lacking in record.lacking.items():
        lines += _wrapped("  ", f"{variant} has no {', '.join(lacking)}")
    if record.recipe_parts:
        lines += _wrapped("tinct train --without: ", ", ".join(record.recipe_parts))
    if record.recipe_additions:
        lines += _wrapped("tinct train --with: ", ", ".join(record.recipe_additions))
    for variant, description in record.variants.items():
        default = " (the default)" if variant == record.default_variant else ""
        lines += ["", *_wrapped(f"{variant}{default}: ", description)]
        card = zoo.weights_record(method, variant)
        if card is not None:
            lines += _card_lines(card)
        elif variant in record.hub:
            lines += _hub_lines(record.hub[variant])
        else:
            joined = record.joined.get(variant)
            text = f"joined from those of {' and '.join(joined)}" if joined else "not in the package"
            lines += _wrapped("  weights: ", text)
        if variant == record.paper_variant:
            lines += _score_lines(record.paper_scores)
    return lines


def list_models(method: str | None = None) -> list[dict[str, Any]]:
    """One row per method and variant, as `tinct models --json` prints them; of one alone if named."""
    wanted = zoo.METHODS if method is None else {method: zoo.weights_owner(method)}
    return [
        _json_row(name, record, variant) for name, record in wanted.items() for variant in record.variants
    ]


def _json_row(method: str, record: MethodRecord, variant: str) -> dict[str, Any]:
    card = zoo.weights_record(method, variant)
    on_hub = record.hub.get(variant)
    papers = record.paper_scores if variant == record.paper_variant else {}
    return {
        "method": method,
        "variant": variant,
        "description": record.variants[variant],
        "title": record.title,
        "default": variant == record.default_variant,
        "presets": {
            preset: _plain(zoo.preset_options(method, variant, preset))
            for preset in record.presets_of(variant)
        },
        **{capability: getattr(record, capability) for capability in zoo.CAPABILITIES},
        "streams": record.streams,
        "recipe_parts": list(record.recipe_parts),
        "recipe_additions": list(record.recipe_additions),
        "weights": None if card is None else _weights(card),
        "scores": {name: asdict(score) for name, score in (card.scores if card else {}).items()},
        "paper_scores": {name: asdict(score) for name, score in papers.items()},
        **({} if on_hub is None else {"hub": asdict(on_hub)}),
    }


def _weights(card: WeightsRecord) -> dict[str, Any]:
    size = round(card.path.stat().st_size / 1e6, 1) if card.path.exists() else None
    made_by = ("recipe", "data", "hardware", "seconds", "seconds_per_frame")
    return {"file": card.file, "sha256": card.sha256, "megabytes": size} | {
        name: getattr(card, name) for name in made_by
    }


def _plain(options: Any) -> Any:
    return asdict(options) if is_dataclass(options) and not isinstance(options, type) else options


def _abilities(record: MethodRecord) -> list[str]:
    """What a method can do, in words."""
    does = ["gives each mask at once" if record.streams else "sees the whole video before the first mask"]
    does += ["takes clicks and boxes"] if record.takes_clicks else []
    does += [able.does for name, able in zoo.CAPABILITIES.items() if getattr(record, name)]
    return does + (["has a table of ablations"] if record.has_ablation else [])


def _card_lines(card: WeightsRecord) -> list[str]:
    lines = _wrapped("  weights: ", f"{card.file}, {_size(card)}, sha256 {card.sha256[:12]}")
    if card.seconds_per_frame is not None:
        lines += _wrapped(
            "  seconds per frame: ",
            f"{card.seconds_per_frame:.2f} ({PER_FRAME}; the processor is that below)",
        )
    lines += _wrapped("  recipe: ", card.recipe)
    lines += _wrapped("  trained in: ", f"{card.seconds / 3600:.1f} hours on {card.hardware}")
    lines += _wrapped("  data and terms: ", card.data)
    return lines + _score_lines(card.scores)


def _hub_lines(weights: HubWeights) -> list[str]:
    gate = "; gated: ask for access on its page, and log in with `hf auth login`" if weights.gated else ""
    lines = _wrapped(
        "  weights: ",
        f"{weights.repo} on huggingface.co, {weights.megabytes} MB, {weights.parameters:g} million "
        f"parameters{gate}",
    )
    lines += _wrapped("  licence: ", weights.licence)
    return lines + _score_lines(weights.scores)


def _score_lines(scores: Mapping[str, Score]) -> list[str]:
    lines = []
    for name, score in scores.items():
        lines += _wrapped(f"  {score.value:.3f}  ", f"{name} ({score.source}: {score.command})")
    return lines


def _row(method: str, variant: str, weights: str, seconds: str, score: str) -> str:
    line = f"{method:<13}{variant:<14}{weights:>8}{seconds:>8}  {score}"
    return line.rstrip() if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _size(card: WeightsRecord) -> str:
    return f"{card.path.stat().st_size / 1e6:.1f} MB" if card.path.exists() else "missing"


def _size_of(record: MethodRecord, variant: str, card: WeightsRecord | None) -> str:
    if card is not None:
        return _size(card)
    return f"hub {record.hub[variant].megabytes}" if variant in record.hub else "-"


def _best(card: WeightsRecord | None, papers: Mapping[str, Score]) -> str:
    """The highest score of our own by the first measure that there is, else the authors'."""
    scores = (card.scores if card is not None else {}) or papers
    if not scores:
        return "-"
    name = min(scores, key=lambda name: (_rank(name), -scores[name].value))
    source = "" if scores[name].source == "ours" else f" ({WHOSE[scores[name].source]})"
    return f"{scores[name].value:.3f} {name}{source}"


def _rank(name: str) -> int:
    """The place of a score's measure in `MEASURES`; names read "DAVIS-2016 dev J&F, fast"."""
    found = re.search(r" (J&F|J|F)(?=,|$)", name)
    return MEASURES.index(found[1]) if found else len(MEASURES)


def _wrapped(head: str, text: str) -> list[str]:
    """A text after its head, in lines of `WIDTH`, the later ones indented."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return textwrap.wrap(head + text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
