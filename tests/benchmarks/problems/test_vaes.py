import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import minimax as mm
from benchmarks.problems import _gaussian
from benchmarks.problems.gans import gan
from benchmarks.problems.vaes import _pictures, vae
from benchmarks.problems.vaes._variational import Parts, Seen, Variational, first
from benchmarks.testing import play
from minimax.diagnostics import rotation


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    vae.VAE.prepare(None, None, download=False)


def weights(it: Variational, parts: Parts, seen: Seen, draws: int, seed: int = 0) -> Tensor:
    """log p(x, z) - log q(z|x) at so many draws of z, (draws, n)."""
    likelihood, ratio, _ = it.weighed(parts, seen, draws, it.generator(seed, 0))
    return (likelihood + ratio).detach()


def test_vae_bounds() -> None:
    it = vae.VAE("smoke")
    parts, seen = it.parts(it.players(0)), first(it.tested, 8)
    weight = weights(it, parts, seen, 400)
    # The mean over all groups of k draws grows with k, by Jensen's inequality and without a doubt.
    bound = [float((weight.unflatten(0, (400 // k, k)).logsumexp(1) - math.log(k)).mean()) for k in (1, 20, 400)]
    assert bound == sorted(bound) and bound[0] < bound[2]
    # At one draw the bound is an estimate of the ELBO, the loss that is trained.
    noise = it.noise(it.generator(0, 0), 400, 8).flatten(0, 1)
    batch = {"real": seen.real.repeat(400, 1, 1, 1), "given": seen.given.repeat(400), "noise": noise}
    assert float(weight.mean()) == pytest.approx(-it.loss(parts, batch).item(), abs=0.05)


def test_vae_weights_are_constant_at_the_exact_posterior() -> None:
    it = vae.VAE("smoke")
    parts = it.parts(it.players(0))
    with torch.no_grad():  # a decoder that ignores z has the prior as its posterior
        for net in (parts.encoder.net, parts.decoder.net[0]):
            net[-1].weight.zero_()
            net[-1].bias.zero_()
    weight = weights(it, parts, first(it.tested, 4), 7)
    assert torch.allclose(weight, torch.full_like(weight, -64 * math.log(2)))


@pytest.mark.parametrize("draws", [1, 7, 20])
def test_as_many_codes_are_decoded_as_there_are_draws(draws: int) -> None:
    it, seen = vae.VAE("smoke"), first(vae.VAE("smoke").tested, 5)
    encoder, decoder = it.parts(it.players(0))
    codes: list[Tensor] = []

    def counted(z: Tensor) -> Tensor:
        codes.extend(z)
        return decoder(z)

    found = it.weighed(Parts(encoder, counted), seen, draws, it.generator(0, 0))
    assert [each.shape for each in found] == 3 * [(draws, 5)]
    assert len(codes) == 2 * 5 * draws  # those of the posteriors and those of the prior
    assert len({tuple(code.tolist()) for code in codes}) == len(codes)


def joined(players: Any) -> Tensor:
    return torch.cat([leaf.detach().flatten() for player in players for leaf in player.parameters()])


def test_two_players_of_one_loss_do_not_rotate() -> None:
    """The Jacobian of the field is symmetric, whatever the library knows of the game, and all rotation is 0."""
    it = vae.SplitVAE("smoke")
    players = tuple(player.double() for player in it.players(0))
    batch = {name: each.double() if each.is_floating_point() else each for name, each in it.batch(0, 0).items()}

    def loss(encoder: Any, decoder: Any, batch: Any) -> Tensor:
        return it.loss(Parts(encoder, decoder), batch)

    found = rotation(mm.Game(loss, loss), players, batch, samples=4)
    assert found.antisymmetric < 1e-9 * found.symmetric
    assert rotation(it.game(), players, batch, samples=4).ratio == 0.0


def test_simultaneous_play_of_two_is_descent_of_one() -> None:
    """So is SGA, whose correction vanishes; alternating play is not."""
    ends = {}
    for kind in (vae.VAE, vae.SplitVAE):
        for optimizer in (mm.SimultaneousGDA, mm.SymplecticGradientAdjustment, mm.AlternatingGDA):
            ends[kind.name, optimizer] = joined(play(kind("smoke"), optimizer(mm.sgd(1e-2)), 5).players)
    joint = ends["vae", mm.SimultaneousGDA]
    assert torch.equal(ends["vae-split", mm.SimultaneousGDA], joint)
    assert torch.equal(ends["vae-split", mm.SymplecticGradientAdjustment], joint)
    assert not torch.equal(ends["vae-split", mm.AlternatingGDA], joint)


def test_the_map_shows_a_class_where_its_codes_are() -> None:
    codes = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat(50, 1)
    picture = _pictures.mapped(codes, torch.tensor([0, 1]).repeat(50), 2).array
    first, second = _pictures.colours(2)
    low, high = (np.argwhere((picture == colour).all(2)).mean(0) for colour in (first, second))
    assert low[0] > high[0] and low[1] < high[1]  # rows count from the top
    assert (_pictures.mapped(codes * math.nan, torch.zeros(100).long(), 2).array == 255).all()


def test_a_traversal_changes_one_number_of_a_code_a_row() -> None:
    given: list[Tensor] = []

    def means(z: Tensor, _: Tensor) -> Tensor:
        given.append(z)
        return z.new_zeros(len(z), 1, 8, 8)

    q = _gaussian.Gaussian(torch.randn(40, 3) * torch.tensor([1.0, 3.0, 2.0]), torch.zeros(40, 3))
    picture = _pictures.traversed(means, q, torch.zeros(40))
    rows = given[0].unflatten(0, (3, 8))
    assert picture.rows == ("z2", "z3", "z1")
    for row, moved in zip(rows, (1, 2, 0), strict=True):
        still = [k for k in range(3) if k != moved]
        assert torch.equal(row[:, still], q.mean[:1, still].expand(8, -1))
        assert torch.allclose(row[:, moved], torch.linspace(-2.5, 2.5, 8))


def test_vae_sees_binary_images() -> None:
    it = vae.VAE("smoke")
    grey = gan.GAN("smoke").images.test
    assert set(it.images.test.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(it.images.test > 0, (grey + 1) * 8 > 8)


def test_vae_states_its_target() -> None:
    headline = vae.VAE("cpu").headline
    assert (headline.name, headline.unit, headline.aim) == ("nll", "nats", "<= 17.4")
