"""Every single write of an export that can fail, fails once."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing_kit import DISK_CALLS, every_failure, is_one_line

from tinct.errors import OutputError
from tinct.interchange.exports import FORMATS, LabelledVideo, export

FAST = ("coco", "palette-png")


def files_of(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {each.name: each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


@pytest.mark.parametrize(
    "to", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in FORMATS]
)
def test_an_export_is_there_as_a_whole_or_not_at_all(to: str, soft: LabelledVideo, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR") if to == "exr" else None
    undisturbed = files_of(export(soft, to, tmp_path / "undisturbed"))
    for name, target in DISK_CALLS.items():
        for failing in every_failure(target):
            folder = tmp_path / f"{name} {failing.n}"
            raised = failing.during(lambda: export(soft, to, folder / "made"))  # noqa: B023
            if raised is None:
                assert not failing.failed or name == "unlink"
            else:
                assert isinstance(raised, OutputError)
                assert "No space left on device" in str(raised)
                assert is_one_line(raised)
                assert not folder.exists() or list(folder.iterdir()) == []
                export(soft, to, folder / "made")
            [made] = folder.iterdir()
            assert files_of(made).keys() == undisturbed.keys()
            assert to.endswith("prores") or files_of(made) == undisturbed
