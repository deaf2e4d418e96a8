"""What DyeNet reads off a box: the mask of its main instance, and who that is (section 2.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.small_stage import SmallStage, start_for_relu
from tinct.networks.staged_backbones import LastStage

EMBEDDING_CHANNELS = 256
"""Of the space in which identities are compared (2.1)."""


class MaskOutput(nn.Module):
    """Cells to the logits of a mask: three convolutional layers (N_O, 2.2).

    With a feature pyramid the last two look at cells of half the size, beside features of stride 4, so
    that masks come out twice as fine (inferred: the text says what the pyramid is for, not where it
    joins).

    Args:
        inputs: Channels of the cells.
        width: Of the first two layers.
        fine: Channels of the stride-4 features; 0 for none.
    """

    def __init__(self, inputs: int, width: int, fine: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width + fine, width, 3, padding=1)
        start_for_relu(self)
        self.score = _score(width)

    def forward(
        self, cells: Float[Tensor, "N C m m"], fine: Float[Tensor, "N F M M"] | None
    ) -> Float[Tensor, "N M M"]:
        """Logits; of the fine features' grid where there are any, else of the cells'."""
        seen = F.relu(self.first(cells))
        if fine is not None:
            grid = (fine.shape[-2], fine.shape[-1])
            seen = torch.cat([F.interpolate(seen, grid, mode="bilinear", align_corners=False), fine], 1)
        logits: Tensor = self.score(F.relu(self.second(seen)))
        return logits[:, 0]


class MaskNetwork(nn.Module):
    """The mask of the main instance of a box (2.1): the last stage with its strides at 1, then an output.

    Args:
        stage: A copy of the backbone's last stage.
        width: Of the output's layers; 0 for a single one, as without a pyramid.
        fine: Channels of the stride-4 features; 0 for none.
    """

    def __init__(self, stage: SmallStage | LastStage, width: int, fine: int) -> None:
        super().__init__()
        self.stage = stage
        self.output: MaskOutput | None = MaskOutput(stage.channels, width, fine) if width else None
        self.score: nn.Conv2d | None = None if width else _score(stage.channels)

    def forward(
        self, cells: Float[Tensor, "N C m m"], fine: Float[Tensor, "N F M M"] | None
    ) -> Float[Tensor, "N M M"]:
        """Logits."""
        seen = self.stage(cells)
        if self.score is not None:
            logits: Tensor = self.score(seen)
            return logits[:, 0]
        assert self.output is not None
        finer: Tensor = self.output(seen, fine)
        return finer


class ReidNetwork(nn.Module):
    """Who is in a box (2.1): the last stage with its own strides, a global average, a linear layer.

    It sees all of the box, templates' too, and not only what the mask covers (the literal reading).

    Args:
        stage: A copy of the backbone's last stage.
    """

    def __init__(self, stage: SmallStage | LastStage) -> None:
        super().__init__()
        self.stage = stage
        self.project = nn.Linear(stage.channels, EMBEDDING_CHANNELS)

    def forward(
        self, cells: Float[Tensor, "N C m m"], identity: Float[Tensor, "N I k k"] | None = None
    ) -> Float[Tensor, "N 256"]:
        """Embeddings of length 1; there is no `identity` in the paper."""
        return F.normalize(self.project(self.stage(cells).mean((2, 3))), dim=1)


class WeighingReidNetwork(nn.Module):
    """The compact one: cells are weighed before they are averaged, and ImageNet's maps are averaged too.

    Beyond the paper. Weights are a softmax over the box's cells, at first all alike; the stage's part
    starts at 0 and the projection of ImageNet's maps keeps angles, so that before any training
    embeddings compare as ImageNet features do.

    Args:
        stage: The last stage, strided.
        identity: Channels of ImageNet's maps.
    """

    def __init__(self, stage: SmallStage | LastStage, identity: int) -> None:
        super().__init__()
        self.stage = stage
        self.weigh = nn.Conv2d(stage.channels, 1, 1)
        self.project = nn.Linear(identity, EMBEDDING_CHANNELS)
        self.branch = nn.Linear(stage.channels, EMBEDDING_CHANNELS, bias=False)
        nn.init.orthogonal_(self.project.weight)
        for parameter in (self.project.bias, self.weigh.weight, self.weigh.bias, self.branch.weight):
            nn.init.zeros_(parameter)  # type: ignore[arg-type]

    def forward(
        self, cells: Float[Tensor, "N C m m"], identity: Float[Tensor, "N I k k"] | None
    ) -> Float[Tensor, "N 256"]:
        """Embeddings of length 1; `identity` has the grid of the stage's result."""
        assert identity is not None
        seen = self.stage(cells)
        weights = self.weigh(seen).flatten(2).softmax(2)
        of_identity = (identity.flatten(2) * weights).sum(2)
        of_stage = (seen.flatten(2) * weights).sum(2)
        return F.normalize(self.project(of_identity) + self.branch(of_stage), dim=1)


def _score(channels: int) -> nn.Conv2d:
    score = nn.Conv2d(channels, 1, 1)
    nn.init.normal_(score.weight, std=0.01)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]
    return score
