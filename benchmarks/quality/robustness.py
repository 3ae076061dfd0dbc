"""How accurate a classifier is on images that were changed a little to mislead it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def attacked(
    net: nn.Module, x: Tensor, labels: Tensor, radius: float, start: Tensor, steps: int, rate: float
) -> Tensor:
    """Images in [0, 1] within `radius` of x in every pixel, from x + start by projected sign ascent of the loss.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018.
    """
    low, high = (x - radius).clamp(min=0), (x + radius).clamp(max=1)
    found = torch.clamp(x + start, low, high)
    for _ in range(steps):
        at = found.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(cross_entropy(net(at), labels), at)
        found = torch.clamp(found + rate * slope.sign(), low, high)
    return found.detach()


def robust_accuracy(
    net: nn.Module, x: Tensor, labels: Tensor, radius: float, steps: int = 20, restarts: int = 2
) -> float:
    """Share of images that keep their label under every one of several attacks, from random starts of seed 0."""
    stream = torch.Generator(x.device).manual_seed(0)
    kept = net(x).argmax(1) == labels
    for _ in range(restarts):
        start = radius * (2 * torch.rand(x.shape, generator=stream, device=x.device) - 1)
        worst = attacked(net, x, labels, radius, start, steps, rate=2.5 * radius / steps)
        kept = kept & (net(worst).argmax(1) == labels)
    return float(kept.double().mean())
