"""What DyeNet learns from clips, as a task of the training loop; the losses lie beside the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.dyenet.network import DyeNetNetwork
from tinct.networks.dyenet.oim import OnlineInstanceMatching
from tinct.networks.dyenet.training_network import DyeNetLearning, DyeNetLossOptions
from tinct.networks.rates import RateFactors, rate_groups
from tinct.training.stages import Stage, Task


class DyeNetTask(Task):
    """The loss of batches of `RegionClips`, of one frame or of many.

    The table of identities is the task's, not the network's: it is kept in checkpoints, handed from
    stage to stage, and no part of the weights. With many processes each step keeps what the first one
    saw (accelerate spreads its buffers).

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
        """An empty table for so many."""
        self.matching = OnlineInstanceMatching(identities, queue=self.queue, memory=self.table_memory)
        self.learning = DyeNetLearning(self.network, self.matching, self.loss)

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
