from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View


class Gaussians(Problem):
    """A Gaussian learns a Gaussian: data N(0, 1), G(z) = m + sz, D(x) = ax² + wx + b, from m = ±1, s = 1.

    min over (m, s), max over (a, w, b) of E log σ(D(x)) + E log σ(-D(G(z))). The critic can be the log ratio of any two
    Gaussians, so its best value is -log 4 + 2 JSD: against N(μ, 1) at w = -μ, b = μ²/2. The divergences are those of
    the densities, not of samples; `kl` is KL(data ‖ G).

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, theorem 1.
    """

    name = "gaussians"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, 32, evaluations=2),
        "cpu": Preset(2000, 256, evaluations=40),
        "gpu": Preset(2000, 256, evaluations=40),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    metrics = (
        Metric("jsd", unit="nats", range=(0, math.log(2)), headline=True),
        Metric("kl", unit="nats", range=(0, math.inf)),
        Metric("mean", None),
        Metric("std", None, range=(0, math.inf)),
    )

    def players(self, seed: int) -> tuple[Any, ...]:
        side = seeded(seed, lambda: 2.0 * torch.randint(2, ()) - 1)
        return torch.stack([side, torch.ones(())]).to(self.device), torch.zeros(3, device=self.device)

    def game(self) -> mm.Game:
        return mm.zero_sum(payoff)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        return {name: torch.randn(size, generator=stream, device=self.device) for name in ("real", "noise")}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        mean, std = (float(value) for value in view.players[0])
        return scores(mean, abs(std))

    def floors(self) -> Iterable[Floor]:
        for what, mean in (("real", 0.0), ("one off", 1.0), ("two off", 2.0)):
            for name in ("jsd", "kl"):
                yield Floor(name, what, scores(mean, 1.0)[name])

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """G(z) = z."""
        return torch.tensor([0.0, 1.0], device=self.device), self.players(seed)[1]


def payoff(g: Tensor, d: Tensor, batch: Batch) -> Tensor:
    """E log σ(D(x)) + E log σ(-D(G(z)))."""
    mean, std = g
    return -softplus(-critic(d, batch["real"])).mean() - softplus(critic(d, mean + std * batch["noise"])).mean()


def critic(d: Tensor, x: Tensor) -> Tensor:
    """ax² + wx + b."""
    a, w, b = d
    return a * x**2 + w * x + b


def scores(mean: float, std: float) -> dict[str, float]:
    """The divergences of N(mean, std²) from N(0, 1), in nats, with mean and std.

    >>> {name: round(value, 6) for name, value in scores(1.0, 1.0).items()}
    {'jsd': 0.111421, 'kl': 0.5, 'mean': 1.0, 'std': 1.0}
    """
    return {"jsd": jensen_shannon(mean, std), "kl": kullback_leibler(mean, std), "mean": mean, "std": std}


def kullback_leibler(mean: float, std: float) -> float:
    """KL(N(0, 1) ‖ N(mean, std²)) = log std + (1 + mean²)/(2 std²) - ½, infinite at std = 0."""
    if std == 0:
        return math.inf
    return math.log(std) + (1 + mean**2) / (2 * std**2) - 0.5


def jensen_shannon(mean: float, std: float) -> float:
    """JSD of N(0, 1) and N(mean, std²), in nats, each expectation by the rectangle rule on its own scale."""
    if not (math.isfinite(mean) and math.isfinite(std)):
        return math.nan
    if std == 0:
        return math.log(2)
    t = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    weights = (-(t**2) / 2).softmax(0)

    def ratio(x: Tensor) -> Tensor:
        """log p(x)/q(x)."""
        return ((x - mean) / std) ** 2 / 2 - x**2 / 2 + math.log(std)

    lost = softplus(-ratio(t)) + softplus(ratio(mean + std * t))
    return max(0.0, math.log(2) - float(weights @ lost) / 2)
