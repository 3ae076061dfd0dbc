"""Update rules: how far one player moves along one gradient.

A rule returns the *displacement*, not the new player, so that a schedule can apply it from another point
(extragradient), double it and take the last one back (optimistic), or project the sum. Rules are lower-case, as the
call that makes them is how they print: `sgd(lr=0.1)`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch.overrides import TorchFunctionMode

from minimax import tree
from minimax.tree import Vector

Memory: TypeAlias = dict[str, Any]
Rate: TypeAlias = float | Tensor | Callable[[Tensor], Any]


@dataclass(frozen=True)
class Rule(ABC):
    """How one player turns gradients into displacements."""

    lr: Rate

    def __post_init__(self) -> None:
        _nonnegative("lr", self.lr)

    @abstractmethod
    def init(self, player: Vector) -> Memory:
        """The memory before the first move: a dict of tensors and lists of tensors."""

    @abstractmethod
    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        """The displacement along -gradient, and the new memory. `step` counts the optimizer's steps, for schedules."""

    def rate(self, step: Tensor) -> Any:
        """The learning rate at this step."""
        return self.lr(step) if callable(self.lr) else self.lr

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

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.
        momentum: b, of any sign; 0 for none.
        nesterov: look ahead along the momentum.
        weight_decay: adds weight_decay * z to the gradient.

    Example:
        >>> import torch
        >>> sgd(0.1).move([torch.tensor(1.0)], [torch.tensor(2.0)], {}, torch.tensor(0))
        ([tensor(-0.2000)], {})
    """

    momentum: float | Tensor = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _nonnegative("weight_decay", self.weight_decay)

    @property
    def _heavy(self) -> bool:
        return isinstance(self.momentum, Tensor) or self.momentum != 0

    def init(self, player: Vector) -> Memory:
        return {"v": tree.zeros(player)} if self._heavy else {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        g = tree.axpy(self.weight_decay, player, gradient) if self.weight_decay else gradient
        if not self._heavy:
            return tree.scale(-self.rate(step), g), memory
        v = tree.axpy(self.momentum, memory["v"], g)
        d = tree.axpy(self.momentum, v, g) if self.nesterov else v
        return tree.scale(-self.rate(step), d), {"v": v}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return self.rate(step)


@dataclass(frozen=True)
class rmsprop(Rule):
    r"""RMSprop (Tieleman & Hinton, 2012): s ← a s + (1-a) g², d = -h g / (√s + ε).

    Memory: one copy of the player.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.
        alpha: a in [0, 1), how slowly the squared gradient is averaged.
        eps: ε > 0.

    Example:
        >>> import torch
        >>> rule = rmsprop(0.1, alpha=0.0)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]
    """

    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _fraction("alpha", self.alpha)
        _nonnegative("eps", self.eps)

    def init(self, player: Vector) -> Memory:
        return {"s": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        s = tree.lerp(memory["s"], tree.mul(gradient, gradient), 1 - self.alpha)
        return tree.scale(-self.rate(step), tree.div(gradient, tree.shift(tree.sqrt(s), self.eps))), {"s": s}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return [self.rate(step) / a for a in tree.shift(tree.sqrt(memory["s"]), self.eps)]


@dataclass(frozen=True)
class adam(Rule):
    r"""Adam (Kingma & Ba, 2015), AMSGrad (Reddi et al., 2018), decoupled weight decay (Loshchilov & Hutter, 2019).

    m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²,  d = -h m̂ / (√v̂ + ε) - h w z  with m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ).
    Memory: two copies of the player (three with amsgrad) and the counter t, one per move.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.
        betas: (β₁, β₂) in [0, 1); GANs like β₁ = 0.5 or 0.
        eps: ε >= 0.
        weight_decay: w >= 0.
        amsgrad: divide by the largest v so far.

    Example:
        >>> import torch
        >>> rule = adam(0.1)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]
    """

    betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for k, beta in enumerate(self.betas):
            _fraction(f"betas[{k}]", beta)
        _nonnegative("eps", self.eps)
        _nonnegative("weight_decay", self.weight_decay)

    def init(self, player: Vector) -> Memory:
        # float64: 1 - 0.999 ** t keeps two digits of float32 at t = 1.
        memory: Memory = {
            "m": tree.zeros(player),
            "v": tree.zeros(player),
            "t": torch.zeros((), dtype=torch.float64),
        }
        return memory | ({"largest": tree.zeros(player)} if self.amsgrad else {})

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        β1, β2 = self.betas
        t = memory["t"] + 1
        m = tree.lerp(memory["m"], gradient, 1 - β1)
        v = tree.lerp(memory["v"], tree.mul(gradient, gradient), 1 - β2)
        new: Memory = {"m": m, "v": v, "t": t}
        if self.amsgrad:
            new["largest"] = tree.maximum(memory["largest"], v)
        h = self.rate(step)
        # m̂/(√v̂ + ε) = √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε √(1-β₂ᵗ)): two scalars instead of two passes over the moments.
        root = (1 - β2**t) ** 0.5
        d = tree.div(m, tree.shift(tree.sqrt(new.get("largest", v)), self.eps * root))
        d = tree.scale(-h * root / (1 - β1**t), d)
        return (tree.axpy(-h * self.weight_decay, player, d) if self.weight_decay else d), new

    def metric(self, memory: Memory, step: Tensor) -> Any:
        root = (1 - self.betas[1] ** memory["t"]) ** 0.5
        a = tree.shift(tree.sqrt(memory["largest" if self.amsgrad else "v"]), self.eps * root)
        return [(self.rate(step) * root).to(b.dtype) / b for b in a]


@dataclass(frozen=True)
class entropic(Rule):
    r"""Multiplicative weights: z⁺ ∝ z exp(-h g) along the last dimension, the mirror step on the probability simplex.

    Every leaf holds one distribution per row and stays positive and summing to one, so no projection is needed;
    `ExtraGradient(entropic(h))` is mirror-prox. For schedules that add one move to the point it was made at:
    simultaneous, alternating, extragradient (optimistic play adds two, anchors and averages of moves are none).

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float; for mirror-prox on xᵀAy at most 1 / max |A_ij|.

    Example:
        >>> import torch
        >>> entropic(1.0).move([torch.tensor([0.5, 0.5])], [torch.tensor([0.0, 20.0])], {}, torch.tensor(0))[0]
        [tensor([ 0.5000, -0.5000])]

    Source: Nemirovski, Prox-method with rate of convergence O(1/t), 2004; Freund & Schapire, 1999.
    """

    def init(self, player: Vector) -> Memory:
        return {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        logits = tree.axpy(-self.rate(step), gradient, [z.log() for z in player])
        return tree.sub([z.softmax(-1) for z in logits], player), memory


@dataclass(frozen=True)
class from_torch(Rule):
    """Any `torch.optim` optimizer as a rule: it steps on a copy, and the difference is the displacement.

    Works in every schedule, extragradient included, and keeps the step pure; slower than the native rules, and not
    under `vmap` or `torch.compile`, as torch optimizers write in place. `torch.func.vjp` and `grad` go through a move,
    as `Unrolled` needs, if the class has the option `differentiable`; the rate and the count of moves are constants.

    Args:
        optimizer: the class, say `torch.optim.Adam`.
        lr: as for the native rules (schedules too); passed on to the class.
        options: its other keyword arguments.

    Raises:
        RuntimeError: under `vmap` or `torch.compile`; when differentiated, a class without the option `differentiable`,
            or a learning rate that the derivative is asked for.

    Example:
        >>> import torch
        >>> rule = from_torch(torch.optim.SGD, lr=0.1)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.2000)]
    """

    optimizer: Callable[..., torch.optim.Optimizer]
    options: tuple[tuple[str, Any], ...]

    def __init__(self, optimizer: Callable[..., torch.optim.Optimizer], lr: Rate = 1e-3, **options: Any) -> None:
        object.__setattr__(self, "lr", lr)
        object.__setattr__(self, "optimizer", optimizer)
        object.__setattr__(self, "options", tuple(sorted(options.items())))
        super().__post_init__()

    def init(self, player: Vector) -> Memory:
        return {"state": {}}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        derive, rate = tree.transformed(), self.rate(step)
        options = self._differentiable(rate) if derive else dict(self.options)
        copy = [leaf.clone() for leaf in player]
        for leaf, g in zip(copy, gradient, strict=True):
            leaf.grad = g.clone()  # some optimizers write into it, as SGD(nesterov=True, foreach=True) does
        optimizer = self.optimizer(copy, lr=float(rate), **options)
        for k, saved in memory["state"].items():
            optimizer.state[copy[k]] = {key: _cloned(key, value) for key, value in saved.items()}
        with _Derivatives() if derive else nullcontext():
            optimizer.step()
        state = {k: dict(optimizer.state[leaf]) for k, leaf in enumerate(copy) if leaf in optimizer.state}
        return tree.sub(copy, player), {"state": state}

    def _differentiable(self, rate: Any) -> dict[str, Any]:
        """The options under `torch.func`, where only torch's plain loops have derivatives."""
        if torch.compiler.is_compiling() or _vmapped():
            raise RuntimeError("from_torch cannot run under vmap or torch.compile: use sgd, rmsprop or adam.")
        if "differentiable" not in inspect.signature(self.optimizer).parameters:
            raise RuntimeError(
                f"from_torch cannot differentiate {torch.typename(self.optimizer)}, which has no option "
                "`differentiable`: use sgd, rmsprop or adam."
            )
        if isinstance(rate, Tensor) and rate.requires_grad:
            raise RuntimeError("from_torch has no derivative in its learning rate: use sgd, rmsprop or adam.")
        plain = {key: value for key, value in self.options if key not in ("foreach", "fused")}
        return plain | {"differentiable": True}


class _Derivatives(TorchFunctionMode):
    """Mends torch's differentiable steps: SGD detaches its first momentum, and √ at 0 makes inf · 0, a NaN."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.detach:
            return args[0].clone()
        if function in (Tensor.sqrt, torch.sqrt):
            return tree.sqrt([args[0]])[0]
        if function is Tensor.sqrt_:
            return args[0].copy_(tree.sqrt([args[0].clone()])[0])
        return function(*args, **(kwargs or {}))


def _vmapped() -> bool:
    levels = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() == TransformType.Vmap for level in levels)


def _cloned(key: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone() if key == "step" else value.clone()  # Adam refuses a counter with a derivative


def _nonnegative(name: str, value: Any) -> None:
    grid = isinstance(value, Tensor) and not tree.transformed()
    if bool((value < 0).any()) if grid else isinstance(value, int | float) and not value >= 0:
        raise ValueError(f"{name} must be a number >= 0, got {value}.")


def _fraction(name: str, value: Any) -> None:
    if isinstance(value, int | float) and not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value}.")
