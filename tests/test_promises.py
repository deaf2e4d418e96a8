from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_promise_names_what_holds_it() -> None:
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and line != "| promise | held by |"]
    assert len(rows) > 15
    for row in rows:
        holders = re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", row.split(" | ")[-1])
        assert holders, row
        assert all((ROOT / holder).is_file() for holder in holders), row
