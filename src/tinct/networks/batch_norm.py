"""Batch norm that stays as it was trained."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_batch_norm(module: _Module) -> _Module:
    """Keep every batch norm's running statistics and affine parameters fixed, in training mode too.

    A batch of few videos has statistics too noisy to normalise by, so FEELVOS's released training
    script freezes batch norm. A later `module.train()` changes nothing about a frozen layer.

    Args:
        module: Changed in place, with all its children.

    Returns:
        The same module, for chaining.
    """
    for layer in module.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.requires_grad_(False)
            layer.eval()
            if _evaluate not in layer._forward_pre_hooks.values():
                layer.register_forward_pre_hook(_evaluate)
    return module


def _evaluate(layer: nn.Module, _inputs: Any) -> None:
    # A hook rather than another `train`, so that frozen networks can be copied and pickled.
    layer.training = False
