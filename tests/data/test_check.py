from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from tinct.data.check import DATASETS, TITLES, Report, check_dataset
from tinct.data.check_sequence import Finding, Kind
from tinct.errors import DatasetError, OptionError


def test_a_whole_dataset_passes(layouts: Any, tmp_path: Path) -> None:
    lists = {"mine": {"dog-agility": 25, "hedgehog": 2}}
    layouts.davis(tmp_path, lists, year="2016", ids=(255,), mode="L", size=(480, 854))
    seen: list[tuple[str, int, int]] = []
    report = check_dataset(
        "davis-2016", tmp_path, split="mine", progress=lambda *progress: seen.append(progress)
    )
    assert report.ok
    assert (report.sequences, report.frames, report.annotations) == (2, 27, 27)
    assert report.summary.splitlines() == [
        f"davis-2016 in {tmp_path}: 2 sequences, 27 frames, 27 annotated (heads and ends of the files read)",
        "Nothing is wrong.",
    ]
    assert seen == [("dog-agility", 1, 2), ("hedgehog", 2, 2)]
    # The same tree is none of DAVIS-2017: its masks are grey.
    (tmp_path / "ImageSets" / "2016").rename(tmp_path / "ImageSets" / "2017")
    later = check_dataset("davis-2017", tmp_path, split="mine", deep=True)
    assert {finding.kind for finding in later.findings} == {"palette"}
    assert len(later.findings) == 27


def test_what_is_absent_takes_one_line(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"train": {"dog-agility": 25}}, year="2016", size=(480, 854))
    lines = check_dataset("davis-2016", tmp_path).summary.splitlines()
    (val,) = [line for line in lines if "val split" in line]
    assert val == (
        "absent sequences (20): blackswan, bmx-trees, breakdance, camel, car-roundabout and 15 more; each "
        "belongs to the val split of davis-2016, and is not there"
    )
    assert len(lines) == 6


def test_the_summary_names_a_few_files_and_counts_the_rest(tmp_path: Path) -> None:
    findings = [
        Finding("size", f"s{i}", tmp_path / f"s{i}" / f"{t}.png", f"is {t}×9")
        for i in range(7)
        for t in (3, 4)
    ]
    findings.append(Finding("count", "s0", None, "has 3 frames of 4"))
    report = Report("plain", tmp_path, True, 7, 14, 14, tuple(findings))
    assert not report.ok
    assert report.summary.splitlines()[1:] == [
        "number of frames or videos (1):",
        "  s0 has 3 frames of 4",
        "sizes (14):",
        "  s0/3.png is 3×9 (and 1 more)",
        "  s1/3.png is 3×9 (and 1 more)",
        "  s2/3.png is 3×9 (and 1 more)",
        "  s3/3.png is 3×9 (and 1 more)",
        "  s4/3.png is 3×9 (and 1 more)",
        "  and in 2 more sequences",
        "15 findings.",
    ]
    assert "every file decoded" in report.summary


def test_every_dataset_can_be_checked(layouts: Any, tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in DATASETS}
    layouts.davis(roots["davis-2016"], {"mine": {"hedgehog": 1}}, year="2016")
    layouts.davis(roots["davis-2017"], {"mine": {"hedgehog": 1}})
    layouts.youtube(roots["youtube-vos"], "mine", {"aaaa": {1: ("zebra", 0)}})
    layouts.segtrack(roots["segtrack-v2"])
    layouts.frame(roots["plain"] / "frames" / "0.jpg")
    layouts.mask(roots["plain"] / "masks" / "0.png", (1, 7))
    for name, root in roots.items():
        split = "mine" if name != "plain" and name != "segtrack-v2" else None
        report = check_dataset(name, root, split=split, deep=True)
        # Twelve of SegTrack's fourteen sequences are not in the little tree.
        assert {f.kind for f in report.findings} == ({"absent"} if name == "segtrack-v2" else set())
        assert report.frames > 0
    frames, masks = roots["plain"] / "frames", roots["plain"] / "masks"
    assert check_dataset("plain", frames, masks=masks).ok


def test_kinds_have_titles() -> None:
    assert set(TITLES) == set(get_args(Kind))


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no dataset 'davis'.*Did you mean 'davis-201"):
        check_dataset("davis", tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        check_dataset("davis-2016", tmp_path / "nowhere")
    with pytest.raises(OptionError, match="plain has no splits"):
        check_dataset("plain", tmp_path, split="val")
    with pytest.raises(DatasetError, match="frames and masks"):
        check_dataset("plain", tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        check_dataset("youtube-vos", tmp_path, split="valid")


def test_the_training_data_are_whole_but_for_val(shared_data: Path) -> None:
    report = check_dataset("davis-2016", shared_data / "davis-2016", split="train")
    assert report.ok
    assert (report.sequences, report.frames) == (30, 2079)
