from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.vaes import _linear
from benchmarks.problems.vaes._linear import LinearDecoder, LinearEncoder, Moments
from benchmarks.quality.latents import ACTIVE

VARIANCES = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1)  # of the data along their axes
NOISE = 0.3  # s², of the decoder


class Water(NamedTuple):
    """The best compression of independent Gaussians of variances λ by codes whose nat costs β, noise s².

    Args:
        rates: ½ log(λ_j / w) where λ_j > w = βs², 0 elsewhere, in nats.
        distortion: Σ min(λ_j, w).
    """

    rates: Tensor
    distortion: float


def reverse_water_filling(variances: Tensor, β: float, noise: float, latent: int) -> Water:
    """The rates, which cost β a nat, and the distortion at which the linear β-VAE has its minimum.

    As many variances as there are latents are covered, from the largest one.

    >>> found = reverse_water_filling(torch.tensor(VARIANCES), 1.0, 0.3, 5)
    >>> round(float(found.rates.sum()), 5), round(found.distortion, 5)
    (3.10109, 1.55)

    Source: Shannon, 1959; Cover & Thomas, Elements of Information Theory, section 10.3.3.
    """
    water, variances = β * noise, variances.sort(descending=True).values
    rates = (variances / water).log().clamp(min=0) / 2
    rates[latent:] = 0
    return Water(rates, float(torch.where(rates > 0, water, variances).sum()))


class LinearBetaVAE(Problem):
    """Linear β-VAE of six Gaussians in a random frame, β = 4: encoder and decoder, two players of one exact loss.

    p(x|z) = N(Wz + μ, .3 I), q(z|x) = N(Vx + c, D) with D diagonal, in five latents; both minimise -E log p(x|z) +
    β KL(q(z|x) ‖ N(0, I)). The data have variances 4, 2, 1, .5, .25, .1. At the minimum, by reverse water-filling at w
    = .3 β, the code of variance λ > w costs ½ log(λ/w) nats and leaves an error w; smaller ones are left out.

    `gap`: of the loss to its minimum; `rate`: KL; `distortion`: E|x - Wz - μ|²; `rates_error`: the largest difference
    of a latent's KL, sorted, from what it is at the minimum; `active`: units with Var_x E z_j > .01.

    β alone says little: what it does depends on β times latents over pixels (here 4 · 5/6), and on s².

    Source: Higgins et al., β-VAE, 2017; Lucas, Tucker, Grosse & Norouzi, Don't Blame the ELBO!, 2019.
    """

    name = "beta-vae-linear"
    β: ClassVar[float] = 4.0
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, evaluations=2, options={"latent": 5}),
        **dict.fromkeys(("cpu", "gpu"), Preset(3000, evaluations=30, options={"latent": 5})),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-2, betas=(0.9, 0.99)), decay=True)

    @cached_property
    def moments(self) -> Moments:
        """Of the data: mean 1 in every direction, and the variances along the axes of a random frame."""
        d = len(VARIANCES)
        frame = torch.linalg.qr(seeded(0, lambda: torch.randn(d, d, dtype=torch.float64))).Q
        covariance = frame * torch.tensor(VARIANCES, dtype=torch.float64) @ frame.T
        dtype = torch.get_default_dtype()
        return Moments(torch.ones(d, device=self.device), covariance.to(self.device, dtype))

    @cached_property
    def best(self) -> Water:
        """What the latents cost at the minimum, and the error they leave."""
        variances = torch.tensor(VARIANCES, dtype=torch.float64)
        return reverse_water_filling(variances, self.β, NOISE, self.preset.options["latent"])

    @property
    def least(self) -> float:
        """The minimum of the loss, in nats."""
        log_noise = torch.tensor(math.log(NOISE), dtype=torch.float64)
        distortion = torch.tensor(self.best.distortion, dtype=torch.float64)
        return float(_linear.nats(distortion, log_noise, len(VARIANCES)) + self.β * self.best.rates.sum())

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (len(VARIANCES), self.preset.options["latent"])
        return tuple(module.to(self.device) for module in _linear.coders(seed, *shape, full=False, noise=NOISE))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """Latents along the axes: a decoder √(λ - w), an encoder √(λ - w)/λ and a variance w/λ, 0, 0 and 1 below w."""
        encoder, decoder = self.players(seed)
        λ, axes = (each.flip(-1)[..., : len(encoder.bias)] for each in torch.linalg.eigh(self.moments.covariance))
        root = (λ - self.β * NOISE).clamp(min=0).sqrt()
        with torch.no_grad():
            decoder.weight.copy_(axes * root)
            decoder.bias.copy_(self.moments.mean)
            encoder.weight.copy_((axes * root / λ).T)
            encoder.bias.copy_(-encoder.weight @ self.moments.mean)
            encoder.log_std.copy_((self.β * NOISE / λ).clamp(max=1).log() / 2)
        return encoder, decoder

    def game(self) -> mm.Game:
        def loss(encoder: LinearEncoder, decoder: LinearDecoder) -> Tensor:
            return _linear.negative_elbo(encoder, decoder, self.moments, self.β)

        return mm.cooperative(loss, players=2)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        positive = (0, math.inf)
        return (
            Metric("gap", unit="nats", range=positive, headline=True, target=1e-3),
            Metric("rate", None, "nats", positive),
            Metric("distortion", None, range=positive),
            Metric("rates_error", unit="nats", range=positive, target=1e-3),
            Metric("active", None, "units", (0, self.preset.options["latent"])),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder = (deepcopy(player).double() for player in view.players)
        moments = self.moments.double()
        rates = _linear.rates(encoder, moments)
        away = rates.sort(descending=True).values - self.best.rates[: len(rates)].to(rates)
        return {
            "gap": float(_linear.negative_elbo(encoder, decoder, moments, self.β)) - self.least,
            "rate": float(rates.sum()),
            "distortion": float(_linear.squares(encoder, decoder, moments)),
            "rates_error": float(away.abs().max()),
            "active": float((_linear.spread(encoder, moments) > ACTIVE).sum()),
        }

    def floors(self) -> Iterable[Floor]:
        rates, distortion = self.best
        yield Floor("gap", "optimum", 0.0)
        yield Floor("rate", "optimum", float(rates.sum()))
        yield Floor("distortion", "optimum", distortion)
        yield Floor("active", "optimum", float((rates > 0).sum()))


class LinearUnitVAE(LinearBetaVAE):
    """The same at β = 1, the ELBO."""

    name = "beta-vae-linear-1"
    β = 1.0
