"""The page of a batch: every video's thumbnail, the least confident first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment

from tinct.batch.video_job import THUMBNAIL_NAME

INDEX_NAME = "index.html"

SHOWN = 2000
"""Videos on the page; the table has all."""

_PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fafafa }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; padding: 0 }
li { list-style: none; background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: .5rem;
     overflow-wrap: anywhere }
img { display: block; width: 100%; height: 9rem; object-fit: contain; background: #eee; border-radius: 4px }
.error { color: #a40000 }
small { color: #555 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #1a1a1a } li { background: #242424; border-color: #444 }
  img { background: #111 } small { color: #aaa } .error { color: #ff8a80 }
}
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ complete }} of {{ total }} videos are complete.
{% if complete > SHOWN or missing > SHOWN %}
The first {{ SHOWN }} are shown; results.parquet has all.
{% endif %}</p>
{% if failures %}
<h2>Without a result: {{ missing }}</h2>
<ul>
{% for row in failures %}
<li><b>{{ row.name }}</b> ({{ row.status }})<br><span class="error">{{ row.error }}</span></li>
{% endfor %}
</ul>
{% endif %}
{% if rows %}
<h2>Complete, the least confident first</h2>
{% endif %}
<ul>
{% for row in rows %}
<li><a href="{{ row.folder }}/masks/"><img loading="lazy" alt="Frame {{ row.worst_frame }} of {{ row.name }}"
src="{{ row.folder }}/{{ THUMBNAIL_NAME }}"></a>
<b>{{ row.name }}</b><br>
<small>confidence {{ "%.2f"|format(row.confidence or 0) }} at frame {{ row.worst_frame }},
{{ row.frames }} frames, {{ row.objects }} object{{ "" if row.objects == 1 else "s" }},
{{ "%.1f"|format(row.seconds) }} s</small></li>
{% endfor %}
</ul></body></html>
"""
)


def write_index(path: Path, rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """Write the page.

    Args:
        path: The file.
        rows: Of the table.
        title: Of the page.
    """
    counts = {"complete": 0, "missing": 0}
    failures: list[Mapping[str, Any]] = []
    worst: list[tuple[float, int, Mapping[str, Any]]] = []
    for number, row in enumerate(rows):
        complete = row["status"] == "complete"
        counts["complete" if complete else "missing"] += 1
        if not complete:
            failures += [row] if len(failures) < SHOWN else []
            continue
        confidence = row["confidence"] if row["confidence"] is not None else 0.0
        item = (-confidence, -number, {**row, "folder": quote(f"videos/{row['name']}")})
        # The largest confidence is the smallest item, which goes when there are too many.
        (heapq.heappush if len(worst) < SHOWN else heapq.heappushpop)(worst, item)
    shown = [row for *_, row in sorted(worst, reverse=True)]
    total = counts["complete"] + counts["missing"]
    names = {"SHOWN": SHOWN, "THUMBNAIL_NAME": THUMBNAIL_NAME, "title": title}
    text = _PAGE.render(rows=shown, failures=failures, total=total, **counts, **names)
    path.write_text(text, encoding="utf-8")
