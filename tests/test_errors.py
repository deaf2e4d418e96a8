from __future__ import annotations

import subprocess
import sys

import pytest

from tinct import errors


def test_one_except_catches_every_error_of_tinct() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {"MaskError", "VideoError", "OutputError", "WeightsError"} <= {kind.__name__ for kind in kinds}
    assert all(issubclass(kind, errors.TinctError) for kind in kinds)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("feelvoz", "Did you mean 'feelvos'? Known: feelvos, osvos."),
        ("zzz", "Known: feelvos, osvos."),
    ],
)
def test_an_unknown_name_gets_its_nearest_known_one(name: str, expected: str) -> None:
    assert errors.near_match(name, ["osvos", "feelvos"]) == expected


def test_masks_and_videos_do_not_import_torch() -> None:
    code = "import sys, tinct.io.mask_files, tinct.io.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
