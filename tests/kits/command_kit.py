"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from tinct import cli


def tinct_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of `tinct words...`."""
    monkeypatch.setattr(sys, "argv", ["tinct", *words])
    monkeypatch.delenv("TINCT_DEBUG", raising=False)
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
