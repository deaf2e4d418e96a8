"""docs/batch.md: the files for clusters are what their readers take, and columns and options are named."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tinct.batch.manifest import COLUMNS
from tinct.batch.results import columns

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")


def test_the_files_for_clusters_are_whole() -> None:
    launcher, job = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    assert launcher["head_node_type"] in launcher["available_node_types"]
    assert all(
        {"node_config", "resources"} <= kind.keys() for kind in launcher["available_node_types"].values()
    )
    assert (job["kind"], job["apiVersion"]) == ("RayJob", "ray.io/v1")
    assert job["spec"]["entrypoint"].startswith("tinct batch ")
    groups = [
        job["spec"]["rayClusterSpec"]["headGroupSpec"],
        *job["spec"]["rayClusterSpec"]["workerGroupSpecs"],
    ]
    assert all(group["template"]["spec"]["containers"][0]["image"] for group in groups)


def test_every_column_is_explained() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {*COLUMNS} - named == set()
    assert {*columns()} - named - {"error", "method", "host"} == set()
