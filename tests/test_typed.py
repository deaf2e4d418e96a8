"""What the pages show passes a user's type checker, and the package says that it has types."""

from __future__ import annotations

import importlib.resources
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/quickstart.md", "docs/api.md")


def test_the_package_says_that_it_has_types() -> None:
    assert importlib.resources.files("tinct").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_the_python_snippets_pass_mypy_strict(tmp_path: Path) -> None:
    files = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)):
            files.append(tmp_path / f"{Path(page).stem}_{number}.py")
            files[-1].write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    found = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), *map(str, files)],
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
