"""Update rules: how far one player moves along one gradient.

A rule returns the *displacement*, not the new player, so that a schedule can apply it from another point
(extragradient), double it and take the last one back (optimistic), or project the sum. Rules are lower-case, as the
call that makes them is how they print: `sgd(lr=0.1)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from minimax import tree
from minimax.tree import Vector
from minimax.validation import flag, hyperparameter, shown

Memory: TypeAlias = dict[str, Any]
Hyperparameter: TypeAlias = float | Tensor | Callable[[Tensor], Any]


def now(value: Hyperparameter, step: Tensor) -> Any:
    """A hyperparameter at this step: a schedule is asked with the step count."""
    return value(step) if callable(value) else value


@dataclass(frozen=True)
class Rule(ABC):
    """How one player turns gradients into displacements.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.

    Raises:
        ValueError: a hyperparameter that is no number or out of its range.
    """

    lr: Hyperparameter

    sums: ClassVar[bool] = True  # whether displacements may be added up and stretched, or only added to their start

    def __post_init__(self) -> None:
        hyperparameter("lr", self.lr, at_least=0)

    @abstractmethod
    def init(self, player: Vector) -> Memory:
        """The memory before the first move: a dict of tensors and lists of tensors."""

    @abstractmethod
    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        """The displacement along -gradient, and the new memory.

        Args:
            player: where the gradient was taken.
            gradient: what to move against.
            memory: from the last move, or `init`.
            step: counts the optimizer's steps, for schedules.
        """

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        """The displacement of `start` along a gradient taken elsewhere, `at` a half step say, and the new memory.

        Weight decay belongs to the gradient, so this is the move made where that was taken, wherever it starts. A rule
        whose displacement depends on the point it starts from, as a mirror step's does, overrides it.
        """
        return self.move(at, gradient, memory, step)

    def rate(self, step: Tensor) -> Any:
        """The learning rate at this step."""
        return now(self.lr, step)

    def metric(self, memory: Memory, step: Tensor) -> Any:
        """A in d = -A m with m the rule's mean of gradients: a number, or one per entry (a vector). Call after `move`.

        Raises:
            RuntimeError: the rule has none.
        """
        raise RuntimeError(f"{type(self).__name__} has no metric: use sgd, rmsprop or adam.")


@dataclass(frozen=True)
class sgd(Rule):
    r"""Gradient descent with momentum: v ← b v + g, d = -h v (Nesterov: d = -h (g + b v)).

    On its own this is the heavy ball z⁺ = z - h g + b (z - z₋). In games a *negative* b can help (Gidel et al., 2019).
    Memory: one copy of the player if momentum is used, else none.

    Every number may be a float, a tensor or a schedule step -> float.

    Args:
        lr: h >= 0.
        momentum: b, of any sign; 0 for none.
        nesterov: look ahead along the momentum.
        weight_decay: w >= 0 adds w z to the gradient, z being where that was taken. So first-order methods play as on
            the losses L + w/2 |z|²; those that turn the field by its Jacobian first (consensus, say) add w z after it.

    Example:
        >>> import torch
        >>> sgd(0.1).move([torch.tensor(1.0)], [torch.tensor(2.0)], {}, torch.tensor(0))
        ([tensor(-0.2000)], {})
    """

    momentum: Hyperparameter = 0.0
    nesterov: bool = False
    weight_decay: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("momentum", self.momentum)
        hyperparameter("weight_decay", self.weight_decay, at_least=0)
        flag("nesterov", self.nesterov)
        if self.nesterov and not self._heavy:
            raise ValueError("nesterov looks ahead along the momentum, got momentum=0: pass a momentum too.")

    @property
    def _heavy(self) -> bool:
        return not _zero(self.momentum)

    def init(self, player: Vector) -> Memory:
        return {"v": tree.zeros(player)} if self._heavy else {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        w = now(self.weight_decay, step)
        g = gradient if _zero(w) else tree.axpy(w, player, gradient)
        if not self._heavy:
            return tree.scale(-self.rate(step), g), memory
        b = now(self.momentum, step)
        v = tree.axpy(b, memory["v"], g)
        d = tree.axpy(b, v, g) if self.nesterov else v
        return tree.scale(-self.rate(step), d), {"v": v}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return self.rate(step)


@dataclass(frozen=True)
class rmsprop(Rule):
    r"""RMSprop (Tieleman & Hinton, 2012): s ← a s + (1-a) g², d = -h g / (√s + ε).

    Every number may be a float, a tensor or a schedule step -> float. Memory: one copy of the player.

    Args:
        lr: h >= 0.
        alpha: a in [0, 1), how slowly the squared gradient is averaged.
        eps: ε >= 0.

    Example:
        >>> import torch
        >>> rule = rmsprop(0.1, alpha=0.0)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]
    """

    alpha: Hyperparameter = 0.99
    eps: Hyperparameter = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha, at_least=0, below=1)
        hyperparameter("eps", self.eps, at_least=0)

    def init(self, player: Vector) -> Memory:
        return {"s": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        s = tree.lerp(memory["s"], tree.mul(gradient, gradient), 1 - now(self.alpha, step))
        root = tree.shift(tree.sqrt(s), now(self.eps, step))
        return tree.scale(-self.rate(step), tree.div(gradient, root)), {"s": s}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return [self.rate(step) / a for a in tree.shift(tree.sqrt(memory["s"]), now(self.eps, step))]


@dataclass(frozen=True)
class adam(Rule):
    r"""Adam (Kingma & Ba, 2015), AMSGrad (Reddi et al., 2018), decoupled weight decay (Loshchilov & Hutter, 2019).

    m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²,  d = -h m̂ / (√v̂ + ε) - h w z  with m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ).
    Every number may be a float, a tensor or a schedule step -> float. Memory: two copies of the player (three with
    amsgrad) and the counter t, one per move.

    Args:
        lr: h >= 0.
        betas: (β₁, β₂) in [0, 1); GANs like β₁ = 0.5 or 0.
        eps: ε >= 0.
        weight_decay: w >= 0, AdamW's. z is where the gradient was taken, so extragradient's second half step decays z½.
        amsgrad: divide by the largest v so far.

    Example:
        >>> import torch
        >>> rule = adam(0.1)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]
    """

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

    def init(self, player: Vector) -> Memory:
        # float64: 1 - 0.999 ** t keeps two digits of float32 at t = 1.
        memory: Memory = {
            "m": tree.zeros(player),
            "v": tree.zeros(player),
            "t": torch.zeros((), dtype=torch.float64),
        }
        return memory | ({"largest": tree.zeros(player)} if self.amsgrad else {})

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        β1, β2 = now(self.betas[0], step), now(self.betas[1], step)
        t = memory["t"] + 1
        m = tree.lerp(memory["m"], gradient, 1 - β1)
        v = tree.lerp(memory["v"], tree.mul(gradient, gradient), 1 - β2)
        new: Memory = {"m": m, "v": v, "t": t}
        if self.amsgrad:
            new["largest"] = tree.maximum(memory["largest"], v)
        h = self.rate(step)
        # m̂/(√v̂ + ε) = √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε √(1-β₂ᵗ)): two scalars instead of two passes over the moments.
        root = (1 - β2**t) ** 0.5
        d = tree.div(m, tree.shift(tree.sqrt(new.get("largest", v)), now(self.eps, step) * root))
        d = tree.scale(-h * root / (1 - β1**t), d)
        w = now(self.weight_decay, step)
        return (d if _zero(w) else tree.axpy(-h * w, player, d)), new

    def metric(self, memory: Memory, step: Tensor) -> Any:
        root = (1 - now(self.betas[1], step) ** memory["t"]) ** 0.5
        a = tree.shift(tree.sqrt(memory["largest" if self.amsgrad else "v"]), now(self.eps, step) * root)
        return [(self.rate(step) * root).to(b.dtype) / b for b in a]


@dataclass(frozen=True)
class entropic(Rule):
    r"""Multiplicative weights: z⁺ ∝ z exp(-h g) along the last dimension, the mirror step on the probability simplex.

    Every leaf holds one distribution per row and stays one (a zero stays zero), so no projection is needed;
    `ExtraGradient(entropic(h))` is mirror-prox. For schedules that add one move to the point it was made at:
    simultaneous, alternating, extragradient (methods that add several refuse it).

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float; for mirror-prox on xᵀAy at most 1 / max |A_ij|.

    Raises:
        ValueError: at `init`, a player outside the simplex.

    Example:
        >>> import torch
        >>> entropic(1.0).move([torch.tensor([0.5, 0.5])], [torch.tensor([0.0, 20.0])], {}, torch.tensor(0))[0]
        [tensor([ 0.5000, -0.5000])]

    Source: Nemirovski, Prox-method with rate of convergence O(1/t), 2004; Freund & Schapire, 1999.
    """

    sums: ClassVar[bool] = False

    def init(self, player: Vector) -> Memory:
        for z in () if tree.transformed() else player:
            off = torch.tensor(1.0) if z.dim() == 0 else (z.sum(-1) - 1).abs().max()
            if not (float(off) <= torch.finfo(z.dtype).eps ** 0.5 and float(z.min()) >= 0):
                raise ValueError(
                    "entropic moves rows of numbers >= 0 that sum to 1, got a player of shape "
                    f"{tuple(z.shape)} with entries from {float(z.min()):.4g} to {float(z.max()):.4g}: "
                    "start from x.softmax(-1), say."
                )
        return {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        logits = tree.axpy(-self.rate(step), gradient, [z.log() for z in player])
        return tree.sub([z.softmax(-1) for z in logits], player), memory

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        return self.move(start, gradient, memory, step)


def _zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and value == 0
