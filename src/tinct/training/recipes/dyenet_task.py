"""What DyeNet learns from clips, as a task of the training loop; the losses lie beside the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.networks.dyenet.network import DyeNetNetwork
from tinct.networks.dyenet.oim import OnlineInstanceMatching
from tinct.networks.dyenet.training_network import DyeNetLearning, DyeNetLossOptions
from tinct.networks.rates import RateFactors, rate_groups
from tinct.training.stages import Stage, Task


class DyeNetTask(Task):
    """The loss of batches of `RegionClips`, of one frame or of many.

    The table of identities is the task's, not the network's: it is kept in checkpoints, handed from
    stage to stage, and no part of the weights. With many processes it is the same in all: each shows it
    what all of them saw.

    Args:
        network: What is trained.
        loss: Its parts.
        rates: Which layers learn slower.
        queue: Places of the queue of boxes without identity.
        memory: Of the table, in updates: two a step. See `OnlineInstanceMatching`.
    """

    network: DyeNetNetwork

    def __init__(
        self,
        network: DyeNetNetwork,
        loss: DyeNetLossOptions,
        rates: RateFactors,
        *,
        queue: int = 5000,
        memory: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss, self.rates, self.queue, self.table_memory = loss, rates, queue, memory
        self._remember(1)

    def _remember(self, identities: int) -> None:
        """An empty table for a number of identities."""
        self.matching = OnlineInstanceMatching(identities, queue=self.queue, memory=self.table_memory)
        self.learning = DyeNetLearning(self.network, self.matching, self.loss, gathered)

    def prepare(self, stages: Sequence[Stage]) -> None:
        """A table for all identities of all stages: the same numbers mean the same objects in each."""
        self._remember(max([1, *(stage.clips.identities for stage in stages)]))

    def memory(self) -> dict[str, Tensor]:
        """The table and the queue."""
        return dict(self.matching.state_dict())

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trained parameters, with their factors on the learning rate."""
        return rate_groups(self.network.named_parameters(), self.rates)

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """All parts weighted, and each part by itself."""
        parts = self.learning.parts(batch)
        total = self.loss.weighted(parts)
        return total, {"loss": total.detach(), **{name: value.detach() for name, value in parts.items()}}


def gathered(
    embeddings: Float[Tensor, "N C"], identities: Int64[Tensor, "N"]
) -> tuple[Float[Tensor, "M C"], Int64[Tensor, "M"]]:
    """What all processes saw, in the order of the processes; one process's own where there is but one."""
    if not torch.distributed.is_initialized():
        return embeddings, identities
    processes = torch.distributed.get_world_size()
    counts = [torch.zeros(1, dtype=torch.int64, device=identities.device) for _ in range(processes)]
    torch.distributed.all_gather(counts, torch.full_like(counts[0], len(identities)))
    # They have seen different numbers of boxes, and only tensors of one size can be gathered.
    most = max(int(count) for count in counts)
    padding = most - len(identities)
    padded = [F.pad(embeddings.float(), (0, 0, 0, padding)), F.pad(identities, (0, padding))]
    found = []
    for own in padded:
        parts = [torch.empty_like(own) for _ in range(processes)]
        torch.distributed.all_gather(parts, own.contiguous())
        found.append(torch.cat([part[: int(n)] for part, n in zip(parts, counts, strict=True)]))
    return found[0], found[1]
