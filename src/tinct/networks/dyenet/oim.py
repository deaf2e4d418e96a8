"""Online instance matching: DyeNet's re-identification loss.

Xiao, Li, Wang, Lin, Wang, "Joint Detection and Identification Feature Learning for Person Search",
CVPR 2017, section 3.3; used by DyeNet (Li and Loy, ECCV 2018) for its re-identification network.

A table holds one embedding per identity, a queue the latest embeddings of boxes without identity. The
loss of an embedding x of identity t is -log p_t, with

    p_i = exp(v_i · x / τ) / (Σ_j exp(v_j · x / τ) + Σ_k exp(u_k · x / τ))

over the table's v and the queue's u. After the step, v_t becomes γ v_t + (1 - γ) x, of length 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.errors import OptionError

UNLABELLED = -1
"""The identity of a box that has none: background, or an object that nobody named."""


class OnlineInstanceMatching(nn.Module):
    """The lookup table V, the circular queue U, their loss and their update.

    In DyeNet identities are the objects of the training videos, and boxes of the background are
    unlabelled (inferred: the text names the loss, not what is what).

    Args:
        identities: L, rows of the table.
        channels: Of the embeddings (DyeNet: 256).
        queue: Q, places of the queue (person search: 5000); 0 for none.
        temperature: τ.
        momentum: γ.
        memory: Beyond the paper: rows of the table that were written more than this number of updates ago
            count no longer. Identities that come back seldom, as those of photos, lie where the
            network's space was then: to flee from them all drives everything into one corner. None
            counts all rows for ever, those never written as vectors of length 0, as the authors' code.

    Attributes:
        table: [L, channels], of length 1, or 0 where an identity was not seen yet.
        queue: [Q, channels], likewise.
        queue_next: The place that is written next.
        written: [L], the number of the update that wrote each row last; 0 for none.
        updates: How many there were.
    """

    table: Tensor
    queue: Tensor
    queue_next: Tensor
    written: Tensor
    updates: Tensor

    def __init__(
        self,
        identities: int,
        channels: int = 256,
        queue: int = 5000,
        temperature: float = 0.1,
        momentum: float = 0.5,
        *,
        memory: int | None = None,
    ) -> None:
        super().__init__()
        if identities < 1:
            raise OptionError(
                f"A table of {identities} identities came; give the training set's number, above 0."
            )
        self.temperature, self.momentum, self.memory = temperature, momentum, memory
        self.register_buffer("table", torch.zeros(identities, channels))
        self.register_buffer("queue", torch.zeros(queue, channels))
        self.register_buffer("queue_next", torch.zeros((), dtype=torch.int64))
        self.register_buffer("written", torch.zeros(identities, dtype=torch.int64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Float[Tensor, "N C"], identities: Int64[Tensor, "N"]) -> Float[Tensor, ""]:
        """Mean of -log p over the labelled embeddings; 0, with a gradient of 0, where there are none.

        Args:
            embeddings: Of length 1.
            identities: Rows of the table, or `UNLABELLED`.
        """
        labelled = identities != UNLABELLED
        if not labelled.any():
            return embeddings.sum() * 0
        rows = torch.cat([self.table, self.queue])
        logits = embeddings[labelled].float() @ rows.T / self.temperature
        if self.memory is not None:
            fresh = (self.written > 0) & (self.updates - self.written < self.memory)
            counted = torch.cat([fresh, self.queue.any(1)])
            own = torch.arange(len(rows), device=rows.device) == identities[labelled, None]
            logits = logits.masked_fill(~(counted | own), -torch.inf)
        return F.cross_entropy(logits, identities[labelled])

    @torch.no_grad()
    def update(self, embeddings: Float[Tensor, "N C"], identities: Int64[Tensor, "N"]) -> None:
        """Move the table towards the embeddings, one after another; queue those without identity.

        Call it after the step's loss, with the embeddings of all processes. An identity that is seen for
        the first time takes the embedding itself.
        """
        embeddings = F.normalize(embeddings.detach().float(), dim=1)
        self.updates += 1
        self.written[identities[identities != UNLABELLED]] = self.updates
        for embedding, identity in zip(embeddings, identities.tolist(), strict=True):
            if identity != UNLABELLED:
                moved = self.momentum * self.table[identity] + (1 - self.momentum) * embedding
                self.table[identity] = F.normalize(moved, dim=0)
        self._enqueue(embeddings[identities == UNLABELLED])

    def _enqueue(self, embeddings: Float[Tensor, "N C"]) -> None:
        places = len(self.queue)
        if not places or not len(embeddings):
            return
        # Of more than fit, only the latest stay; the places go on as if all had been written.
        numbers = int(self.queue_next) + torch.arange(len(embeddings), device=self.queue.device)
        self.queue[numbers[-places:] % places] = embeddings[-places:]
        self.queue_next.fill_((int(self.queue_next) + len(embeddings)) % places)
