"""Networks of `transformers` from a folder of its format: checked before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from tinct.errors import MissingExtraError, MissingWeightsError, WeightsError
from tinct.io.json_files import parse_json, reading
from tinct.io.optional import import_optional
from tinct.io.regular_files import read_regular
from tinct.networks.sam2.network import Family

NAMED_TENSORS = 3
"""How many missing tensors a message names."""


def load_network(folder: Path, family: Family) -> nn.Module:
    """A network with its weights, in evaluation mode, in float32 on the processor.

    Args:
        folder: Holds `config.json` and safetensors, as `save_pretrained` and the hub lay them out.
        family: What it should be of.

    Raises:
        OptionError: `transformers` is missing, or too old for the family.
        WeightsError: There is no such folder, it holds no safetensors, another model, or only parts of one.
    """
    check_folder(folder, family)
    model_class = _model_class(family)
    try:
        network, found = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{folder} cannot be loaded as {family.name}: {first} Download it again, or give another folder."
        ) from error
    missing = sorted(found["missing_keys"]) + [str(key[0]) for key in found.get("mismatched_keys", ())]
    if missing:
        rest = len(missing) - NAMED_TENSORS
        named = ", ".join(missing[:NAMED_TENSORS]) + (f" and {rest} more" if rest > 0 else "")
        raise WeightsError(
            f"{folder} does not hold all weights of {family.name}; missing, or of another shape: {named}. "
            "Download it again, or give another folder."
        )
    loaded: nn.Module = network.eval()
    return loaded


def check_folder(folder: Path, family: Family) -> None:
    """WeightsError if a folder does not look like one of the family's networks."""
    if not folder.is_dir():
        raise MissingWeightsError(
            f"{family.name} is loaded from a folder with config.json and model.safetensors; {folder} is "
            f"{'a file' if folder.is_file() else 'not there'}. Give a folder, or a repository of the hub "
            "such as --weights facebook/sam2.1-hiera-tiny."
        )
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder} holds no safetensors, and pickles (.pt, .bin) are refused, since they could run any "
            "code: take a repository that has model.safetensors."
        )
    path = folder / "config.json"
    if not path.is_file():
        raise WeightsError(
            f"{folder} holds no config.json, which says what its weights are; download it too."
        )
    with reading(path, "a config of transformers", "Download it again.", WeightsError):
        model_type = str(parse_json(read_regular(path)).get("model_type"))
    if model_type not in family.model_types:
        raise WeightsError(
            f"{folder} holds weights of the model type {model_type!r}, not of {family.name} "
            f"({' or '.join(family.model_types)}); choose the --method that they are for, or other weights."
        )


def _model_class(family: Family) -> Any:
    transformers = import_optional("transformers", "engines", family.name)
    model_class = getattr(transformers, family.model_class, None)
    if model_class is None:
        raise MissingExtraError(
            f"{family.name} needs a newer transformers than {transformers.__version__}, which lacks "
            f"{family.model_class}; `pip install -U 'tinct[engines]'` brings it."
        )
    return model_class
