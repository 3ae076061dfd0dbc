"""VQ-VAE: which word, along which slope, averages as Lloyd's steps, words that come back, a prior and its bits."""

import itertools
import math
from typing import Any

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

import minimax as mm
from benchmarks.data import stream
from benchmarks.problem import View
from benchmarks.problems import _codes
from benchmarks.problems.vaes import _writer, vq_vae
from benchmarks.quality.reference import k_means_of_patches
from benchmarks.runner import spec
from benchmarks.runner.setup import resolve
from benchmarks.suites import OPTIMIZERS

F64 = torch.float64
METHODS = [one for text in OPTIMIZERS for one in spec.parse(text)]


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    vq_vae.VQVAE.prepare(None, None, download=False)


def same(x: Tensor) -> Tensor:
    return x


def brute(z: Tensor, book: Tensor) -> Tensor:
    found = [int((book - vector).norm(dim=1).argmin()) for vector in z.flatten(0, -2)]
    return torch.tensor(found).view(z.shape[:-1])


def test_words_are_the_nearest_ones() -> None:
    z, book = torch.randn(5, 2, 3, 4, dtype=F64), torch.randn(9, 4, dtype=F64)
    assert torch.equal(_codes.nearest(z, book), brute(z, book))


def test_encoder_moves_along_the_slope_at_the_word() -> None:
    """∂R/∂e + 2 β (z - e), β = .25; its value at z = e is R(e), in nats by torch's own normal distribution."""
    it = vq_vae.VQVAE("smoke")
    dec = nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 4), nn.Unflatten(1, (1, 2, 2))).double()
    z = torch.randn(3, 2, 2, 2, dtype=F64, requires_grad=True)
    book, batch = torch.randn(6, 2, dtype=F64), {"real": torch.randn(3, 1, 2, 2, dtype=F64)}
    e = book[brute(z.detach(), book)].requires_grad_()
    nats = -torch.distributions.Normal(dec(e), 0.2).log_prob(batch["real"]).sum() / 3
    slope = torch.autograd.grad(nats, e)[0] + 2 * 0.25 * (z - e) / 3
    (found,) = torch.autograd.grad(it.encoder_loss(lambda x: z, book, dec, batch), z)
    torch.testing.assert_close(found, slope)
    assert it.encoder_loss(lambda x: e, book, dec, batch).item() == pytest.approx(nats.item())
    assert it.decoder_loss(lambda x: z, book, dec, batch).item() == pytest.approx(nats.item())
    missed = (z - e).square().sum() / 3
    assert it.codebook_loss(lambda x: z, book, dec, batch).item() == pytest.approx(missed.item())


class Alone:
    """The codebook of moving averages alone: its game on vectors as they come, and what is remembered."""

    def __init__(self, vectors: Tensor, keep: float) -> None:
        self.it = type("Kept", (vq_vae.VQVAEMoving,), {"keep": keep})("smoke")
        self.book = self.it.book(vectors)
        self.dead = torch.zeros(len(vectors), dtype=torch.bool)
        self.game = mm.Game(lambda book, batch: self.it.codebook_loss(same, book, None, batch))

    def play(self, method: mm.GameOptimizer, batches: list[Tensor]) -> None:
        players = (self.book,)
        state = method.init(self.game, players)
        for k, z in enumerate(batches):
            batch = {"real": z, "dead": self.dead, "order": torch.randperm(len(z), generator=stream(100, k))}
            for _ in range(3):  # as often as one likes
                self.game.losses(players, batch)
            players, state, _ = method.step(self.game, players, state, batch)
            self.dead = self.it.remember(None, (None, *players), batch)["dead"]
        (self.book,) = players

    @property
    def vectors(self) -> Tensor:
        return self.it.vectors(self.book)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_averages_that_forget_at_once_are_a_step_of_lloyd(seed: int) -> None:
    z = torch.randn(300, 3, generator=stream(seed), dtype=F64)
    alone = Alone(z[:7], keep=0.0)
    alone.play(mm.SimultaneousGDA(mm.sgd(1.0)), [z])
    lloyd = KMeans(7, init=z[:7].numpy(), n_init=1, max_iter=1, algorithm="lloyd").fit(z.numpy())
    torch.testing.assert_close(alone.vectors, torch.from_numpy(lloyd.cluster_centers_))


def test_averages_are_those_of_the_source() -> None:
    keep, z = 0.9, torch.randn(4, 50, 2, generator=stream(100), dtype=F64)
    alone = Alone(z[0, :5], keep)
    n, m = alone.book["count"], alone.book["sum"]
    for batch in z:
        words = brute(batch, m / n[:, None])
        said = torch.eye(5, dtype=F64)[words]
        n, m = keep * n + (1 - keep) * said.sum(0), keep * m + (1 - keep) * said.T @ batch
    alone.play(mm.SimultaneousGDA(mm.sgd(1 - keep)), list(z))
    torch.testing.assert_close(alone.book["count"], n)
    torch.testing.assert_close(alone.book["sum"], m)


def used(book: Tensor, size: int = 20_000) -> float:
    """The share of the words that so many normal vectors say."""
    words = torch.cat([_codes.nearest(z, book) for z in torch.randn(size, book.shape[1]).split(1000)])
    return len(words.unique()) / len(book)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_words_that_nobody_says_start_afresh_under_any_method(method: Any) -> None:
    """512 of them, all near 0 at first, on 20 batches of 100 normal vectors: of a peer's 79 are ever said."""
    alone = Alone((2 * torch.rand(512, 8) - 1) / 512, keep=0.95)
    batches = list(torch.randn(20, 100, 8))
    alone.play(resolve(method, vq_vae.Recipe(mm.sgd(0.05))).build(20), batches)
    assert used(alone.vectors) >= 0.9
    assert alone.vectors.norm(dim=1).max() <= 1.01 * torch.cat(batches).norm(dim=1).max()


def test_a_dead_word_starts_at_a_vector_of_the_batch() -> None:
    """As many as there are vectors, each at another one."""
    z, live = (5 + 0.1 * torch.randn(count, 3, dtype=F64) for count in (10, 40))
    alone = Alone(live, keep=0.95)
    alone.dead = torch.arange(40) % 2 == 1
    alone.book["count"][alone.dead], alone.book["sum"][alone.dead] = 0, 0
    alone.play(mm.SimultaneousGDA(mm.sgd(0.05)), [z])
    back = alone.vectors[1::2]
    said = torch.cdist(back, z).min(1)
    assert (said.values[:10] < 1e-9).all() and len(said.indices[:10].unique()) == 10
    assert (back[10:] == 0).all()
    assert torch.equal(alone.dead[1::2], torch.arange(20) >= 10)


def test_perplexity_and_dead_words() -> None:
    assert _codes.perplexity(torch.arange(64).view(4, 4, 4) % 16, 16) == pytest.approx(16)
    assert _codes.perplexity(torch.zeros(4, 4).long(), 16) == pytest.approx(1)
    it = vq_vae.VQVAE("smoke")
    encoder, book, decoder = it.players(100)
    with torch.no_grad():
        found = it.evaluate(View((encoder, torch.cat((book[:1], book[1:] + 1e4)), decoder), None, 100))
    assert (found["perplexity"], found["dead"]) == (pytest.approx(1), len(book) - 1)
    # One word says nothing, and nothing is what it takes.
    assert found["words_nll"] == pytest.approx(0, abs=0.5)


def test_both_codebooks_start_alike() -> None:
    one, other = vq_vae.VQVAE("smoke"), vq_vae.VQVAEMoving("smoke")
    torch.testing.assert_close(one.players(100)[1], other.vectors(other.players(100)[1]))


def test_sse_counts_pixels_from_zero_to_one() -> None:
    it = vq_vae.VQVAE("smoke")
    encoder, book, _ = it.players(100)
    x = it.images.test
    black = it.evaluate(View((encoder, book, lambda e: torch.full((len(e), 1, 8, 8), -1.0)), None, 100))
    assert black["sse"] == pytest.approx(float(((x + 1) / 2).square().flatten(1).sum(1).mean()))
    patches = k_means_of_patches(it.images.train, x, 2, 32)
    assert 0.5 < float((x - patches).square().sum()) / len(x) / 4 < 0.62  # what the target is read against


# ------------------------------------------------------------------------------------------------------------ the prior


def generic(side: int, total: int) -> _writer.Writer:
    shapes = (side, side, total), (total + 1, total), (total + 1, total)
    return _writer.Writer(*(torch.randn(shape, generator=stream(100, k), dtype=F64) for k, shape in enumerate(shapes)))


def test_the_prior_is_a_distribution() -> None:
    every = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    assert generic(2, 3).nll(every).neg().exp().sum().item() == pytest.approx(1)


def test_the_prior_is_drawn_from_and_fitted() -> None:
    """Draws of a known prior have its entropy, and what is fitted to them says nearly as much of others as it does."""
    truth = generic(3, 4)
    every = torch.tensor(list(itertools.product(range(4), repeat=9))).view(-1, 3, 3)
    nll = torch.cat([truth.nll(part) for part in every.split(2**14)])
    entropy = float((nll * nll.neg().exp()).sum())
    drawn = truth.written(8000, stream(101))
    told = truth.nll(drawn)
    assert float(told.mean()) == pytest.approx(entropy, abs=4 * float(told.std()) / math.sqrt(len(told)))
    found, uniform = _writer.fitted(drawn[:2000], 4), 9 * math.log(4)
    gap = float(found.nll(drawn[2000:]).mean()) - float(told[2000:].mean())
    assert 0 <= gap < 0.03 * (uniform - entropy)


def test_errors_take_the_bits_of_how_often_they_are() -> None:
    known, asked = torch.tensor([[0.0, 1.0], [0.0, -1.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    shares = [(2 + 1 / 5) / 4, (2 + 1 / 5) / 4, (0 + 1 / 5) / 4, (0 + 1 / 5) / 4]
    assert vq_vae.coded(known, asked, 2) == pytest.approx(-sum(map(math.log, shares)) / 2)
    every = torch.cartesian_prod(*2 * (torch.arange(-2.0, 3.0),))
    total = sum(math.exp(-vq_vae.coded(known, one[None], 2)) for one in every)
    assert total == pytest.approx(1)


def test_the_images_come_back_from_errors() -> None:
    it = vq_vae.VQVAE("smoke")
    x, back = it.images.test, it.images.test.roll(1, 0) * 0.9
    grey = ((back + 1) / 2 * it.top).round() + it.errors(x, back).view_as(x)
    assert it.top == 16 and torch.allclose(2 * grey / it.top - 1, x)
