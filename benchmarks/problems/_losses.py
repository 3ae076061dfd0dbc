"""Losses of a generator g against a critic d that more than one problem plays; a batch holds `real` and `noise`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from benchmarks.problem import Batch


def logistic_critic(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(G(z))), that is -E log σ(D(x)) - E log(1 - σ(D(G(z))))."""
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()


def nonsaturating_generator(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(G(z))), that is -E log σ(D(G(z)))."""
    return softplus(-d(g(batch["noise"]))).mean()


def wasserstein_critic(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E D(G(z)) - E D(x)."""
    return d(g(batch["noise"])).mean() - d(batch["real"]).mean()


def wasserstein_generator(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """-E D(G(z))."""
    return -d(g(batch["noise"])).mean()


def hinge_critic(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E [1 - D(x)]₊ + E [1 + D(G(z))]₊; the generator's is Wasserstein's (Lim & Ye, 2017)."""
    return relu(1 - d(batch["real"])).mean() + relu(1 + d(g(batch["noise"]))).mean()


def relativistic_generator(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(x) - D(G(z)))."""
    return softplus(d(batch["real"]) - d(g(batch["noise"]))).mean()


def relativistic_critic(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(G(z)) - D(x))."""
    return softplus(d(g(batch["noise"])) - d(batch["real"])).mean()
