"""BatchNorm from elementary operations: torch's fused one has no second derivative under `vmap`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class CompositeBatchNorm(TorchFunctionMode):
    """Within it `torch.nn.functional.batch_norm` is the one below, equal to it up to rounding.

    Example:
        >>> net, x = torch.nn.BatchNorm1d(2), torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        >>> with CompositeBatchNorm():
        ...     net(x)
        tensor([[-1.0000, -1.0000],
                [ 1.0000,  1.0000]], grad_fn=<AddBackward0>)
        >>> net.running_var
        tensor([1.1000, 1.7000])
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = batch_norm if function is functional.batch_norm else function
        return plain(*args, **(kwargs or {}))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`; channels are the second dimension."""
    around = [k for k in range(input.dim()) if k != 1]
    mean, var = running_mean, running_var
    if training or mean is None or var is None:
        mean, var = input.mean(around), input.var(around, unbiased=False)
        if running_mean is not None and running_var is not None:
            n = input.numel() // input.shape[1]
            running_mean.copy_(torch.lerp(running_mean, mean.detach(), momentum))
            running_var.copy_(torch.lerp(running_var, var.detach() * (n / (n - 1)), momentum))

    def spread(x: Tensor) -> Tensor:
        return x.reshape(1, -1, *[1] * (input.dim() - 2))

    out = (input - spread(mean)) * spread((var + eps).rsqrt())
    out = out if weight is None else out * spread(weight)
    return out if bias is None else out + spread(bias)
