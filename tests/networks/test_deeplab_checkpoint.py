"""Released DeepLabv3+ weights, on made-up checkpoints: every parameter, its place and its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from tinct.errors import WeightsError
from tinct.networks.deeplab import DeepLabV3Plus
from tinct.networks.deeplab_checkpoint import load_deeplab

Shapes = dict[str, tuple[int, ...]]

NORM = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


def layer(name: str, *shape: int) -> Shapes:
    """A convolution's variable and those of its batch norm, as TensorFlow's slim names and shapes them."""
    kind = "depthwise_weights" if name.endswith("_depthwise") else "weights"
    channels = shape[2] if name.endswith("_depthwise") else shape[3]
    return {f"{name}/{kind}": shape, **{f"{name}/BatchNorm/{part}": (channels,) for part in NORM}}


def separable(name: str, inputs: int, outputs: int) -> Shapes:
    return {
        **layer(f"{name}_depthwise", 3, 3, inputs, 1),
        **layer(f"{name}_pointwise", 1, 1, inputs, outputs),
    }


def block(place: str, inputs: int, widths: tuple[int, int, int], shortcut: bool) -> Shapes:
    module = f"xception_65/{place}/xception_module"
    found = layer(f"{module}/shortcut", 1, 1, inputs, widths[-1]) if shortcut else {}
    for number, width in enumerate(widths, 1):
        found |= separable(f"{module}/separable_conv{number}", inputs, width)
        inputs = width
    return found


def backbone_shapes() -> Shapes:
    """Written from the paper's table and the released code's scopes, apart from what is tested."""
    found = layer("xception_65/entry_flow/conv1_1", 3, 3, 3, 32)
    found |= layer("xception_65/entry_flow/conv1_2", 3, 3, 32, 64)
    for number, (inputs, width) in enumerate([(64, 128), (128, 256), (256, 728)], 1):
        found |= block(f"entry_flow/block{number}/unit_1", inputs, (width,) * 3, shortcut=True)
    for unit in range(1, 17):
        found |= block(f"middle_flow/block1/unit_{unit}", 728, (728,) * 3, shortcut=False)
    found |= block("exit_flow/block1/unit_1", 728, (728, 1024, 1024), shortcut=True)
    return found | block("exit_flow/block2/unit_1", 1024, (1536, 1536, 2048), shortcut=False)


def head_shapes() -> Shapes:
    found = layer("aspp0", 1, 1, 2048, 256) | layer("image_pooling", 1, 1, 2048, 256)
    for number in (1, 2, 3):
        found |= separable(f"aspp{number}", 2048, 256)
    found |= layer("concat_projection", 1, 1, 1280, 256)
    found |= layer("decoder/feature_projection0", 1, 1, 256, 48)
    return found | separable("decoder/decoder_conv0", 304, 256) | separable("decoder/decoder_conv1", 256, 256)


OTHERS = {"logits/semantic/weights": (1, 1, 256, 21), "logits/semantic/biases": (21,), "global_step": ()}


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {**backbone_shapes(), **head_shapes(), **OTHERS}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def file(variables: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deeplab") / "deeplab.npz"
    np.savez(path, **variables)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> DeepLabV3Plus:
    """Loaded; NaN was in every place before."""
    made = DeepLabV3Plus()
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(torch.nan)
    said = load_deeplab(made, file)
    assert "backbone, ASPP and decoder" in said
    assert "730 tensors" in said
    return made


def test_every_parameter_is_filled_and_every_variable_used_once(
    network: DeepLabV3Plus, variables: dict[str, np.ndarray]
) -> None:
    filled = [t for t in network.state_dict().values() if t.is_floating_point()]
    assert all(torch.isfinite(tensor).all() for tensor in filled)
    assert len(filled) == len(variables) - len(OTHERS)
    sums = sorted(float(tensor.double().sum()) for tensor in filled)
    expected = sorted(
        float(v.astype(np.float64).sum()) for name, v in variables.items() if name not in OTHERS
    )
    np.testing.assert_allclose(sums, expected, atol=1e-6)


def tf_conv(frames: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
    """A plain loop's convolution, [H, W, in, out], at the middle pixel."""
    size = weights.shape[0]
    patch = frames[0, :, :size, :size].permute(1, 2, 0).numpy()
    return torch.from_numpy(np.einsum("hwi,hwio->o", patch, weights))


def test_dense_and_depthwise_filters_are_turned_to_our_layout(
    network: DeepLabV3Plus, variables: dict[str, np.ndarray]
) -> None:
    frames = torch.randn(1, 3, 3, 3)
    stem = network.backbone["stem_0"].conv
    torch.testing.assert_close(
        F.conv2d(frames, stem.weight)[0, :, 0, 0].detach(),
        tf_conv(frames, variables["xception_65/entry_flow/conv1_1/weights"]),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    name = (
        "xception_65/middle_flow/block1/unit_16/xception_module/separable_conv2_depthwise/depthwise_weights"
    )
    conv = network.backbone["blocks_18"].stack.conv2.conv_dw
    for channel in (0, 700):
        np.testing.assert_array_equal(
            conv.weight[channel, 0].detach().numpy(), variables[name][:, :, channel, 0]
        )
    np.testing.assert_array_equal(
        network.backbone["blocks_20"].stack.conv3.bn_pw.running_var.numpy(),
        variables[
            "xception_65/exit_flow/block2/unit_1/xception_module/separable_conv3_pointwise/BatchNorm/moving_variance"
        ],
    )


def test_the_pooled_image_comes_first_in_their_projection_and_last_in_ours(
    network: DeepLabV3Plus, variables: dict[str, np.ndarray]
) -> None:
    theirs, ours = variables["concat_projection/weights"], network.aspp.project[0].weight.detach().numpy()
    np.testing.assert_array_equal(ours[:, 1024:, 0, 0], theirs[0, 0, :256].T)
    np.testing.assert_array_equal(ours[:, :1024, 0, 0], theirs[0, 0, 256:].T)


def test_a_backbone_alone_will_do_and_the_rest_stays_as_it_was(
    variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "backbone.safetensors"
    save_file({name: v for name, v in variables.items() if name.startswith("xception_65/")}, path)
    made = DeepLabV3Plus()
    before = made.aspp.project[0].weight.detach().clone()
    assert "weights of backbone:" in load_deeplab(made, path)
    assert torch.equal(made.aspp.project[0].weight, before)
    weights = variables["xception_65/entry_flow/conv1_2/weights"]
    np.testing.assert_array_equal(
        made.backbone["stem_1"].conv.weight.detach().numpy(), weights.transpose(3, 2, 0, 1)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aspp0/weights": None}, r"1 missing \(aspp0/weights\)"),
        ({"xception_65/entry_flow/conv1_1/weights": None}, "1 missing"),
        ({"my_layer/weights": (1, 1)}, r"1 unknown \(my_layer/weights\)"),
        ({"backbone.layer1.0.conv1.weight": (1, 1)}, "torchvision's DeepLabv3"),
        ({"decoder/decoder_conv0_pointwise/weights": (1, 1, 256, 304)}, r"\(256, 304, 1, 1\) is needed"),
    ],
)
def test_missing_odd_and_misshapen_variables_are_refused(
    change: dict[str, tuple[int, ...] | None], message: str, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    changed = dict(variables)
    for name, shape in change.items():
        if shape is None:
            del changed[name]
        else:
            changed[name] = np.zeros(shape, np.float32)
    path = tmp_path / "odd.safetensors"
    save_file(changed, path)
    made = DeepLabV3Plus()
    before = made.decoder[0][0][0].weight.detach().clone()
    with pytest.raises(WeightsError, match=message):
        load_deeplab(made, path)
    assert torch.equal(made.decoder[0][0][0].weight, before)


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.npz"
    path.write_text("no archive")
    with pytest.raises(WeightsError, match=r"numpy\.savez"):
        load_deeplab(DeepLabV3Plus(), path)
    with pytest.raises(WeightsError, match="not of mobilenetv2_035"):
        load_deeplab(DeepLabV3Plus("mobilenetv2_035", channels=8), path)
