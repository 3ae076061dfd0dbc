"""Penalties on samples: what is added to a critic's loss to keep its slope in check.

Each takes the critic, a callable from samples (batch, ...) to scores (batch,) or (batch, 1), and returns a scalar with
no weight in front: multiply by γ/2 or λ yourself, so that which convention is meant stands in the loss, or give the
product to `transforms.add`. They differentiate again, under `vmap` and `torch.compile` too. Cost: one forward and one
backward pass of the critic, and a double backward when differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minimax import tree, validation

Critic = Callable[[Tensor], Tensor]


def slopes(critic: Critic, x: Tensor) -> Tensor:
    """|∇_x D(x)|², one number per sample, shape (batch,).

    Example:
        >>> import torch
        >>> slopes(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(2, 2))
        tensor([25., 25.])
    """
    return scores_and_slopes(critic, x)[1]


def scores_and_slopes(critic: Critic, x: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) and |∇_x D(x)|² from one forward pass, for losses that need both.

    With R1 a critic's loss takes D at the data anyway: after `real, slopes = scores_and_slopes(d, x)` it may be
    `softplus(-real).mean() + γ/2 * slopes.mean()` instead of `softplus(-d(x)).mean() + γ/2 * r1(d, x)`, and takes one
    forward pass less. BatchNorm then sees the data once and not twice.

    Example:
        >>> import torch
        >>> with torch.no_grad(): scores_and_slopes(lambda x: x @ torch.tensor([3.0, 4.0]), torch.ones(2, 2))
        (tensor([7., 7.]), tensor([25., 25.]))
    """
    if tree.transformed():
        scores, g = _functional_gradient(critic, x)
        return scores, g.flatten(1).square().sum(1)
    differentiated = torch.is_grad_enabled()
    with torch.enable_grad():  # by autograd, as `torch.func` goes neither with BatchNorm nor with checkpoints
        samples = x if x.requires_grad else x.detach().requires_grad_()
        scores = critic(samples)
        if not scores.requires_grad:  # a constant critic
            return scores, samples.new_zeros(len(samples))
        total = scores.sum()
        (g,) = torch.autograd.grad(total, samples, create_graph=differentiated, materialize_grads=True)
    return scores if differentiated else scores.detach(), g.flatten(1).square().sum(1)


def _functional_gradient(critic: Critic, x: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) and ∇_x Σ D(x) under `vmap` or `torch.compile`, where modules may only write to buffers made inside."""
    owners = [owner._buffers for owner in critic.modules()] if isinstance(critic, nn.Module) else []

    def total(samples: Tensor) -> tuple[Tensor, tuple[Tensor, list[dict[str, Any]]]]:
        for buffers in owners:
            for key, buffer in buffers.items():
                buffers[key] = None if buffer is None else buffer.clone()
        scores = critic(samples)
        return scores.sum(), (scores, [dict(buffers) for buffers in owners])

    g, (scores, left) = torch.func.grad(total, has_aux=True)(x)
    for buffers, values in zip(owners, left, strict=True):
        buffers.update(values)
    return scores, g


def r1(critic: Critic, real: Tensor) -> Tensor:
    """E|∇D(real)|²; R1 is γ/2 times this.

    Example:
        >>> import torch
        >>> r1(lambda x: x @ torch.tensor([0.6, 0.8]), torch.randn(5, 2))
        tensor(1.)

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """
    return slopes(critic, real).mean()


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """E|∇D(fake)|²; R2 is γ/2 times this. `fake` should not carry the generator's graph.

    Example:
        >>> import torch
        >>> r2(lambda x: x @ torch.tensor([0.6, 0.8]), torch.randn(5, 2))
        tensor(1.)

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """
    return slopes(critic, fake).mean()


def approximate_r1(critic: Critic, real: Tensor, noise: Tensor, scale: float = 0.01) -> Tensor:
    """E(D(real + s ε) - D(real))² / s²: R1 by differences, which needs no second derivatives.

    In expectation over ε ~ N(0, I) it is E|∇D|² + s² E[¼ (tr H)² + ½ |H|² + ∇D·∇ΔD] + O(s⁴), H the critic's Hessian and
    Δ its trace; exact for a linear critic. A sample's draw has a relative deviation of √2, whatever s. γ/2 goes in
    front, as for `r1`. For critics through which nothing can be differentiated twice (fused attention, FSDP). In low
    precision s must not be too small: D is rounded, and the error is divided by s.

    Cost: two forward passes of the critic, and one backward pass when differentiated.

    Args:
        critic: scores of samples.
        real: samples of the data, (batch, ...).
        noise: ε, standard normal and shaped like real, from the batch.
        scale: s > 0, in the units of the samples.

    Raises:
        ValueError: noise of another shape, or a scale that is not above 0.

    Example:
        >>> import torch
        >>> x, ε = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
        >>> approximate_r1(lambda x: x @ torch.tensor([3.0, 4.0]), x, ε, scale=1.0)
        tensor(9.)

    Source: Lin et al., Diffusion Adversarial Post-Training for One-Step Video Generation, 2025 (without 1/s²).
    """
    if noise.shape != real.shape:
        raise ValueError(f"noise must be shaped like real, {tuple(real.shape)}, got {tuple(noise.shape)}.")
    validation.real("scale", scale, above=0)
    difference = critic(real + scale * noise) - critic(real)
    return difference.square().mean() / scale**2


def balanced(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    at: Tensor,
    *,
    small: float = 1e-4,
    most: float = 1e4,
    through: bool = False,
) -> Tensor:
    """w = min(|∇ first| / (|∇ second| + δ), most), both slopes at `at`: under w second pushes there as hard as first.

    VQGAN's adaptive weight, as in `rec(x) + 0.8 * balanced(rec, adv, at=x) * adv(x)`. It is a number, through which
    nothing is differentiated; methods with second derivatives, which need those of everything, play it as a player of
    its own with the loss ½ (w - balanced(..., through=True))², one step of rate 1 a step.

    Cost: one gradient of each function, by `torch.func` under `vmap` and `torch.compile`.

    Args:
        first: a loss as a function of `at` alone, 0-dim.
        second: another.
        at: where they meet: the last layer's matrix, or its output. Both functions must use their argument.
        small: δ > 0, which keeps the weight finite where second does not push.
        most: the largest weight; infinity for none.
        through: differentiate through the weight.

    Raises:
        ValueError: a small that is not above 0, or a most that is not.

    Example:
        >>> import torch
        >>> balanced(lambda x: 3 * x.sum(), lambda x: x.sum(), torch.zeros(4), small=1.0)
        tensor(2.)

    Source: Esser, Rombach & Ommer, Taming Transformers for High-Resolution Image Synthesis, 2021.
    """
    validation.real("small", small, above=0)
    validation.real("most", most, above=0, finite=False)
    one, other = (torch.linalg.vector_norm(_slope(loss, at, through)) for loss in (first, second))
    weight: Tensor = (one / (other + small)).clamp(max=most)
    return weight


def _slope(loss: Callable[[Tensor], Tensor], at: Tensor, through: bool) -> Tensor:
    """∇ loss at a tensor."""
    if tree.transformed():
        g: Tensor = torch.func.grad(loss)(at)
        return g if through else g.detach()
    with torch.enable_grad():  # by autograd, as for `slopes`
        x = at if through and at.requires_grad else at.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(x), x, create_graph=through, materialize_grads=True)
    return slope


def between(real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """coefficient * real + (1 - coefficient) * fake with one coefficient per sample, shape (batch,), from the batch.

    Raises:
        ValueError: not one coefficient per sample, or samples of different shapes.

    Example:
        >>> import torch
        >>> between(torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([0.25, 1.0])).flatten()
        tensor([0.2500, 1.0000])
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape, got {tuple(real.shape)} and {tuple(fake.shape)}.")
    if coefficient.shape != real.shape[:1]:
        raise ValueError(
            f"coefficient must have one entry per sample, shape ({real.shape[0]},), got {tuple(coefficient.shape)}."
        )
    weight = coefficient.reshape(-1, *(1,) * (real.dim() - 1))
    return weight * real + (1 - weight) * fake


def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """E(|∇D(x̂)| - 1)² at x̂ between real and fake; WGAN-GP is λ times this (λ = 10).

    Args:
        critic: scores of samples.
        real: samples of the data, (batch, ...).
        fake: samples of the generator, (batch, ...).
        coefficient: uniform on [0, 1], one per sample, shape (batch,); from the batch, as a step may evaluate twice.

    Raises:
        ValueError: shapes that do not match.

    Example:
        >>> import torch
        >>> wgan_gp(lambda x: x @ torch.tensor([0.6, 0.8]), torch.ones(3, 2), torch.zeros(3, 2), torch.rand(3))
        tensor(0.)

    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville, Improved Training of Wasserstein GANs, 2017.
    """
    return _unit(slopes(critic, between(real, fake, coefficient)))


def _unit(squared: Tensor) -> Tensor:
    # The norm's slope at 0 is infinite: the smallest normal number keeps a dead critic's gradient finite.
    return (squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt() - 1).square().mean()


def zero_centered(critic: Critic, real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """E|∇D(x̂)|² at x̂ between real and fake, the zero-centred interpolation penalty.

    Arguments and errors as for `wgan_gp`.

    Example:
        >>> import torch
        >>> zero_centered(lambda x: x @ torch.tensor([3.0, 4.0]), torch.ones(3, 2), torch.zeros(3, 2), torch.rand(3))
        tensor(25.)

    Source: Thanh-Tung, Tran & Venkatesh, Improving Generalization and Stability of Generative Adversarial Networks,
    2019.
    """
    return slopes(critic, between(real, fake, coefficient)).mean()


def dragan(critic: Critic, real: Tensor, noise: Tensor, scale: float = 0.5) -> Tensor:
    """E(|∇D(x̂)| - 1)² at x̂ = real + scale * std(real) * noise, around the data; DRAGAN is λ times this (λ = 10).

    Args:
        critic: scores of samples.
        real: samples of the data, (batch, ...); std is over all their entries.
        noise: shaped like real; uniform on [0, 1] in the authors' code, from the batch.
        scale: how far around the data.

    Raises:
        ValueError: noise of another shape.

    Example:
        >>> import torch
        >>> dragan(lambda x: x @ torch.tensor([3.0, 4.0]), torch.randn(3, 2), torch.rand(3, 2))
        tensor(16.)

    Source: Kodali, Abernethy, Hays & Kira, On Convergence and Stability of GANs, 2017.
    """
    if noise.shape != real.shape:
        raise ValueError(f"noise must be shaped like real, {tuple(real.shape)}, got {tuple(noise.shape)}.")
    return _unit(slopes(critic, real + scale * real.std() * noise))


def roth(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E(1 - D)²|∇φ|² on the data plus E D²|∇φ|² on samples, D = sigmoid(φ); Roth's regulariser is γ/2 times this.

    Args:
        critic: φ, logits of samples.
        real: samples of the data, (batch, ...).
        fake: samples of the generator, without its graph.

    Example:
        >>> import torch
        >>> roth(lambda x: 0 * x[:, 0], torch.randn(3, 2), torch.randn(3, 2))
        tensor(0.)
        >>> roth(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(3, 2), torch.zeros(3, 2))
        tensor(12.5000)

    Source: Roth, Lucchi, Nowozin & Hofmann, Stabilizing Training of GANs through Regularization, 2017.
    """
    on_real, on_fake = critic(real).flatten(), critic(fake).flatten()
    weighted = (-on_real).sigmoid().square() * slopes(critic, real)
    return weighted.mean() + (on_fake.sigmoid().square() * slopes(critic, fake)).mean()
