"""Adam and AMSGrad, and what AdamW shares with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rated, now, zero
from minimax.tree import Vector
from minimax.validation import flag, hyperparameter, shown


@dataclass(frozen=True)
class Moments(Rated):
    """What `adam` and `adamw` share: everything but where weight decay enters."""

    betas: tuple[Hyperparameter, Hyperparameter] = (0.9, 0.999)
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.betas, tuple) and len(self.betas) == 2):
            raise ValueError(f"betas must be a tuple of two numbers, as (0.9, 0.999), got {shown(self.betas)}.")
        for k, beta in enumerate(self.betas):
            hyperparameter(f"betas[{k}]", beta, at_least=0, below=1)
        hyperparameter("eps", self.eps, at_least=0)
        hyperparameter("weight_decay", self.weight_decay, at_least=0)
        flag("amsgrad", self.amsgrad)

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        # float64: 1 - 0.999 ** t keeps two digits of float32 at t = 1.
        memory: Memory = {
            "m": tree.zeros(player),
            "v": tree.zeros(player),
            "t": torch.zeros((), dtype=torch.float64),
        }
        return memory | ({"largest": tree.zeros(player)} if self.amsgrad else {})

    def descend(self, g: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        """The displacement -h m̂ / (√v̂ + ε), without decay, and the new memory."""
        β1, β2 = now(self.betas[0], step), now(self.betas[1], step)
        t = memory["t"] + 1
        m = tree.lerp(memory["m"], g, 1 - β1)
        v = tree.lerp(memory["v"], tree.mul(g, g), 1 - β2)
        new: Memory = {"m": m, "v": v, "t": t}
        if self.amsgrad:
            new["largest"] = tree.maximum(memory["largest"], v)
        # m̂/(√v̂ + ε) = √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε √(1-β₂ᵗ)): two scalars instead of two passes over the moments.
        root = (1 - β2**t) ** 0.5
        d = tree.div(m, tree.shift(tree.sqrt(new.get("largest", v)), now(self.eps, step) * root))
        return tree.scale(-self.rate(step) * root / (1 - β1**t), d), new

    def metric(self, memory: Memory, step: Tensor) -> Any:
        root = (1 - now(self.betas[1], step) ** memory["t"]) ** 0.5
        a = tree.shift(tree.sqrt(memory["largest" if self.amsgrad else "v"]), now(self.eps, step) * root)
        return [(self.rate(step) * root).to(b.dtype) / b for b in a]


@dataclass(frozen=True)
class adam(Moments):
    r"""Adam and AMSGrad: d = -h m̂ / (√v̂ + ε), `torch.optim.Adam`.

    m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²,  m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ).  Every number may be a float, a tensor or
    a schedule step -> float. Memory: m, v (and the largest v with amsgrad), and the counter t, one per move.

    Args:
        lr: h >= 0.
        betas: (β₁, β₂) in [0, 1); GANs like β₁ = 0.5 or 0.
        eps: ε >= 0.
        weight_decay: w >= 0 adds w z to the gradient, as `sgd` does; `adamw` decays beside the moments.
        amsgrad: divide by the largest v so far.

    Example:
        >>> import torch
        >>> rule = adam(0.1)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]

    Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015; for AMSGrad Reddi, Kale & Kumar, On the
    Convergence of Adam and Beyond, 2018.
    """

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        w = now(self.weight_decay, step)
        return self.descend(gradient if zero(w) else tree.axpy(w, player, gradient), memory, step)
