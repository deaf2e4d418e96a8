"""The reference has every public name, names what exists, and its examples run."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml

import tinct

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^::: (\S+)$", PAGE, re.MULTILINE)
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES)
def test_every_example_runs_as_it_stands(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_documents_is_there(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__


@pytest.mark.parametrize("name", [name for name in tinct.__all__ if not name.endswith("Error")])
def test_every_public_name_is_documented_and_shown(name: str) -> None:
    assert name == "__version__" or any(named.endswith(f".{name}") for named in NAMED)
    assert any(re.search(rf"tinct\.{name}\b", code) for code in EXAMPLES)


def test_the_reference_is_built_with_the_other_pages() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert {"Python reference": "api.md"} in config["nav"]
    assert any("mkdocstrings" in plugin for plugin in config["plugins"] if isinstance(plugin, dict))
    assert "mkdocstrings[python]" in (ROOT / "Makefile").read_text(encoding="utf-8")
