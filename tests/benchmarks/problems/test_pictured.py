"""What the pictures of problems show, read back from their pixels or from the noise that generators are given."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import pictures
from benchmarks.networks import Applied
from benchmarks.pictures import Picture
from benchmarks.problem import Problem, View
from benchmarks.problems import discover
from benchmarks.problems._images import COMPANY, arc, compared

KINDS = {name: found.kind for name, found in discover().items()}


def made(name: str, preset: str = "smoke") -> Any:
    KINDS[name].prepare(None, None, download=False)
    return KINDS[name](preset)


def pictured(problem: Problem, players: tuple[Any, ...]) -> pictures.Picture:
    """The one picture that a problem takes."""
    (picture,) = problem.pictures(View(players, None, 0)).values()
    assert isinstance(picture, Picture)
    return picture


def rows(picture: Picture) -> dict[str, np.ndarray]:
    """The rows of images by what they are called; of those of one name, the last."""
    return dict(zip(picture.rows, np.split(picture.array, len(picture.rows)), strict=True))


def noises(take: Callable[[Callable[[Tensor], Tensor], int], Picture]) -> Tensor:
    """What a generator is given for a picture, less the company."""
    given: list[Tensor] = []

    def generate(noise: Tensor) -> Tensor:
        given.append(noise)
        return noise.new_zeros(len(noise), 1, 8, 8)

    take(generate, 3)
    (noise,) = given
    return noise[:-COMPANY]


def test_an_arc_keeps_the_law_of_the_noise() -> None:
    """Cov(cos φ a + sin φ b) = (cos² φ + sin² φ) I; a straight line would halve it in the middle."""
    a, b = torch.randn(2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    way = arc(a, b, 5).double()
    torch.testing.assert_close(way[:, 0], a)
    torch.testing.assert_close(way[:, -1], b, atol=1e-6, rtol=0)
    torch.testing.assert_close(way[:, 2], (a + b) / math.sqrt(2), atol=1e-6, rtol=0)
    weights = arc(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 7)[0]
    torch.testing.assert_close(weights.square().sum(1), torch.ones(7))


@pytest.mark.parametrize("name", ["nsgan", "infogan", "cgan", "acgan"])
def test_interpolations_go_from_noise_to_noise_and_keep_the_codes(name: str) -> None:
    problem = made(name)
    latent = problem.option["latent"]
    way = noises(problem.interpolated).unflatten(0, (8, 8))
    z, codes = way[..., :latent], way[..., latent:]
    torch.testing.assert_close(z, arc(z[:, 0], z[:, -1], 8), atol=1e-5, rtol=0)
    assert bool((codes == codes[:, :1]).all()) and len(z[:, 0].unique(dim=0)) == len(z[:, -1].unique(dim=0)) == 8
    assert name == "nsgan" or len(codes[:, 0].unique(dim=0)) > 1


@pytest.mark.parametrize("uniform", [0, 1])
def test_traversals_move_one_code_at_a_time(uniform: int) -> None:
    problem = made("infogan")
    noise = noises(lambda generate, seed: problem.traversed(generate, seed, uniform)).unflatten(0, (10, 9))
    latent = problem.option["latent"]
    z, k, c = noise[..., :latent], noise[..., latent:-2], noise[..., -2:]
    assert bool((z == z[0, 0]).all())
    assert torch.equal(k, torch.eye(10)[:, None].expand(-1, 9, -1))
    assert torch.equal(c[..., uniform], torch.linspace(-2, 2, 9).expand(10, -1)) and not c[..., 1 - uniform].any()
    taken = problem.pictures(View(problem.players(0), None, 0))
    picture = taken[f"traversals-{uniform + 1}"]
    assert picture.array.shape == (90, 81) and picture.rows == tuple("0123456789")
    assert [float(word) for word in picture.columns[::2]] == [-2, -1, 0, 1, 2] and not any(picture.columns[1::2])


@pytest.mark.parametrize("name", ["cgan", "cgan-projection", "acgan"])
def test_classes_are_asked_for_row_by_row_from_the_same_noises(name: str) -> None:
    problem = made(name)
    noise = noises(problem.each).unflatten(0, (10, 8))
    assert torch.equal(noise[..., -10:].argmax(2), torch.arange(10)[:, None].expand(-1, 8))
    assert bool((noise[..., :-10] == noise[:1, :, :-10]).all()) and len(noise[0, :, :-10].unique(dim=0)) == 8
    picture, truth = problem.pictures(View(problem.players(0), None, 0))["classes"], problem.truths()["classes"]
    assert picture.array.shape == truth.shape and picture.rows == tuple("0123456789")


@pytest.mark.parametrize("name", ["cyclegan", "cyclegan-identity", "cyclegan-colours"])
def test_true_translations_equal_the_rows_of_the_truth(name: str) -> None:
    problem = made(name)
    shown = rows(pictured(problem, problem.perfect(0)))
    assert list(shown) == ["a", "a to b", "true b", "back to a", "b", "b to a", "true a", "back to b"]
    for given, other in ("ab", "ba"):
        for one, two in ((f"{given} to {other}", f"true {other}"), (f"back to {given}", given)):
            assert np.abs(shown[one].astype(int) - shown[two]).max() <= 1, (one, two)
        assert np.abs(shown[given].astype(int) - shown[f"{given} to {other}"]).max() > 10


@pytest.mark.parametrize(("name", "found"), [("pix2pix", "translated"), ("denoising", "denoised")])
def test_perfect_players_show_the_truth(name: str, found: str) -> None:
    problem = made(name)
    if name == "denoising":
        truth = problem.images.test
        perfect: tuple[Any, ...] = (lambda noisy: truth[: len(noisy)],)
    else:
        perfect = problem.perfect(0)
    shown, fresh = (rows(pictured(problem, players)) for players in (perfect, problem.players(0)))
    assert list(shown)[1:] == [found, "truth"]
    assert np.abs(shown[found].astype(int) - shown["truth"]).max() <= 1
    assert np.abs(fresh[found].astype(int) - fresh["truth"]).max() > 10


def test_images_are_compared_row_by_row() -> None:
    one, two = (torch.linspace(-1, 1, 4).reshape(4, 1, 1, 1).expand(4, 1, 2, 2) * sign for sign in (1, -1))
    picture = compared({"one": one, "two": two}, columns=2)
    assert picture.rows == ("one", "two", "one", "two")
    assert picture.array[::3, ::3].tolist() == [[0, 85], [255, 170], [170, 255], [85, 0]]


def test_each_interpolation_of_an_ensemble_is_by_one_generator() -> None:
    problem = made("bayesian-gan")
    players = problem.players(0)
    taken = problem.pictures(View(players, None, 0))["interpolations"]
    with torch.no_grad():
        alone, other = (problem.interpolated(net, 0) for net in players[0][:2])
    assert np.array_equal(taken.array, alone.array) and not np.array_equal(taken.array, other.array)


@pytest.mark.parametrize("name", ["nsgan", "sgan", "ali", "vae", "stacked-rp-r1", "infogan"])
def test_real_data_are_as_many_and_as_large_as_samples(name: str) -> None:
    problem = made(name)
    assert problem.truths()["samples"].shape == problem.pictures(View(problem.players(0), None, 0))["samples"].shape


@pytest.mark.parametrize(("name", "count"), [("ring8", 8), ("grid25", 25), ("particle-ring", 8)])
def test_the_modes_are_where_the_real_data_are(name: str, count: int) -> None:
    truths = made(name).truths()
    assert truths["modes"].shape == (count, 2)
    away = np.linalg.norm(truths["samples"][:, None] - truths["modes"], axis=2)
    assert away.min(axis=1).max() < 0.3 and set(away.argmin(axis=1)) == set(range(count))


def test_what_comes_back_was_translated_twice() -> None:
    """Translators that scale by a half and a quarter: what comes back is an eighth, whichever came first."""
    g = torch.nn.ModuleDict({"b": Applied(lambda x: x / 2), "a": Applied(lambda x: x / 4)})
    shown = rows(pictured(made("cyclegan"), (g,)))
    for given in "ab":
        there, back = (shown[name] / 127.5 - 1 for name in (given, f"back to {given}"))
        inside = np.abs(shown[given].astype(int) - 128) > 20  # the lines between images are grey
        assert np.abs(back - there / 8)[inside].max() < 0.02


def test_a_histogram_shows_the_share_of_every_class() -> None:
    """Bars as high as the counts, at half the height where there are as many as of any other class."""
    problem = made("nsgan", "cpu")
    shown = problem.drawn(problem.perfect(0)[0], 0)["histogram"]
    constant = Applied(lambda noise: problem.images.test[:1].expand(len(noise), -1, -1, -1))
    one = problem.drawn(constant, 0)["histogram"]
    heights, alone = (np.asarray(each.array).mean(0).reshape(10, -1)[:, 4] / 255 for each in (shown, one))
    assert np.abs(heights - 0.5).max() < 0.2 and heights.std() > 0
    assert sorted(alone) == [0] * 9 + [1] and alone.argmax() == int(problem.images.test_labels[0])
    broken = problem.drawn(Applied(lambda noise: torch.full((len(noise), 1, 8, 8), math.nan)), 0)["histogram"]
    assert not broken.array.any() and broken.columns == tuple("0123456789")
