"""What the GANs on a known mixture share: small networks, draws from the mixture, mode counts, points as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.data import Mixture
from benchmarks.networks import MLP, Copier, seeded, squeeze
from benchmarks.pictures import MODES
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems._losses import logistic_critic
from benchmarks.quality import modes
from benchmarks.suites import OPTIMIZERS
from minimax.penalties import r1

EVALUATION = -1  # the draw that evaluations take, which no batch does
PERFECT = -2
GAMMA = 0.1
POINTS = 2000  # of a picture


class Critic(nn.Module):
    """An MLP with one output, (batch, dimension) to (batch,)."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.net = MLP((dimension, width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.net(x))


class MixtureGAN(Problem):
    """A generator of points against a critic. A problem is its mixture and its game."""

    mixture: ClassVar[Mixture]
    targets: ClassVar[Mapping[str, float]] = {}
    """What a good run reaches, by the metric's name."""
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, batch=32, evaluations=1, samples=256, options={"width": 16, "latent": 2}),
        "cpu": Preset(6000, batch=256, evaluations=12, samples=10_000, options={"width": 128, "latent": 2}),
        "gpu": Preset(25_000, batch=512, evaluations=25, samples=10_000, options={"width": 128, "latent": 2}),
    }
    optimizers: ClassVar[tuple[str, ...]] = (*OPTIMIZERS, "consensus")
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3, betas=(0.5, 0.999)), decay=True)

    def players(self, seed: int) -> tuple[Any, ...]:
        latent, width = self.preset.options["latent"], self.preset.options["width"]
        dimension = self.mixture.means().shape[1]
        built = seeded(seed, lambda: (MLP((latent, width, width, dimension)), Critic(dimension, width)))
        return tuple(module.to(self.device) for module in built)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """What the generator starts from, (size, latent)."""
        return torch.randn(size, self.preset.options["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        return {"real": self.mixture.sample(stream, size), "noise": self.noise(stream, size)}

    @property
    def metrics(self) -> Sequence[Metric]:
        return modes.declared(self.mixture, **self.targets)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return modes.report(self.generate(view, self.preset.samples), self.mixture)

    def floors(self) -> Iterable[Floor]:
        drawn = self.mixture.sample(self.generator(0, EVALUATION), self.preset.samples)
        return [Floor(name, "real", value) for name, value in modes.report(drawn, self.mixture).items()]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"samples": self.generate(view, POINTS).cpu().numpy()}

    def truths(self) -> Pictures:
        drawn = self.mixture.sample(self.generator(0, EVALUATION), POINTS)
        return {"samples": drawn.cpu().numpy(), MODES: self.mixture.means().numpy()}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out draws from the mixture."""
        real = self.mixture.sample(self.generator(seed, PERFECT), self.preset.samples)
        return Copier(real), self.players(seed)[1]

    def generate(self, view: View, size: int) -> Tensor:
        """Samples of the generator, (size, dimension)."""
        samples: Tensor = view.players[0](self.noise(self.generator(view.seed, EVALUATION), size))
        return samples


def penalised_critic(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(G(z))) + γ/2 E|∇D(x)|² with γ = .1."""
    return logistic_critic(g, d, batch) + GAMMA / 2 * r1(d, batch["real"])
