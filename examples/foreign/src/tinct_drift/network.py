"""The foreign network: what a lab has already. It keeps its memory itself, as most do, and knows no tinct."""

import torch
from torch import nn


class DriftProcessor:
    """Follows the objects of one video; objects are channels, in the order in which they came."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.memory: torch.Tensor | None = None

    def step(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Probabilities [N + 1, H, W], the background first, of an image [3, H, W] in [0, 1].

        Where a mask of the same kind is given, it is taken and remembered.
        """
        if mask is not None:
            self.memory = mask
        assert self.memory is not None, "the first frame needs a mask"
        self.memory = self.network(image, self.memory)
        return self.memory


class DriftNetwork(nn.Module):
    """Blurs the last mask, and sharpens it along the image's edges."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 1, 1)

    def forward(self, image: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The next probabilities, of the size of the last ones."""
        gate = torch.sigmoid(self.gate(torch.relu(self.edges(image[None]))))[0]
        blurred = nn.functional.avg_pool2d(memory[None], 3, 1, 1)[0]
        return torch.softmax(8 * (gate * memory + (1 - gate) * blurred), 0)
