"""Any optimizer of torch as a rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch.overrides import TorchFunctionMode

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rated
from minimax.tree import Vector
from minimax.validation import function, shown


@dataclass(frozen=True)
class from_torch(Rated):
    """Any `torch.optim` optimizer as a rule: it steps on a copy, and the difference is the displacement.

    Works in every schedule, extragradient included, and keeps the step pure; slower than the native rules, and not
    under `vmap` or `torch.compile`, as torch optimizers write in place. `torch.func.vjp` and `grad` go through a move,
    as `Unrolled` needs, if the class has the option `differentiable`; the rate and the count of moves are constants.
    The copy stands where the gradient was taken: that is what weight decay of any kind decays, as in `sgd` and `adam`.
    Memory: what the optimizer keeps for each parameter, from the first move on.

    Args:
        optimizer: the class, say `torch.optim.Adam`.
        lr: h >= 0, a float, a 0-dim tensor, or a schedule step -> float; passed on to the class.
        options: its other keyword arguments; numbers among them may be schedules, as `momentum=...`.

    Raises:
        TypeError: an optimizer that is no class (nor function) which makes one.
        ValueError: options that the class refuses, or a class that needs a closure or sparse gradients.
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

    def __init__(
        self, optimizer: Callable[..., torch.optim.Optimizer], lr: Hyperparameter = 1e-3, **options: Any
    ) -> None:
        function("optimizer", optimizer, "a class such as torch.optim.Adam", classes=True)
        object.__setattr__(self, "lr", lr)
        object.__setattr__(self, "optimizer", optimizer)
        object.__setattr__(self, "options", tuple(sorted(options.items())))
        super().__post_init__()
        if isinstance(lr, Tensor) and lr.dim():
            raise ValueError("from_torch takes one lr, not one per member: in an ensemble use sgd, rmsprop or adam.")
        self._try()

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {"state": {}}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        derive, rate = tree.transformed(), self.rate(step)
        options = self._options(step) | (self._differentiable(rate) if derive else {})
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

    def _options(self, step: Tensor) -> dict[str, Any]:
        def settled(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(settled, value))
            return float(value(step)) if callable(value) else value

        return {key: settled(value) for key, value in self.options}

    def _try(self) -> None:
        """Make the optimizer once, for one number, so that it is refused here and not at the first step."""
        name = getattr(self.optimizer, "__name__", repr(self.optimizer))
        try:
            made = self.optimizer([torch.zeros(1, 1)], lr=1e-3, **self._options(torch.tensor(0)))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"from_torch cannot make {name} with the options given: {error}") from error
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(f"optimizer must make a torch.optim.Optimizer, got {name}, which makes {shown(made)}.")
        closure = inspect.signature(made.step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise ValueError(f"from_torch cannot use {name}, which evaluates the loss itself: use a first-order class.")
        if isinstance(made, torch.optim.SparseAdam):
            raise ValueError("from_torch cannot use SparseAdam, as players' gradients are dense: use torch.optim.Adam.")

    def _differentiable(self, rate: Any) -> dict[str, Any]:
        """What to change under `torch.func`, where only torch's plain loops have derivatives."""
        if torch.compiler.is_compiling() or _vmapped():
            raise RuntimeError("from_torch cannot run under vmap or torch.compile: use sgd, rmsprop or adam.")
        if "differentiable" not in inspect.signature(self.optimizer).parameters:
            raise RuntimeError(
                f"from_torch cannot differentiate {torch.typename(self.optimizer)}, which has no option "
                "`differentiable`: use sgd, rmsprop or adam."
            )
        if isinstance(rate, Tensor) and rate.requires_grad:
            raise RuntimeError("from_torch has no derivative in its learning rate: use sgd, rmsprop or adam.")
        loops = {key: False for key, _ in self.options if key in ("foreach", "fused")}
        return loops | {"differentiable": True}


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
