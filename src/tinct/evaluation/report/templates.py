"""The templates of the pages, filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinct.evaluation.tables import percent

_FOLDER = Path(__file__).parent


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template of this folder with its names filled in; one that is missing is a fault of ours."""
    # Imported here, as only a page needs it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(template).render(context)
