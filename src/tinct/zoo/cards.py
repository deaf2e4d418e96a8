"""What goes to the hub with weights: the file, tinct's card, and a README that the hub renders."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinct._version import __version__
from tinct.errors import OptionError, OutputError, WeightsError
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular
from tinct.io.weights_file import read_metadata, read_owner
from tinct.zoo.build import check_variant
from tinct.zoo.hashes import file_sha256
from tinct.zoo.methods import method_record

CARD = "card.json"
"""Our card's name in a repository of the hub."""

METRIC_TYPES = {"J&F": "j-and-f", "J": "jaccard", "F": "contour-accuracy"}
"""The measures of DAVIS as names of metrics."""

NOT_ON_CARDS = ("format", "content_sha256")
"""Entries of a file's metadata that say nothing to people."""


def lay_out(source: Path, folder: Path, repo: str, licence: str) -> str:
    """Fill a folder with what a repository of weights holds; the SHA-256 of the weights.

    Args:
        source: A file of weights; or the folder of a training, of which the last stage's file is taken.
        folder: Is made if it is not there, and must be empty.
        repo: `user/name`, for the card.
        licence: Of the weights, as the hub names it.

    Raises:
        WeightsError: It holds no weights of tinct, or its card is of other weights.
        OptionError: The name of the repository is none.
        OutputError: The folder is not empty, or cannot be written.
    """
    if len([part for part in repo.split("/") if part]) != 2 or repo.count("/") != 1:
        raise OptionError(f"{repo!r} names no repository of the hub; write USER/REPO.")
    weights = trained_weights(source)
    method, variant = read_owner(weights)
    check_variant(method, variant)
    sha256 = file_sha256(weights)
    trained = {key: text for key, text in read_metadata(weights).items() if key not in NOT_ON_CARDS}
    card = {
        "method": method, "variant": variant, "file": f"{method}_{variant}.safetensors", "sha256": sha256,
        **trained,
        **own_card(weights, sha256),
    }  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; name a new folder for what would be uploaded.")
        shutil.copyfile(weights, folder / card["file"])
        with atomic_write(folder / CARD) as part:
            part.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with atomic_write(folder / "README.md") as part:
            part.write_text(readme(card, repo, licence), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    return sha256


def trained_weights(source: Path) -> Path:
    """The file itself; of a training's folder the newest weights, which are the last stage's."""
    if not source.is_dir():
        return source
    files = sorted(source.glob("*.safetensors"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not files:
        raise WeightsError(f"{source} holds no weights (*.safetensors); give a training's --out, or a file.")
    return files[-1]


def own_card(weights: Path, sha256: str) -> dict[str, Any]:
    """The card beside a file of weights, if there is one.

    Raises:
        WeightsError: It is of other weights, or no card.
    """
    path = weights.with_suffix(".json")
    if not path.is_file():
        return {}
    with reading(path, "a model card", "Remove it, or restore it.", WeightsError):
        card: dict[str, Any] = dict(parse_json(read_regular(path)))
    if card.get("sha256", sha256) != sha256:
        raise WeightsError(
            f"{path} is the card of other weights (SHA-256 {str(card['sha256'])[:12]}…, these have "
            f"{sha256[:12]}…); remove it, or restore the weights that it is of."
        )
    return card


def readme(card: Mapping[str, Any], repo: str, licence: str) -> str:
    """The README of a repository: metadata that the hub reads, then the card for people."""
    from huggingface_hub import EvalResult, ModelCardData

    scores: Mapping[str, Mapping[str, Any]] = card.get("scores") or {}
    data = ModelCardData(
        library_name="tinct",
        license=licence,
        pipeline_tag="image-segmentation",
        tags=["video-object-segmentation", "tinct", card["method"]],
        model_name=f"{card['method']} {card['variant']}",
        eval_results=[_result(EvalResult, name, score) for name, score in scores.items()] or None,
    )
    record = method_record(card["method"])
    lines = [
        "---", data.to_yaml(), "---", "", f"# {card['method']} {card['variant']}", "", f"{record.title}.",
        f"Weights for tinct {__version__}, which segments objects in "
        "videos from one painted mask.", "",
        "```bash",
        f"tinct segment clip.mp4 --mask first.png --method {card['method']} "
        f"--variant {card['variant']} --weights hf://{repo} --out run",
        "```", "",
        "```python", "import tinct", f'segmenter = tinct.build_segmenter("hf://{repo}")', "```", "",
    ]  # fmt: skip
    if scores:
        lines += ["| benchmark | figure | whose | command |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {score['value']:.3f} | {score['source']} | `{score['command']}` |"
            for name, score in scores.items()
        ]
        lines.append("")
    shown = ("recipe", "data", "hardware", "seconds", "notes", "stage", "steps", "sha256")
    lines += [f"- **{key}**: {card[key]}" for key in shown if card.get(key) not in (None, "")]
    return "\n".join(lines) + "\n"


def _result(make: Any, name: str, score: Mapping[str, Any]) -> Any:
    dataset, _, measure = name.partition(" ")
    found = re.search(r"\b(J&F|J|F)(?=,|$)", measure)
    return make(
        task_type="image-segmentation", task_name="video object segmentation",
        dataset_type=dataset.lower(), dataset_name=dataset,
        metric_type=METRIC_TYPES[found[1]] if found else "score", metric_name=measure or name,
        metric_value=score["value"],
    )  # fmt: skip
