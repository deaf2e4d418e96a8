"""ImageNet weights to start training from: timm's from the model hub, or a file.

Files of other authors name their layers otherwise than timm does, but in the same order. So tensors
are matched by name where the names are timm's, else by position; every pair must agree in role
(weight, bias, running_mean, ...) and in shape, or nothing is loaded.
"""

from __future__ import annotations

import io
import pickle
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinct.errors import OptionError, WeightsError
from tinct.io.regular_files import check_regular, read_regular

SOURCES = ("auto", "hub", "none")
"""What `source` may be, beside a path: the first two are the model hub, the last is chance."""

HUB_PROBE_TIMEOUT_S = 3.0
CLASSIFIER_PREFIXES = ("classifier.", "head.", "fc.", "pre_logits.")


def load_imagenet(model: nn.Module, name: str, source: str = "auto") -> str:
    """Put ImageNet weights into a timm model, all of them or none.

    Args:
        model: Made by `timm.create_model(name, pretrained=False, ...)`, whole or `features_only`.
        name: timm's name of the architecture, with or without a tag (`xception65.tf_in1k`).
        source: `auto` or `hub` for timm's weights from the model hub; the path of a checkpoint
            (.safetensors, .pth, .pt); or `none`, which leaves the model as chance made it.

    Returns:
        One line that says where the weights came from, for the log and the model card.

    Raises:
        WeightsError: The hub cannot be reached or lacks them, or what came does not fit the model.
        OptionError: `source` is neither a known word nor a path that exists.
    """
    if source == "none":
        return f"No ImageNet weights of {name}: it starts from chance"
    if source in SOURCES:
        tensors, origin = _from_hub(name)
    elif (path := Path(source).expanduser()).is_file():
        tensors, origin = read_checkpoint(path), str(path)
    else:
        raise OptionError(
            f"There is no ImageNet source {source!r}: it is none of {', '.join(SOURCES)}, nor a file of "
            "weights that exists."
        )
    own = model.state_dict()
    chosen = matched(own, tensors, origin)
    model.load_state_dict({**own, **chosen})
    return f"ImageNet weights of {name}: {origin}; {len(chosen)} tensors"


def _from_hub(name: str) -> tuple[dict[str, Tensor], str]:
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    repository = _hub_repository(name)
    cached = try_to_load_from_cache(repository, "model.safetensors")
    options: dict[str, Any] = {}
    if isinstance(cached, str):
        options["pretrained_cfg_overlay"] = {"file": cached}
    elif not _hub_answers():
        # Asked first, because the hub's own client retries for most of a minute when offline.
        raise _not_from_hub(name, f"{constants.ENDPOINT} cannot be reached")
    try:
        whole = timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub's client raises whatever its transport raises
        raise _not_from_hub(name, str(error)) from error
    return dict(whole.state_dict()), f"model hub, {repository}"


def _not_from_hub(name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"The model hub did not give the ImageNet weights of {name} ({reason}); go online, or give a file of "
        "them: --imagenet FILE."
    )


def _hub_repository(name: str) -> str:
    import timm

    try:
        configuration = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise WeightsError(f"timm knows no model {name!r}: {error}") from error
    repository = configuration.hf_hub_id if configuration else None
    if not repository:
        raise WeightsError(f"timm has no pretrained weights for {name}.")
    return str(repository)


def _hub_answers() -> bool:
    from huggingface_hub import constants

    # urllib follows the proxy settings of the environment, as the hub's client does.
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_PROBE_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Named tensors of a file: safetensors, or a torch checkpoint none of whose code is run.

    Raises:
        WeightsError: It is neither.
    """
    if path.suffix == ".safetensors":
        try:
            check_regular(path)
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    try:
        data = read_regular(path)
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}. Check the path.") from error
    return read_tensor_pickle(data)


def read_tensor_pickle(data: bytes) -> dict[str, Tensor]:
    """Named tensors from a torch checkpoint, running none of its code; WeightsError if it holds more."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"a checkpoint cannot be read as plain tensors: {error}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError("a checkpoint holds something other than named tensors; give a state dict.")
    return dict(state)


def matched(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """A checkpoint's tensors under the names of a model.

    Args:
        own: The model's state.
        tensors: The checkpoint's, by its own names, in its own order.
        origin: Where they came from, for people.

    Raises:
        WeightsError: They are of another network.
    """
    chosen: dict[str, Tensor] = {}
    for name, source_name in _pairs(list(own), list(tensors), origin):
        tensor = tensors[source_name]
        if own[name].shape != tensor.shape:
            raise WeightsError(
                f"{origin}: {source_name} has shape {tuple(tensor.shape)}, but the model's {name} has "
                f"{tuple(own[name].shape)}; build the model with timm's own sizes for this name."
            )
        chosen[name] = tensor
    return chosen


def _pairs(target: list[str], source: list[str], origin: str) -> list[tuple[str, str]]:
    """Which tensor goes where: by name if the names are timm's, else by order."""
    wanted = [name for name in target if not name.startswith(CLASSIFIER_PREFIXES)]
    if set(wanted) <= set(source):
        return [(name, name) for name in target if name in set(source)]
    if len(source) < len(wanted):
        raise WeightsError(f"{origin} has {len(source)} tensors, the model needs {len(wanted)}.")
    pairs = list(zip(target, source, strict=False))
    for name, source_name in pairs:
        if name.rpartition(".")[2] != source_name.rpartition(".")[2]:
            raise WeightsError(
                f"{origin}: {source_name} stands where the model has {name}; "
                "the checkpoint is of another network."
            )
    return pairs
