"""Cross-attention to memories of few channels, cheaper on a processor by the order of its products.

Memories have 64 channels, and are projected to 256 before they are averaged: softmax(QKᵀ)(MW + b). Rows of a
softmax add up to 1, so that is (softmax(QKᵀ)M)W + b: the average is taken of 64 channels, and projected then.
Of the attention's two large products the second takes a quarter of the work. On a GPU fused kernels, which
want keys and values of one size, are faster; there the library's own attention stays.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

QUERIES_AT_ONCE = 128
"""Rows of the matrix of weights that are made at a time: few, so that they stay in the cache."""


def make_lean(attention: nn.Module) -> None:
    """Let a cross-attention of `transformers` average its memories before it projects them.

    Its weights stay as they are; one with several heads is left alone.
    """
    inner: Any = attention
    if inner.num_attention_heads == 1:
        inner.forward = partial(_attend, attention)


def weighted_means(
    queries: Float[Tensor, "B Q D"], keys: Float[Tensor, "B L D"], values: Float[Tensor, "B L M"]
) -> Float[Tensor, "B Q M"]:
    """softmax(queries · keysᵀ) · values, a few queries at a time."""
    means = [
        [torch.softmax(some @ key.T, -1) @ value for some in query.split(QUERIES_AT_ONCE)]
        for query, key, value in zip(queries, keys, values, strict=True)
    ]
    return torch.stack([torch.cat(parts) for parts in means])


def _attend(
    attention: Any,
    query: Float[Tensor, "B 1 Q C"],
    key: Float[Tensor, "B 1 L M"],
    value: Float[Tensor, "B 1 L M"],
    position_embeddings: tuple[Tensor, Tensor],
    num_k_exclude_rope: int = 0,
    **_: Any,
) -> tuple[Float[Tensor, "B 1 Q C"], None]:
    """`Sam2VideoRoPEAttention.forward`, its products in another order."""
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb_2d
    queries, keys = rotate(
        attention.q_proj(query),
        attention.k_proj(key),
        *position_embeddings,
        repeat_freqs_k=attention.rope_k_repeat,
        num_k_exclude_rope=num_k_exclude_rope,
    )
    means = weighted_means(queries[:, 0] * attention.scaling, keys[:, 0], value[:, 0])
    return attention.o_proj(attention.v_proj(means))[:, None], None
