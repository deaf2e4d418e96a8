"""Fixtures of the page's server; what tests call by name is in `kits/web_kit.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from web_kit import Desk

    from tinct.web.limits import Limits

pytest.importorskip("starlette", reason="needs the extra [app]")
pytest.importorskip("python_multipart", reason="needs the extra [app]")


@pytest.fixture(scope="session", autouse=True)
def _shared_worker() -> Iterator[None]:
    yield
    from web_kit import SHARED

    SHARED.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    from web_kit import write_frames

    return write_frames(tmp_path / "clip")


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Opens servers on the same folder of projects; each is closed when the next one opens."""
    from web_kit import Desk

    opened: list[Desk] = []

    def open_one(*videos: Path, **options: Limits) -> Desk:
        for desk in opened:
            desk.close()
        opened[:] = [Desk(tmp_path / "projects", *videos, **options)]
        return opened[0]

    yield open_one
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk], clip: Path) -> Desk:
    """A server with one clip."""
    return open_desk(clip)
