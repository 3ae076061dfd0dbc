"""The tokeniser: slopes of its losses, its weight, codebooks whose error is known, and its prior of words."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import minimax as mm
from benchmarks.problem import View
from benchmarks.problems.hybrids import tokeniser
from benchmarks.problems.hybrids._aae import distance, fooled, verdict

F64 = torch.float64


@pytest.fixture(scope="module")
def it() -> tokeniser.Tokeniser:
    tokeniser.Tokeniser.prepare(None, None, download=False)
    return tokeniser.Tokeniser("smoke")


def quantiles(count: int) -> Tensor:
    """So many numbers that stand for N(0, 1), one each for equal shares."""
    normal = Normal(torch.tensor(0.0, dtype=F64), torch.tensor(1.0, dtype=F64))
    return normal.icdf((torch.arange(count, dtype=F64) + 0.5) / count)


def played(words: int) -> tuple[Tensor, Tensor]:
    """Samples of N(0, 1), (n, 1, 1), and the codebook of so many numbers that play ends at."""
    x = quantiles(20_000)[:, None, None]
    game = mm.Game(lambda book: tokeniser.codebook_loss(lambda x: x, book, None, None, None, {"real": x}))
    start = torch.linspace(-1, 1, words, dtype=F64)[:, None]
    return x, mm.solve(game, (start,), mm.SimultaneousGDA(mm.sgd(0.5)), steps=400).players[0]


@pytest.mark.parametrize(("words", "error"), [(2, 0.363380), (4, 0.117482)])
def test_codebooks_of_a_gaussian_are_the_best_ones(words: int, error: float) -> None:
    x, book = played(words)
    assert tokeniser.missed(x, book).item() == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize(("words", "error"), [(2, 0.363380), (4, 0.117482)])
def test_a_decoder_that_fools_a_critic_of_image_and_words_has_twice_the_error(words: int, error: float) -> None:
    """It draws x' from all x of the word: a critic of (x, word) sees nothing, and E|x - x'|² is twice E|x - e|²."""
    x, book = played(words)
    cells = [cell for cell in (x[tokeniser.nearest(x, book)[:, 0] == k, 0, 0] for k in range(words)) if len(cell)]
    # All shifts of a cell: every x' is drawn as often as any other. E|x - x'|² = E|x|² + E|x'|² - 2 E x E x'.
    twice = sum(len(cell) * float(2 * (cell.square().mean() - cell.mean() ** 2)) for cell in cells) / len(x)
    assert twice == pytest.approx(2 * error, abs=2e-4)
    one = cells[0][:200]
    shifts = [2 * distance(one[:, None], one.roll(s)[:, None]) for s in range(len(one))]
    assert torch.stack(shifts).mean().item() == pytest.approx(2 * float(one.var(correction=0)))
    weight = torch.zeros(2, dtype=F64, requires_grad=True)  # a critic of the cell's moments
    loss = verdict(lambda x: torch.stack((x, x * x), dim=1) @ weight, one, one.roll(7))
    assert torch.autograd.grad(loss, weight)[0].abs().max() < 1e-12


def test_encoder_moves_along_the_slope_at_the_word() -> None:
    """∇R(e) + ½(z - e), e the nearest word; and at z = e the loss is R(e)."""
    torch.manual_seed(0)
    dec = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    z = torch.randn(3, 2, 3, dtype=F64, requires_grad=True)
    book, batch = torch.randn(4, 3, dtype=F64), {"real": torch.randn(3, 4, dtype=F64)}

    def loss(z: Tensor) -> Tensor:
        return tokeniser.encoder_loss(lambda x: z, book, dec, None, None, batch)

    e = book[tokeniser.nearest(z, book)].requires_grad_()
    brute = torch.tensor([[int((v - book).norm(dim=1).argmin()) for v in row] for row in z])
    assert torch.equal(e, book[brute])
    error = distance(batch["real"], dec(e))
    slope = torch.autograd.grad(error, e)[0] + 0.5 * (z - e) / len(z)
    torch.testing.assert_close(torch.autograd.grad(loss(z), z)[0], slope)
    assert loss(e).item() == pytest.approx(error.item())


def test_weight_gives_the_critic_the_length_of_the_reconstruction(it: tokeniser.Tokeniser) -> None:
    """After its step w |∇S| = |∇R| |∇S| / (|∇S| + δ) in the last matrix; the gradients are autograd's."""
    players, batch = it.players(0), it.batch(0, 0)
    enc, book, dec, d, w = players
    game, z = it.game().functional(players)
    moved = w - game.gradient(z, 4, batch)
    back = dec(book[tokeniser.nearest(enc(batch["real"]), book)])
    r, g = (
        torch.autograd.grad(loss, dec.last.weight, retain_graph=True)[0].norm()
        for loss in (distance(batch["real"], back), fooled(d, back))
    )
    torch.testing.assert_close(moved * g, r * g / (g + tokeniser.SMALL))
    assert game.losses((*z[:4], moved), batch)[4].item() == pytest.approx(0, abs=1e-6)
    assert it.recipe.order is not None and it.recipe.order.index(4) < it.recipe.order.index(2)


def test_who_hears_the_critic(it: tokeniser.Tokeniser) -> None:
    """Nobody at first; then the decoder, as far as the weight lets it; encoder and codebook never."""
    players = it.players(0)
    early, late = it.batch(0, 0), it.batch(0, it.preset.steps)
    assert (float(early["heard"]), float(late["heard"])) == (0.0, 1.0)
    game, z = it.game().functional(players)
    moved = {name: leaf + 0.1 for name, leaf in z[3].items()}
    for batch, weight, hears in ((early, 1.0, False), (late, 0.0, False), (late, 1.0, True)):
        w = torch.tensor(weight)
        one, other = (game.losses((*z[:3], critic, w), batch) for critic in (z[3], moved))
        assert [not torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True)] == [False, False, hears]


def test_the_plain_one_never_hears_the_critic() -> None:
    plain = tokeniser.TokeniserPlain("smoke")
    assert {float(plain.batch(0, draw)["heard"]) for draw in range(2 * plain.preset.steps)} == {0.0}


def test_words_follow_one_another_as_they_do_in_the_data() -> None:
    words = torch.tensor([[0, 1, 2], [0, 1, 0], [0, 2, 2], [1, 1, 0]])
    found = tokeniser.chain(words, 3, 40_000, torch.Generator().manual_seed(0))
    assert (found[:, 0] == 0).double().mean().item() == pytest.approx(0.75, abs=0.01)
    pairs = {tuple(pair) for pair in found[:, 1:].tolist()}
    assert pairs == {(1, 2), (1, 0), (2, 2)}
    after = found[found[:, 1] == 1][:, 2]
    assert (after == 2).double().mean().item() == pytest.approx(1 / 3, abs=0.01)
    assert (found[found[:, 0] == 0][:, 1] == 1).double().mean().item() == pytest.approx(2 / 3, abs=0.01)


def test_perplexity_counts_words(it: tokeniser.Tokeniser) -> None:
    """One word for all: 1, and the others are dead; every word as often: as many as there are."""
    enc, book, *rest = it.players(0)
    total = len(book)
    same = it.evaluate(View((enc, torch.cat((book[:1], book[1:] + 1e4)), *rest), None, 0))
    assert same["perplexity"] == pytest.approx(1.0) and same["dead"] == total - 1
    count = 100 * total
    shares = tokeniser.counts(torch.arange(count) % total, total) / count
    assert math.exp(-float((shares * shares.log()).sum())) == pytest.approx(total)
