"""`tinct models`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tinct.cli.application import app


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List methods, variants, weights and scores."""
    rows = list_models()
    if as_json:
        import json

        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "variant", "weights", "scores (ours)", "scores (the paper's)")
    for row in rows:
        file = row["weights"]
        known = f"{file['megabytes']} MB, {file['sha256'][:8]}" if file else "not in the package"
        name = f"{row['variant']} (default)" if row["default"] else row["variant"]
        table.add_row(row["method"], name, known, _lines(row["scores"]), _lines(row["paper_scores"]))
    Console().print(table)
    for option, key in (("--fine-tune", "fine_tunes"), ("--flow", "uses_flow")):
        print(f"{option}: {', '.join(dict.fromkeys(row['method'] for row in rows if row[key]))}")


def list_models() -> list[dict[str, Any]]:
    """One row per method and variant, as `tinct models --json` prints them."""
    from dataclasses import asdict

    from tinct import zoo

    rows: list[dict[str, Any]] = []
    for method, record in zoo.METHODS.items():
        for variant, description in record.variants.items():
            card = zoo.weights_record(method, variant)
            file = None
            if card is not None:
                size = round(card.path.stat().st_size / 1e6, 1) if card.path.exists() else None
                file = {"file": card.file, "sha256": card.sha256, "megabytes": size}
            row: dict[str, Any] = {
                "method": method,
                "variant": variant,
                "description": description,
                "title": record.title,
            }
            row |= {
                "default": variant == record.default_variant,
                "presets": list(zoo.PRESETS),
                "fine_tunes": record.fine_tunes,
                "uses_flow": record.uses_flow,
                "weights": file,
            }
            row["scores"] = {name: asdict(score) for name, score in (card.scores if card else {}).items()}
            papers = record.paper_scores if variant == record.paper_variant else {}
            row["paper_scores"] = {name: asdict(score) for name, score in papers.items()}
            rows.append(row)
    return rows


def _lines(scores: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(f"{name} {score['value']:.3f}" for name, score in scores.items())
