"""Four methods, each twice: as minimax plays it, and as a loop in plain torch, the oracle of every system here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention, softplus
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

import minimax as mm
from minimax import penalties

STEPS, SIZE, RATE = 3, 8, 2**-4

Batch = dict[str, Tensor]
Modules = tuple[nn.Module, nn.Module]


def batch(k: int) -> Batch:
    draw = torch.Generator().manual_seed(100 + k)
    return {
        "real": torch.randn(SIZE, 2, generator=draw) + 2,
        "noise": torch.randn(SIZE, 3, generator=draw),
        "coefficient": torch.rand(SIZE, generator=draw),
    }


# ------------------------------------------------------------------------------------------------------- the critics


class Attention(nn.Module):
    """Four tokens that look at each other: by torch's choice of kernel, by its math kernel, or written out."""

    def __init__(self, kernel: str) -> None:
        super().__init__()
        self.inside, self.out, self.kernel = nn.Linear(2, 4 * 6), nn.Linear(2, 1), kernel

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.inside(x).reshape(len(x), 4, 6).chunk(3, -1)
        return self.out(self.mixed(q, k, v).mean(1))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.kernel == "written out":
            return (q @ k.mT / math.sqrt(2)).softmax(-1) @ v
        if self.kernel == "any":
            return scaled_dot_product_attention(q, k, v)
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(q, k, v)


class Checkpointed(nn.Module):
    """All but the last layer is computed again in the backward pass."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inside, self.out = nn.Sequential(*layers[:-1]), layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.out(checkpoint(self.inside, x, use_reentrant=False))


def layers(norm: Callable[[int], nn.Module] = lambda _: nn.Identity(), around: Any = lambda m: m) -> list[nn.Module]:
    return [around(nn.Linear(2, 8)), norm(8), nn.Softplus(), around(nn.Linear(8, 8)), nn.Tanh(), nn.Linear(8, 1)]


CRITICS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(*layers()),
    "batch norm": lambda: nn.Sequential(*layers(nn.BatchNorm1d)),
    "spectral norm": lambda: nn.Sequential(*layers(around=spectral_norm)),
    "checkpointed": lambda: Checkpointed(*layers()),
    "fused attention": lambda: Attention("any"),
    "math attention": lambda: Attention("math"),
    "attention": lambda: Attention("written out"),
}


def networks(critic: str, seed: int = 100) -> Modules:
    torch.manual_seed(seed)
    norm = nn.BatchNorm1d(8) if critic == "batch norm" else nn.Identity()
    return nn.Sequential(nn.Linear(3, 8), norm, nn.Tanh(), nn.Linear(8, 2)), CRITICS[critic]()


# ------------------------------------------------------------------------------------------------------- the losses


def logistic_g(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return softplus(-d(g(b["noise"]))).mean()


def logistic_d(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return softplus(-d(b["real"])).mean() + softplus(d(g(b["noise"]))).mean()


def wasserstein_g(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return -d(g(b["noise"])).mean()


def wasserstein_d(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return d(g(b["noise"])).mean() - d(b["real"]).mean()


def slope(d: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(d(x).sum(), x, create_graph=True)[0]


def r1_by_hand(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return logistic_d(g, d, b) + 0.5 * slope(d, b["real"]).square().sum(1).mean()


def wgan_gp_by_hand(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    loss, fake = wasserstein_d(g, d, b), g(b["noise"])
    mixed = b["coefficient"][:, None] * b["real"] + (1 - b["coefficient"][:, None]) * fake
    return loss + 10 * (slope(d, mixed).norm(dim=1) - 1).square().mean()


def with_r1(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return logistic_d(g, d, b) + 0.5 * penalties.r1(d, b["real"])


def with_wgan_gp(g: nn.Module, d: nn.Module, b: Batch) -> Tensor:
    return wasserstein_d(g, d, b) + 10 * penalties.wgan_gp(d, b["real"], g(b["noise"]), b["coefficient"])


# ------------------------------------------------------------------------------------------------- loops by hand


class Loop:
    """What one writes without a library. Parts count alike; `apart` says that each has buffers of its own."""

    def __init__(self, losses: Sequence[Callable[..., Tensor]], modules: Modules, cast: bool, apart: bool) -> None:
        self.losses, self.modules, self.cast, self.apart = losses, modules, cast, apart
        self.players = [list(module.parameters()) for module in modules]

    def loss(self, i: int, parts: Sequence[Batch]) -> Tensor:
        before, left, values = self.buffers(), [], []
        for part in parts:
            if self.apart:
                self.put(before)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.cast):
                values.append(self.losses[i](*self.modules, part))
            left.append(self.buffers())
        if self.apart:
            columns = zip(*left, strict=True)
            self.put([sum(found) / len(parts) if found[0].is_floating_point() else found[0] for found in columns])
        return sum(values) / len(parts)

    def buffers(self) -> list[Tensor]:
        return [buffer.clone() for module in self.modules for buffer in module.buffers()]

    def put(self, values: Sequence[Tensor]) -> None:
        owners = [owner for module in self.modules for owner in module.modules()]
        places = [(owner._buffers, key) for owner in owners for key in owner._buffers]
        for (owned, key), value in zip(places, values, strict=True):
            owned[key] = value.clone()

    def gradient(self, i: int, parts: Sequence[Batch], graph: bool = False) -> Sequence[Tensor]:
        return torch.autograd.grad(self.loss(i, parts), self.players[i], create_graph=graph)

    @torch.no_grad()
    def move(self, i: int, gradient: Sequence[Tensor]) -> None:
        for parameter, slope in zip(self.players[i], gradient, strict=True):
            parameter -= RATE * slope


def alternating(loop: Loop, parts: Sequence[Batch]) -> None:
    for i in (1, 0):
        loop.move(i, loop.gradient(i, parts))


def extragradient(loop: Loop, parts: Sequence[Batch]) -> None:
    start = [[parameter.detach().clone() for parameter in player] for player in loop.players]
    for again in (False, True):
        gradients = [loop.gradient(i, parts) for i in (0, 1)]
        for i in (0, 1):
            if again:
                for parameter, value in zip(loop.players[i], start[i], strict=True):
                    parameter.data.copy_(value)
            loop.move(i, gradients[i])


def consensus(loop: Loop, parts: Sequence[Batch]) -> None:
    gradients = [loop.gradient(i, parts, graph=True) for i in (0, 1)]
    energy = sum(slope.square().sum() for gradient in gradients for slope in gradient) / 2
    pulls = [torch.autograd.grad(energy, player, retain_graph=True) for player in loop.players]
    for i in (0, 1):
        loop.move(i, [slope + 0.5 * more for slope, more in zip(gradients[i], pulls[i], strict=True)])


# ---------------------------------------------------------------------------------------------------- the methods


@dataclass(frozen=True)
class Method:
    """An optimizer on a game, and the loop that it stands for."""

    optimizer: mm.GameOptimizer
    game: mm.Game
    by_hand: Callable[[Loop, Sequence[Batch]], None]
    losses: tuple[Callable[..., Tensor], ...]


ALTERNATING = mm.AlternatingGDA(mm.sgd(RATE), order=(1, 0))
METHODS = {
    "r1": Method(ALTERNATING, mm.Game(logistic_g, with_r1), alternating, (logistic_g, r1_by_hand)),
    "wgan-gp": Method(ALTERNATING, mm.Game(wasserstein_g, with_wgan_gp), alternating, (wasserstein_g, wgan_gp_by_hand)),
    "consensus": Method(
        mm.ConsensusOptimization(mm.sgd(RATE), gamma=0.5),
        mm.Game(logistic_g, logistic_d),
        consensus,
        (logistic_g, logistic_d),
    ),
    "extragradient": Method(
        mm.ExtraGradient(mm.sgd(RATE)), mm.Game(logistic_g, logistic_d), extragradient, (logistic_g, logistic_d)
    ),
}


def by_hand(method: str, critic: str, parts: int = 1, cast: bool = False, apart: bool = False) -> dict[str, Tensor]:
    """Where the loop ends: all parameters and buffers."""
    modules = networks(critic)
    loop = Loop(METHODS[method].losses, modules, cast, apart)
    for k in range(STEPS):
        cut = zip(*(value.chunk(parts) for value in batch(k).values()), strict=True)
        METHODS[method].by_hand(loop, [dict(zip(batch(k), part, strict=True)) for part in cut])
    return tensors(modules)


def ours(
    method: str,
    critic: str,
    wrap: Callable[[mm.Game], mm.Game] = lambda game: game,
    part: slice = slice(None),
    compile: bool = False,
) -> dict[str, Tensor]:
    """Where minimax ends, each step on a part of its batch."""
    modules = networks(critic)
    trainer = mm.bind(wrap(METHODS[method].game), modules, METHODS[method].optimizer, compile=compile)
    for k in range(STEPS):
        trainer.step({name: value[part] for name, value in batch(k).items()})
    return tensors(modules)


def tensors(modules: Modules) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in nn.ModuleList(modules).state_dict().items()}
