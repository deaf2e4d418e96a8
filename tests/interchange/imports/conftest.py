from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.io.video import Video

H, W, FRAMES = 12, 16, 5


@pytest.fixture
def video() -> Video:
    """Frames called 00000 to 00004."""
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(FRAMES)])


@pytest.fixture
def named_video() -> Video:
    names = ["shot_a", "shot_b", "shot_c"]
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(3)], names)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a text, or anything else as JSON."""
    import json

    def write(content: Any, name: str = "masks.json") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write
