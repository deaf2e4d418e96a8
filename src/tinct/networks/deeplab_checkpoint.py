"""Weights of the DeepLabv3+ on Xception-65 that TensorFlow's authors released, under our names.

The file holds the checkpoint's variables as arrays, by TensorFlow's names: .npz or .safetensors.

| TensorFlow | here |
|---|---|
| `xception_65/entry_flow/conv1_1`, `conv1_2` | `backbone.stem_0`, `stem_1` |
| `xception_65/entry_flow/block1/unit_1/xception_module`, to `block3` | `backbone.blocks_0` to `_2` |
| `xception_65/middle_flow/block1/unit_1/...` to `unit_16` | `backbone.blocks_3` to `_18` |
| `xception_65/exit_flow/block1/unit_1/...`, `block2` | `backbone.blocks_19`, `_20` |
| of a block: `shortcut` | `shortcut` |
| `separable_conv1_depthwise`, `separable_conv1_pointwise`, to 3 | `stack.conv1.conv_dw`, `conv_pw`, to 3 |
| `aspp0` | `aspp.pointwise` |
| `aspp1_depthwise`, `aspp1_pointwise`, to 3 | `aspp.atrous.0.0`, `aspp.atrous.0.1`, to 2 |
| `image_pooling` | `aspp.image_pooling` |
| `concat_projection`: the pooled image comes first | `aspp.project`: it comes last |
| `decoder/feature_projection0` | `project_low_level` |
| `decoder/decoder_conv0_depthwise`, `..._pointwise`, to 1 | `decoder.0.0`, `decoder.0.1`, to 1 |
| `weights` [H, W, in, out] | `weight` [out, in, H, W] |
| `depthwise_weights` [H, W, channels, 1] | `weight` [channels, 1, H, W] |
| `BatchNorm/gamma`, `beta` | `weight`, `bias` |
| `BatchNorm/moving_mean`, `moving_variance` | `running_mean`, `running_var` |

The scores (`logits`), the step and the optimiser's variables are passed over. ASPP and decoder may be left
out, all of them: the authors' training script of FEELVOS starts from the backbone alone.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinct.errors import WeightsError
from tinct.networks.deeplab import DeepLabV3Plus
from tinct.networks.imagenet import read_checkpoint

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
"""Batch norm's tensors here and there."""

PASSED_OVER = re.compile(
    r"(global_step|logits/|xception_65/logits/)|.*/(Momentum|ExponentialMovingAverage|Adam)"
)
"""Variables that no layer of ours takes."""

NAMED = 3
"""How many offending names a message gives."""


def load_deeplab(network: DeepLabV3Plus, path: Path) -> str:
    """Put released weights into the network: its backbone, and ASPP and decoder if the file has them.

    Args:
        network: On Xception-65; untouched if anything is wrong with the file.
        path: Variables by TensorFlow's names, .npz or .safetensors.

    Returns:
        One line that says what was taken from where.

    Raises:
        WeightsError: The file cannot be read, or its variables are not those of this network.
    """
    if network.backbone_name != "xception65":
        raise WeightsError(
            f"The released DeepLabv3+ weights are of Xception-65, not of {network.backbone_name}; take "
            "--variant xception65."
        )
    found = _read(path)
    names = dict(_names(network.state_dict()))
    new = {own: theirs for own, theirs in names.items() if not own.startswith("backbone.")}
    alone = not set(new.values()) & found.keys()
    wanted = {own: theirs for own, theirs in names.items() if not (alone and own in new)}
    _check_names(found, set(wanted.values()), path)
    state = network.state_dict()
    tensors = {own: _converted(found[theirs], own) for own, theirs in wanted.items()}
    for own, tensor in tensors.items():
        if tensor.shape != state[own].shape:
            raise WeightsError(
                f"{path}: {wanted[own]} has shape {found[wanted[own]].shape}, which gives {own} the shape "
                f"{tuple(tensor.shape)}; {tuple(state[own].shape)} is needed. Take a checkpoint of "
                "DeepLabv3+ on Xception-65 whose ASPP and decoder are separable convolutions."
            )
    network.load_state_dict({**state, **tensors})
    what = "backbone" if alone else "backbone, ASPP and decoder"
    return f"DeepLabv3+ weights of {what}: {path}; {len(tensors)} tensors"


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".npz":
        return {name: tensor.float().numpy() for name, tensor in read_checkpoint(path).items()}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(
            f"{path} cannot be read as an .npz of arrays: {error}. Write it with numpy.savez."
        ) from error


def _names(own: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of our names and TensorFlow's; what counts batches has no counterpart."""
    for name in own:
        layer, _, tensor = name.rpartition(".")
        if tensor != "num_batches_tracked":
            yield name, _theirs(layer, tensor)


def _theirs(layer: str, tensor: str) -> str:
    """TensorFlow's name of a tensor of one of our layers, each a convolution or the batch norm behind one."""
    part, _, kind = layer.rpartition(".")
    if layer.startswith("backbone."):
        is_norm = kind.startswith("bn")
        scope = _backbone_scope(part, kind)
    else:
        is_norm = kind == "1"  # Of `ConvNormRelu`: convolution, norm, ReLU.
        scope = _head_scope(part)
    if is_norm:
        return f"{scope}/BatchNorm/{NORM[tensor]}"
    return f"{scope}/{'depthwise_weights' if scope.endswith('_depthwise') else 'weights'}"


def _backbone_scope(part: str, kind: str) -> str:
    """Of "backbone.blocks_3.stack.conv1" and "conv_dw", for instance."""
    where, *inside = part.split(".")[1:]
    kind_of_block, _, number = where.partition("_")
    index = int(number)
    if kind_of_block == "stem":
        return f"xception_65/entry_flow/conv1_{index + 1}"
    if index < 3:
        place = f"entry_flow/block{index + 1}/unit_1"
    elif index < 19:
        place = f"middle_flow/block1/unit_{index - 2}"
    else:
        place = f"exit_flow/block{index - 18}/unit_1"
    module = f"xception_65/{place}/xception_module"
    if inside == ["shortcut"]:
        return f"{module}/shortcut"
    half = "depthwise" if kind.endswith("_dw") else "pointwise"
    return f"{module}/separable_{inside[1]}_{half}"


def _head_scope(part: str) -> str:
    """Of "aspp.atrous.0.1" (the second half of a separable convolution), for instance."""
    direct = {
        "aspp.pointwise": "aspp0",
        "aspp.image_pooling": "image_pooling",
        "aspp.project": "concat_projection",
        "project_low_level": "decoder/feature_projection0",
    }
    if part in direct:
        return direct[part]
    place, number, half = part.rsplit(".", 2)
    kind = ("depthwise", "pointwise")[int(half)]
    if place == "decoder":
        return f"decoder/decoder_conv{number}_{kind}"
    return f"aspp{int(number) + 1}_{kind}"


def _check_names(found: Mapping[str, np.ndarray], wanted: set[str], path: Path) -> None:
    missing = sorted(wanted - found.keys())
    odd = sorted(name for name in found.keys() - wanted if not PASSED_OVER.match(name))
    if not missing and not odd:
        return
    said = [
        f"{len(names)} {kind} ({', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})"
        for kind, names in (("missing", missing), ("unknown", odd))
        if names
    ]
    hint = ""
    if any(name.startswith(("backbone.", "classifier.")) for name in odd):
        hint = " These look like torchvision's DeepLabv3, which has no Xception and no decoder."
    raise WeightsError(
        f"{path} does not hold the variables of TensorFlow's DeepLabv3+ on Xception-65: {' and '.join(said)}."
        f"{hint} Write all variables of the released checkpoint, by their names (docs/methods/feelvos.md)."
    )


def _converted(array: np.ndarray, own: str) -> Tensor:
    """A variable in the layout of ours."""
    tensor = torch.from_numpy(np.array(array, np.float32))
    if tensor.ndim != 4:
        return tensor
    # Depthwise: [H, W, C, 1] -> [C, 1, H, W]; others: [H, W, in, out] -> [out, in, H, W].
    depthwise = _theirs(*own.rsplit(".", 1)).endswith("/depthwise_weights")
    tensor = tensor.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)).contiguous()
    if own == "aspp.project.0.weight":
        # The pooled image comes first there, and last here.
        channels = tensor.shape[1] // 5
        tensor = torch.cat([tensor[:, channels:], tensor[:, :channels]], 1)
    return tensor
