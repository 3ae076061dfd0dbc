"""How accurate a classifier is on images that were changed a little to mislead it: attacks, and what they leave right.

Classifiers give logits, (n, classes). An attack never makes a sample right that was wrong, keeps the worst it finds of
each sample, and so proves no robustness: it bounds it from above. What is exact is in `margins`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Net: TypeAlias = Callable[[Tensor], Tensor]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Logits (n, classes) and labels (n,) in, (n,) out; higher is worse."""


@dataclass(frozen=True)
class Reach:
    """What an attack may do: x + δ in [low, high], |δ|_norm <= radius for every sample.

    Args:
        radius: >= 0, in units of x.
        norm: inf or 2.
        low: the least value of an entry; -inf for none.
        high: the greatest.

    Raises:
        ValueError: a negative radius, another norm, or low > high.

    Example:
        >>> Reach(0.25)(torch.tensor([[0.1, 0.5]]), torch.tensor([[-1.0, 1.0]]))
        tensor([[-0.1000,  0.2500]])
    """

    radius: float
    norm: float = math.inf
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.radius < math.inf:
            raise ValueError(f"radius must be a number from 0 on, got {self.radius}.")
        if self.norm not in (2, math.inf):
            raise ValueError(f"norm must be 2 or inf, got {self.norm}.")
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high, got low={self.low}, high={self.high}.")

    def __call__(self, x: Tensor, δ: Tensor) -> Tensor:
        """δ brought into reach; where x is between low and high this keeps to both limits at once."""
        if self.norm == 2:
            δ = δ * (self.radius / _rows(δ.flatten(1).norm(dim=1), δ).clamp(min=1e-30)).clamp(max=1)
        else:
            δ = δ.clamp(-self.radius, self.radius)
        return (x + δ).clamp(self.low, self.high) - x

    def start(self, x: Tensor, stream: torch.Generator) -> Tensor:
        """A δ drawn uniformly from the ball, for every sample, and then brought into reach."""
        if self.norm == math.inf:
            return self(x, self.radius * (2 * _uniform(x.shape, x, stream) - 1))
        δ = torch.randn(x.shape, generator=stream, device=x.device, dtype=x.dtype)
        size = self.radius * _uniform(x.shape[:1], x, stream) ** (1 / x[0].numel())
        return self(x, δ * _rows(size / δ.flatten(1).norm(dim=1), x))

    def steepest(self, slope: Tensor) -> Tensor:
        """The direction of unit norm in which a linear function rises most; 0 where the slope is."""
        if self.norm == math.inf:
            return slope.sign()
        return slope / _rows(slope.flatten(1).norm(dim=1), slope).clamp(min=1e-30)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max_{k≠y} z_k - z_y, (n,): above 0 where the class is wrong (Carlini & Wagner, 2017).

    >>> margin(torch.tensor([[-3.0, -1.0], [2.0, 1.0]]), torch.tensor([0, 0]))
    tensor([ 2., -1.])
    """
    own = logits.gather(1, labels[:, None])
    # Not multiplied by 1 - onehot: that would make 0, and not -inf, of the label's own logit.
    return (logits.scatter(1, labels[:, None], -math.inf).amax(1, keepdim=True) - own)[:, 0]


def logit_ratio(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin over z_(1) - z_(3), the largest and the third largest logit, (n,): blind to their scale and shift.

    Raises:
        ValueError: fewer than three classes.

    Source: Croce & Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks, 2020.
    """
    if logits.shape[1] < 3:
        raise ValueError(f"the ratio of logits needs three classes, got {logits.shape[1]}: take the margin.")
    top = logits.topk(3, dim=1).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2]).clamp(min=1e-12)


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each sample, (n,)."""
    return cross_entropy(logits, labels, reduction="none")


LOSSES: tuple[Loss, ...] = (entropy, margin)


def fgsm(net: Net, x: Tensor, labels: Tensor, reach: Reach, loss: Loss = entropy) -> Tensor:
    """x after one step of full length up the loss; the worst there is of a linear classifier of two classes.

    Source: Goodfellow, Shlens & Szegedy, Explaining and Harnessing Adversarial Examples, 2015.
    """
    slope = _slope(lambda at: loss(net(at), labels), x)[0]
    return x + reach(x, reach.radius * reach.steepest(slope))


def pgd(
    net: Net,
    x: Tensor,
    labels: Tensor,
    reach: Reach,
    start: Tensor,
    steps: int,
    rate: float,
    loss: Loss = entropy,
) -> Tensor:
    """The worst of `steps` projected moves up the loss from x + start, for every sample on its own.

    One that is wrong is worse than one that is right; among those, the one of higher loss.

    Args:
        net: the classifier.
        x: (n, ...).
        labels: (n,).
        reach: what is allowed.
        start: the first δ.
        steps: >= 0.
        rate: the length of a move, in the norm of `reach`.
        loss: what is ascended.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018, who take the last move.
    """
    δ = reach(x, start)
    best = δ.clone()
    wrong, height = torch.zeros_like(labels, dtype=torch.bool), torch.full(labels.shape, -math.inf).to(x)
    for step in range(steps + 1):
        slope, value, logits = _looked(net, x + δ, labels, loss)
        misled = logits.argmax(1) != labels
        ahead = (misled & ~wrong) | ((misled == wrong) & (value > height))
        best = torch.where(_rows(ahead, x), δ, best)
        wrong, height = wrong | misled, torch.where(ahead, value, height)
        if step < steps:
            δ = reach(x, δ + rate * reach.steepest(slope))
    return x + best


def kept(
    net: Net,
    x: Tensor,
    labels: Tensor,
    reach: Reach,
    steps: int = 20,
    restarts: int = 2,
    losses: Sequence[Loss] = (entropy,),
    rate: float | None = None,
) -> Tensor:
    """Which samples keep their label under every attack, (n,): of each loss, from random starts of seed 0.

    Args:
        net: the classifier.
        x: (n, ...).
        labels: (n,).
        reach: what is allowed.
        steps: of each attack.
        restarts: >= 1. The starts of fewer are among those of more, so that more never keep a sample that fewer lose.
        losses: what is ascended, one after the other.
        rate: the length of a move; None for 2.5 radius/steps.
    """
    right = net(x).argmax(1) == labels
    for loss in losses:
        stream = torch.Generator(x.device).manual_seed(0)
        for _ in range(restarts):
            start = reach.start(x, stream)
            length = 2.5 * reach.radius / max(steps, 1) if rate is None else rate
            worst = pgd(net, x, labels, reach, start, steps, length, loss)
            right = right & (net(worst).argmax(1) == labels)
    return right


def robust_accuracy(net: Net, x: Tensor, labels: Tensor, reach: Reach, **how: Any) -> float:
    """The share of samples that keep their label; arguments as of `kept`."""
    return float(kept(net, x, labels, reach, **how).double().mean())


def masked(net: Net, x: Tensor, labels: Tensor, reach: Reach, other: Net, draws: int = 20, **how: Any) -> float:
    """The share of samples that gradients leave right, but that chance, or an attack on another net, misleads.

    Near 0 where gradients tell the truth; a net that hides them, by saturation or dead units, is found out so.

    Args:
        net: the classifier.
        x: (n, ...).
        labels: (n,).
        reach: what is allowed.
        other: a classifier of the same task, whose attacks are carried over.
        draws: how many points are drawn from the ball.
        how: of the attack, as of `kept`.

    Source: Athalye, Carlini & Wagner, Obfuscated Gradients Give a False Sense of Security, 2018, for the signs.
    """
    left = kept(net, x, labels, reach, **how)
    stream = torch.Generator(x.device).manual_seed(1)
    start, steps = reach.start(x, stream), int(how.get("steps", 20))
    tried = [pgd(other, x, labels, reach, start, steps, 2.5 * reach.radius / max(steps, 1))]
    tried += [x + reach.start(x, stream) for _ in range(draws)]
    found = torch.stack([net(at).argmax(1) != labels for at in tried]).any(0)
    return float((left & found).double().mean())


def deepfool(net: Net, x: Tensor, norm: float = 2, steps: int = 50, overshoot: float = 0.02) -> Tensor:
    """δ that leads each sample to another class by steps to the nearest boundary of the classifier's linearization.

    Where the classifier is linear, one step is the least there is. Elsewhere δ is an upper bound of that, which may be
    far above it. No limits are set to x + δ.

    Args:
        net: the classifier.
        x: (n, ...).
        norm: 2 or inf, in which boundaries are near.
        steps: at most.
        overshoot: by how much δ is stretched, so that it does not end on a boundary.

    Returns:
        δ, (n, ...), for a sample that keeps its class as far as it came.

    Source: Moosavi-Dezfooli, Fawzi & Frossard, DeepFool: A Simple and Accurate Method to Fool Deep Neural Networks,
    2016.
    """
    first = net(x).argmax(1)
    total = torch.zeros_like(x)
    for _ in range(steps):
        logits, slopes = _slopes(net, x + (1 + overshoot) * total)
        there = logits.argmax(1) == first
        if not bool(there.any()):
            break
        gap = logits.gather(1, first[:, None]) - logits  # (n, classes)
        w = slopes - slopes.gather(1, first.reshape(-1, 1, 1).expand(-1, 1, slopes.shape[2]))
        size = torch.linalg.vector_norm(w, 2 if norm == 2 else 1, dim=2)
        away = torch.where(size > 0, gap / size, math.inf).scatter(1, first[:, None], math.inf)
        k = away.argmin(1)
        nearest, distance = w[torch.arange(len(x)), k], away.gather(1, k[:, None])
        unit = nearest / size.gather(1, k[:, None]) if norm == 2 else nearest.sign()
        move = torch.where(there[:, None] & distance.isfinite(), distance * unit, 0.0)
        total = total + move.reshape(x.shape)
    return (1 + overshoot) * total


def carlini_wagner(
    net: Net,
    x: Tensor,
    labels: Tensor,
    c: float,
    steps: int = 300,
    rate: float = 0.01,
    confidence: float = 0.0,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """The nearest sample found that is misled, x itself where none is: min over δ of |δ|² + c max(z_y - max z_k, -κ).

    Between finite limits, x + δ is a sigmoid of what is descended by Adam. A linear classifier with the value f and the
    slope w is misled if and only if c >= 2f/|w|².

    Args:
        net: the classifier.
        x: (n, ...), between low and high.
        labels: (n,).
        c: > 0; no search for it is made.
        steps: of Adam, whose rate falls to 0.
        rate: its first rate.
        confidence: κ, the margin by which the class is to be wrong.
        low: -inf for no limits.
        high: inf for no limits.

    Source: Carlini & Wagner, Towards Evaluating the Robustness of Neural Networks, 2017, the attack of 2-norm.
    """
    bounded = math.isfinite(low) and math.isfinite(high)

    def shown(u: Tensor) -> Tensor:
        return low + (high - low) * u.sigmoid() if bounded else u

    share = ((x - low) / (high - low)).clamp(1e-4, 1 - 1e-4) if bounded else x  # at 0 and 1 nothing would move
    u = (share.logit() if bounded else x).clone().requires_grad_()
    best, least = x.clone(), torch.full(labels.shape, math.inf).to(x)
    adam = torch.optim.Adam([u], rate)
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate * (1 - step / steps)
        with torch.enable_grad():
            at = shown(u)
            far, logits = (at - x).flatten(1).square().sum(1), net(at)
            height = margin(logits, labels)
            cost = far + c * (-height).clamp(min=-confidence)
            (u.grad,) = torch.autograd.grad(cost.sum(), u)
        done = (height.detach() > confidence) & (far.detach() < least)
        best, least = torch.where(_rows(done, x), at.detach(), best), torch.where(done, far.detach(), least)
        adam.step()
    return best


def _rows(value: Tensor, x: Tensor) -> Tensor:
    """(n,) as (n, 1, ...), beside x."""
    return value.reshape(-1, *[1] * (x.dim() - 1))


def _uniform(shape: Sequence[int], x: Tensor, stream: torch.Generator) -> Tensor:
    return torch.rand(tuple(shape), generator=stream, device=x.device, dtype=x.dtype)


def _slope(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of each sample's value in it, and the values."""
    at = x.detach().requires_grad_()
    with torch.enable_grad():
        value = f(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    return slope, value.detach()


def _looked(net: Net, x: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """The slope of each sample's loss, the loss, and the logits."""
    told = []

    def value(at: Tensor) -> Tensor:
        told.append(net(at))
        return loss(told[0], labels)

    slope, height = _slope(value, x)
    return slope, height, told[0].detach()


def _slopes(net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) and their gradients (n, classes, entries of a sample)."""
    at = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = net(at)
        rows = [torch.autograd.grad(logits[:, k].sum(), at, retain_graph=True)[0] for k in range(logits.shape[1])]
    return logits.detach(), torch.stack([row.flatten(1) for row in rows], 1)
