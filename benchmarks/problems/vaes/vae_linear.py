from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.vaes import _linear
from benchmarks.problems.vaes._linear import LinearDecoder, LinearEncoder, Moments
from benchmarks.quality.latents import ACTIVE
from benchmarks.quality.reference import PPCA, gaussian_nll, ppca_of

ROUNDS = (10, 100, 1000)  # of EM, as floors


class LinearVAE(Problem):
    """Linear VAE of the 1,797 digits as rows in [0, 1]: encoder and decoder, two players of one exact loss.

    p(x|z) = N(Wz + μ, s²I) with s² learned, q(z|x) = N(Vx + c, D) with D diagonal. Both minimise -E log p(x|z) +
    KL(q(z|x) ‖ N(0, I)), of which mean and covariance of the data say everything: no draw. As the loss is shared,
    nothing rotates, and best responses in turn are EM. Its minimum is that of probabilistic PCA.

    `gap`: of the loss to that minimum, = `likelihood_gap`, of -E log p(x), + `posterior_gap`, E KL(q(z|x) ‖ p(z|x)),
    all in nats a digit; `noise`: s².

    Source: Lucas, Tucker, Grosse & Norouzi, Don't Blame the ELBO!, 2019; Tipping & Bishop, Probabilistic Principal
    Component Analysis, 1999.
    """

    name = "vae-linear"
    full: ClassVar[bool] = False
    """Whether q has a full covariance."""
    target: ClassVar[float] = 1e-3
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, 32, evaluations=2, options={"latent": 2}),
        "cpu": Preset(6000, 128, evaluations=30, options={"latent": 8}),
        "gpu": Preset(20_000, 128, evaluations=50, options={"latent": 8}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-2, betas=(0.9, 0.99)), decay=True)

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("digits-rows")

    @cached_property
    def rows(self) -> Tensor:
        """The data, (1797, 64)."""
        return sets.load_table("digits-rows", self.device).x / 16

    @cached_property
    def moments(self) -> Moments:
        """Of the data."""
        return Moments(self.rows.mean(0), torch.cov(self.rows.T, correction=0))

    @cached_property
    def best(self) -> PPCA:
        """The model of most likelihood."""
        return ppca_of(*self.exact, self.preset.options["latent"])

    @cached_property
    def exact(self) -> Moments:
        """The moments in double precision, from rows in double precision."""
        rows = self.rows.double()
        return Moments(rows.mean(0), torch.cov(rows.T, correction=0))

    @property
    def least(self) -> float:
        """The minimum of the loss, in nats."""
        return gaussian_nll(*self.exact, self.best.mean, self.best.covariance())

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.rows.shape[1], self.preset.options["latent"])
        return tuple(module.to(self.device) for module in _linear.coders(seed, *shape, self.full))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        encoder, decoder = self.players(seed)
        _linear.set_optimum(encoder, decoder, self.best)
        return encoder, decoder

    def game(self) -> mm.Game:
        def loss(encoder: LinearEncoder, decoder: LinearDecoder) -> Tensor:
            return _linear.negative_elbo(encoder, decoder, self.moments)

        return mm.cooperative(loss, players=2)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        positive, latent = (0, math.inf), self.preset.options["latent"]
        return (
            Metric("gap", unit="nats", range=positive, headline=True, target=self.target),
            Metric("likelihood_gap", unit="nats", range=positive),
            Metric("posterior_gap", unit="nats", range=positive),
            Metric("kl", None, "nats", positive),
            Metric("active", "higher", "units", (0, latent)),
            Metric("noise", None, range=positive),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder = (deepcopy(player).double() for player in view.players)
        elbo, surprise = -float(_linear.negative_elbo(encoder, decoder, self.exact)), math.nan
        if math.isfinite(elbo):
            surprise = _linear.surprise(decoder, self.exact)
        return {
            "gap": -elbo - self.least,
            "likelihood_gap": surprise - self.least,
            "posterior_gap": -elbo - surprise,
            "kl": float(_linear.rates(encoder, self.exact).sum()),
            "active": float((_linear.spread(encoder, self.exact) > ACTIVE).sum()),
            "noise": float(decoder.log_noise.exp()),
        }

    def floors(self) -> Iterable[Floor]:
        yield Floor("gap", "optimum", 0.0)
        yield Floor("noise", "optimum", float(self.best.noise))
        encoder, decoder = (player.double() for player in self.players(0))
        for rounds in range(1, ROUNDS[-1] + 1):
            _linear.set_posterior(encoder, decoder)
            _linear.set_decoder(encoder, decoder, self.exact)
            if rounds in ROUNDS:
                yield Floor("gap", f"{rounds} rounds of EM", self.evaluate(View((encoder, decoder), None, 0))["gap"])


class FullLinearVAE(LinearVAE):
    """The same with a full covariance of q, in which any rotation of the codes is as good."""

    name = "vae-linear-full"
    full = True


class SampledLinearVAE(LinearVAE):
    """The same with the loss of a batch and one draw of z a digit, as a VAE without closed forms has it."""

    name = "vae-linear-sampled"
    target = 0.05

    def game(self) -> mm.Game:
        def loss(encoder: LinearEncoder, decoder: LinearDecoder, batch: Batch) -> Tensor:
            x = batch["real"]
            mean, root = encoder(x), encoder.root()
            back = decoder(mean + batch["noise"] @ root.T)
            distortion = _linear.nats((x - back).square().sum(1).mean(), decoder.log_noise, x.shape[1])
            second = mean.square().sum(1).mean() + root.square().sum()
            return distortion + (second - len(root)) / 2 - encoder.log_std.sum()

        return mm.cooperative(loss, players=2)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        index = torch.randint(len(self.rows), (size,), generator=stream, device=self.device)
        noise = torch.randn(size, self.preset.options["latent"], generator=stream, device=self.device)
        return {"real": self.rows[index], "noise": noise}
