"""The critic that is an autoencoder."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.networks import MLP, MLPGenerator


class Autoencoder(nn.Sequential):
    """(batch, channels, size, size) through a small code, or it would reconstruct whatever it is shown, and back."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        code = max(4, width // 32)
        encoder = MLP((channels * size**2, width, code))
        super().__init__(nn.Flatten(), encoder, MLPGenerator(code, channels, size, width))

    def code(self, x: Tensor) -> Tensor:
        """The code alone, (batch, code)."""
        return self[1](self[0](x))
