"""Batch norm that stays as it was trained."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_batch_norm(module: _Module, *, affine: bool = True) -> _Module:
    """Keep every batch norm's running statistics fixed, in training mode too.

    A batch of few videos has statistics too noisy to normalise by. A later `module.train()` changes
    nothing about a frozen layer.

    Args:
        module: Changed in place, with all its children.
        affine: Also keep scale and shift fixed. TensorFlow's layers go on learning them where their
            statistics are frozen, as in FEELVOS's released training script.

    Returns:
        The same module, for chaining.
    """
    for layer in module.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.requires_grad_(not affine)
            layer.eval()
            if _evaluate not in layer._forward_pre_hooks.values():
                layer.register_forward_pre_hook(_evaluate)
    return module


def _evaluate(layer: nn.Module, _inputs: Any) -> None:
    # A hook rather than another `train`, so that frozen networks can be copied and pickled.
    layer.training = False
