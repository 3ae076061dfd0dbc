"""Linear autoencoders of data whose mean and covariance say everything: their losses have closed forms."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.networks import seeded
from benchmarks.problems._gaussian import LOG_2PI
from benchmarks.quality.reference import PPCA, gaussian_nll


class Moments(NamedTuple):
    """Of the data: the mean (d,) and the covariance (d, d), which divides by their number."""

    mean: Tensor
    covariance: Tensor

    def double(self) -> Moments:
        """In double precision."""
        return Moments(self.mean.double(), self.covariance.double())


class LinearEncoder(nn.Module):
    """q(z|x) = N(Vx + c, LLᵀ), V (latent, d), with the same L for all x: lower triangular, or diagonal.

    The diagonal of L is the exponential of a parameter.
    """

    def __init__(self, d: int, latent: int, full: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(latent, d) / math.sqrt(d))
        self.bias = nn.Parameter(torch.zeros(latent))
        self.log_std = nn.Parameter(torch.zeros(latent))
        self.lower = nn.Parameter(torch.zeros(latent, latent)) if full else None

    def root(self) -> Tensor:
        """L."""
        diagonal = self.log_std.exp().diag()
        return diagonal if self.lower is None else diagonal + self.lower.tril(-1)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class LinearDecoder(nn.Module):
    """p(x|z) = N(Wz + μ, s²I), W (d, latent); s² is learned, unless it is given."""

    def __init__(self, d: int, latent: int, noise: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d, latent) / math.sqrt(d))
        self.bias = nn.Parameter(torch.zeros(d))
        start = torch.tensor(0.0 if noise is None else math.log(noise))
        if noise is None:
            self.log_noise = nn.Parameter(start)
        else:
            self.register_buffer("log_noise", start)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias


def coders(seed: int, d: int, latent: int, full: bool, noise: float | None = None) -> tuple[Any, ...]:
    """A new encoder and decoder."""
    return seeded(seed, lambda: (LinearEncoder(d, latent, full), LinearDecoder(d, latent, noise)))


def squares(enc: LinearEncoder, dec: LinearDecoder, of: Moments) -> Tensor:
    """E|x - Wz - μ|², z ~ q(z|x), x ~ the data: tr(A C Aᵀ) + |A m - Wc - μ|² + |WL|², A = I - WV."""
    A = torch.eye(len(of.mean), dtype=of.mean.dtype, device=of.mean.device) - dec.weight @ enc.weight
    shift = A @ of.mean - dec(enc.bias)
    return ((A @ of.covariance) * A).sum() + shift.square().sum() + (dec.weight @ enc.root()).square().sum()


def rates(enc: LinearEncoder, of: Moments) -> Tensor:
    """E KL(q(z|x) ‖ N(0, I)), split by latents: ½[(Vm + c)² + diag(VCVᵀ + LLᵀ) - 1 - 2 log diag L], (latent,)."""
    second = enc(of.mean).square() + spread(enc, of) + enc.root().square().sum(1)
    return (second - 1) / 2 - enc.log_std


def spread(enc: LinearEncoder, of: Moments) -> Tensor:
    """Var_x E z_j, (latent,)."""
    return ((enc.weight @ of.covariance) * enc.weight).sum(1)


def nats(squares: Tensor, log_noise: Tensor, d: int) -> Tensor:
    """-log N(x; ·, s²I) in d dimensions at this squared distance."""
    return (d * (LOG_2PI + log_noise) + squares * (-log_noise).exp()) / 2


def negative_elbo(enc: LinearEncoder, dec: LinearDecoder, of: Moments, β: float = 1.0) -> Tensor:
    """-E log p(x|z) + β KL, exactly."""
    return nats(squares(enc, dec, of), dec.log_noise, len(of.mean)) + β * rates(enc, of).sum()


@torch.no_grad()
def surprise(dec: LinearDecoder, of: Moments) -> float:
    """-E log p(x), exactly."""
    scale = dec.weight @ dec.weight.T + dec.log_noise.exp() * torch.eye(len(of.mean)).to(dec.weight)
    return gaussian_nll(of.mean, of.covariance, dec.bias, scale)


@torch.no_grad()
def set_posterior(enc: LinearEncoder, dec: LinearDecoder) -> None:
    """Make q the exact posterior, (1 + WᵀW/s²)⁻¹ its covariance; with a diagonal L the nearest of that form to it."""
    W, noise = dec.weight, dec.log_noise.exp()
    precision = torch.eye(W.shape[1]).to(W) + W.T @ W / noise
    enc.weight.copy_(torch.linalg.solve(precision, W.T / noise))
    enc.bias.copy_(-enc.weight @ dec.bias)
    if enc.lower is None:
        enc.log_std.copy_(-precision.diagonal().log() / 2)
        return
    root = torch.linalg.cholesky(torch.linalg.inv(precision))
    enc.log_std.copy_(root.diagonal().log())
    enc.lower.copy_(root.tril(-1))


@torch.no_grad()
def set_decoder(enc: LinearEncoder, dec: LinearDecoder, of: Moments) -> None:
    """Make p(x|z) what explains the data best by the codes: regression of x on z, the noise what that leaves."""
    V, L, d = enc.weight, enc.root(), len(of.mean)
    second = V @ of.covariance @ V.T + L @ L.T
    dec.weight.copy_(torch.linalg.solve(second, V @ of.covariance).T)
    dec.bias.copy_(of.mean - dec.weight @ enc(of.mean))
    if isinstance(dec.log_noise, nn.Parameter):
        dec.log_noise.copy_((squares(enc, dec, of) / d).log())


@torch.no_grad()
def set_optimum(enc: LinearEncoder, dec: LinearDecoder, best: PPCA) -> None:
    """Make the decoder the principal components, and the encoder their posterior, whose covariance is diagonal."""
    dec.weight.copy_(best.axes)
    dec.bias.copy_(best.mean)
    dec.log_noise.copy_(best.noise.log())
    set_posterior(enc, dec)
