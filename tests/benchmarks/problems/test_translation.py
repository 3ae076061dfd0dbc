import itertools
import math

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.networks import Applied
from benchmarks.problem import View
from benchmarks.problems.translation import cyclegan, denoising, modality, pix2pix


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    cyclegan.CycleGAN.prepare(None, None, download=False)


def test_domains_and_pool() -> None:
    it = cyclegan.CycleGAN("smoke")
    images = it.images.test[:16]
    assert torch.allclose(it.domains.back(it.domains.forth(images)), images, atol=1e-6)
    assert it.domains.forth(it.images.train).abs().max() <= 1
    players, memory = it.players(0), it.memory(0)
    assert memory is not None
    for draw in itertools.count():
        batch = it.batch(0, draw, memory)
        if batch["use_past"].any():
            break
        stored = it.remember(memory, players, batch)
        assert stored is not None and not all(torch.equal(stored[k], memory[k]) for k in memory)
        memory = stored
    assert int(memory["count"]) >= 50  # the pool shows nothing before it is full
    assert all(memory[k].flatten(1).abs().sum(1).min() > 0 for k in "ab")
    kept = it.remember(memory, players, batch)
    assert kept is not None
    changed = (kept["a"] != memory["a"]).flatten(1).any(1).nonzero().flatten().tolist()
    assert set(changed) <= set(batch["slot"][batch["store"]].tolist())


def test_perfect_translators_reach_the_ceiling() -> None:
    it = cyclegan.CycleGAN("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert scores["agreement"] == pytest.approx(floors["agreement", "real"]) and scores["agreement"] > 0.98
    assert scores["cycle_l1"] < 1e-5 and scores["truth_l1"] < 1e-5
    assert floors["agreement", "shuffled"] < 0.2 and floors["agreement", "untranslated"] < 0.3


def test_targets() -> None:
    assert {m.name: m.aim for m in cyclegan.CycleGAN("cpu").metrics if m.aim} == {
        "agreement": ">= 0.9",
        "cycle_l1": "<= 0.1",
    }
    assert not any(m.aim for m in cyclegan.CycleGANIdentity("cpu").metrics)


# ------------------------------------------------------------------------------------------------------------ CycleGAN


def symmetric_root(x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(x)
    return (vectors * values.sqrt()) @ vectors.T


def test_every_rotation_solves_cyclegan_between_gaussians() -> None:
    """G = Σ_B^½ Q Σ_A^-½ and back: what is translated has the other domain's covariance, and comes back."""
    one, two, turn = torch.randn(3, 3, 3, dtype=torch.float64).unbind()
    roots = [symmetric_root(x @ x.T + torch.eye(3)) for x in (one, two)]
    q, _ = torch.linalg.qr(turn)
    forth = roots[1] @ q @ roots[0].inverse()
    a, b = (torch.linalg.qr(torch.randn(50, 3, dtype=torch.float64))[0] * 50**0.5 @ root for root in roots)
    g = nn.ModuleDict({"b": Applied(lambda x: x @ forth.T), "a": Applied(lambda x: x @ forth.inverse().T)})
    fake = cyclegan.translated(g, {"a": a, "b": b})
    torch.testing.assert_close(fake["b"].T @ fake["b"], b.T @ b)
    torch.testing.assert_close(fake["a"].T @ fake["a"], a.T @ a)
    flat = nn.ModuleDict({k: Applied(lambda x: 0.5 + 0 * x) for k in "ab"})  # a critic that cannot tell
    loss = cyclegan.translator_loss(g, flat, {"real": {"a": a, "b": b}})
    assert loss.item() == pytest.approx(2 * 0.25, abs=1e-9)  # no cost of the cycle


@pytest.mark.parametrize(("p", "count"), [((0.25,) * 4, 24), ((0.5, 0.3, 0.2), 1)])
def test_permutations_that_keep_the_shares_solve_cyclegan(p: tuple[float, ...], count: int) -> None:
    """A random one of them is the null of agreement: on four equal points it is right once in four."""
    exact = [π for π in itertools.permutations(range(len(p))) if all(p[i] == p[j] for i, j in enumerate(π))]
    assert len(exact) == count
    points = torch.eye(len(p))
    right = 0.0
    for π in exact:
        forth = points[list(π)]
        g = nn.ModuleDict({"b": Applied(lambda x, f=forth: x @ f), "a": Applied(lambda x, f=forth: x @ f.T)})
        cycle = cyclegan.translated(g, cyclegan.translated(g, {"a": points, "b": points}))
        assert torch.equal(cycle["a"], points) and torch.equal(cycle["b"], points)
        right += sum(share for i, share in enumerate(p) if π[i] == i) / len(exact)
    assert right == pytest.approx(1.0 if count == 1 else 0.25)


def test_only_the_identity_loss_tells_kept_colours_from_swapped_ones() -> None:
    it = cyclegan.CycleGANColours("cpu")
    real = it.domains.tests(100)

    def solution(sign: int) -> nn.ModuleDict:
        forth, back = it.domains.forth, it.domains.back
        return nn.ModuleDict({"b": Applied(lambda x: sign * forth(x)), "a": Applied(lambda x: sign * back(x))})

    kept, swapped = solution(1), solution(-1)
    even = nn.ModuleDict({k: Applied(torch.square) for k in "ab"})  # the domains are symmetric, and so is their critic
    losses = [cyclegan.translator_loss(g, even, {"real": real}).item() for g in (kept, swapped)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert cyclegan.change(kept, real) < 0.5 * cyclegan.change(swapped, real)
    scores = [it.evaluate(View((g, None), None, 0))["agreement"] for g in (kept, swapped)]
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "agreement"}
    assert scores[0] == pytest.approx(floors["real"]) and scores[0] > 0.98
    assert sum(scores) / 2 == pytest.approx(floors["random-exact"])


# ------------------------------------------------------------------------------------------------------------- pix2pix


def chances(loss, one: float) -> Tensor:
    """What ŷ = 0 and ŷ = 1 cost G where P(y = 1) = .6, P(ŷ = 1) is given, and D is at its best."""
    p, q = torch.tensor([0.4, 0.6], dtype=torch.float64), torch.tensor([1 - one, one], dtype=torch.float64)
    ratio, truth = (p / q).log(), torch.tensor([0.0] * 4 + [1.0] * 6, dtype=torch.float64)

    def cost(y: float) -> Tensor:
        batch = {"a": 0 * truth, "b": truth}
        return loss(lambda a: torch.full_like(a, y), lambda a, b: ratio[b.long()], batch)

    return torch.stack([cost(0.0), cost(1.0)])


def minimax_loss(g, d, batch) -> Tensor:
    return -softplus(d(batch["a"], g(batch["a"]))).mean() + pix2pix.distance(g, batch)


def test_pix2pix_distance_moves_what_is_generated_to_the_median() -> None:
    """Of y in {0, 1} with P(1) = .6, at λ = 1 and minimax, P(ŷ = 1) = .688799: solved for equal costs."""
    found = brentq(lambda one: float(chances(minimax_loss, one).diff()), 0.01, 0.99)
    assert found == pytest.approx(0.688799, abs=1e-6)


def test_pix2pix_non_saturating_gives_the_median_alone_from_some_weight_on() -> None:
    """From λ = 5 log(8/3) on nothing but ŷ = 1 is made."""
    edge = 5 * math.log(8 / 3)
    for weight, alone in ((0.99 * edge, False), (1.01 * edge, True)):
        almost = 1 - 1e-9
        cost = chances(lambda g, d, batch, λ=weight: pix2pix.generator_loss(g, d, batch, λ), almost)
        assert (cost[1] < cost[0]) == alone


def test_pix2pix_hinge_is_exact_up_to_ten() -> None:
    """At q = p a critic in [-1, 1] can make both cost the same iff λ (.6 - .4) <= 2."""
    gap = pix2pix.distance(lambda a: a, {"a": torch.zeros(10), "b": torch.tensor([0.0] * 4 + [1.0] * 6)})
    assert 10 * float(gap - (1 - gap)) == pytest.approx(2.0, abs=1e-6)


def test_distances_are_least_at_median_and_mean() -> None:
    y = torch.tensor([0.0, 0.1, 0.2, 1.0, 3.0])
    at = torch.linspace(0, 3, 301)
    errors = torch.stack([pix2pix.distance(lambda a, c=c: a + c, {"a": 0 * y, "b": y}) for c in at])
    assert at[errors.argmin()].item() == pytest.approx(0.2, abs=1e-6)
    squares = (y - at[:, None]).square().mean(1)
    assert at[squares.argmin()].item() == pytest.approx(float(y.mean()), abs=6e-3)


@pytest.mark.parametrize(("downs", "field"), tuple(enumerate((7, 16, 34, 70, 142, 286))))
def test_patches_see_so_many_pixels(downs: int, field: int) -> None:
    critic = pix2pix.PairPatchCritic(2, 1, downs)
    side = 2 * field + 40 if downs < 4 else field + 2 ** (downs + 2)
    a = torch.rand(1, 1, side, side, requires_grad=True)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.fill_(1.0)  # no path cancels another
    logits = critic(a, torch.zeros_like(a))
    centre = logits.shape[-1] // 2
    (slope,) = torch.autograd.grad(logits[0, 0, centre, centre], a)
    assert int((slope[0, 0].abs().sum(0) > 0).sum()) == field


def test_reliefs_determine_their_images() -> None:
    it = pix2pix.Pix2Pix("cpu")
    x = it.images.test
    torch.testing.assert_close(pix2pix.cast(pix2pix.relief(x)), x)
    assert pix2pix.relief(x).abs().max() <= 1
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["agreement", "shuffled"] < 0.2 and floors["agreement", "untranslated"] < 0.6
    scores = it.evaluate(View(it.perfect(0), None, 0))
    assert scores["agreement"] == floors["agreement", "real"] > 0.98 and scores["truth_l1"] < 1e-6


# ----------------------------------------------------------------------------------------------------------- denoising


def test_low_dose_is_unbiased_with_the_variance_of_counts() -> None:
    """Of a count of mean d t, scaled to the image 2t - 1: variance 4 t/d."""
    x = torch.tensor([-1.0, -0.5, 0.0, 1.0]).repeat(200_000, 1)
    noisy = denoising.low_dose(x, torch.Generator().manual_seed(0))
    assert torch.equal(noisy[:, 0], x[:, 0])  # no light, no noise
    variance = 2 * (x[0] + 1) / denoising.DOSE
    torch.testing.assert_close(noisy.mean(0), x[0], atol=5 * (0.5 / 200_000) ** 0.5, rtol=0)
    torch.testing.assert_close(noisy.var(0), variance, atol=1e-6, rtol=0.02)


def test_denoising_is_read_against_what_takes_no_training() -> None:
    it = denoising.Denoising("cpu")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    for what in ("noisy", "blur", "mean"):
        assert floors["psnr", what] == pytest.approx(20 * math.log10(2 / floors["rmse", what]), rel=1e-5)
        assert floors["psnr", what] < 20
    x = it.images.test[: it.samples]
    expected = (2 * (x + 1) / denoising.DOSE).mean().sqrt()
    assert floors["rmse", "noisy"] == pytest.approx(float(expected), rel=0.02)


def test_denoising_moves_no_feature() -> None:
    it = denoising.Denoising("smoke")
    game = it.game()
    g, d = it.players(0)
    loss = denoising.generator_loss(
        lambda noisy: it.batch(0, 0)["real"], lambda x: 0 * x, it.batch(0, 0), it.classifier.net
    )
    assert loss.item() == pytest.approx(0.0, abs=1e-9)  # the truth has its own features
    game.field((g, d), it.batch(0, 0))
    assert all(weight.grad is None and not weight.requires_grad for weight in it.classifier.net.parameters())


# ------------------------------------------------------------------------------------------------------------ modality


def test_modalities_are_one_to_one() -> None:
    """c(1) = -1, c(-1) = 1, c(0) = -½; a pixel gives .15 to either side, twice; and all of it can be undone."""
    it = modality.ModalityTransfer("smoke")
    even = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for a, b in ((1.0, -1.0), (-1.0, 1.0), (0.0, -0.5)):
        torch.testing.assert_close(it.domains.forth(a * even), b * even)
    spot = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    spot[..., 0, 3] = 1.0
    blurred = it.domains.blurred(spot)[0, 0]
    rows = torch.tensor([0.7, 0.15, 0, 0, 0, 0, 0, 0.15], dtype=torch.float64)
    torch.testing.assert_close(blurred, rows[:, None] * rows.roll(3))
    images = it.images.test.double()
    torch.testing.assert_close(it.domains.back(it.domains.forth(images)), images, atol=1e-6, rtol=0)
    assert it.domains.forth(images).abs().max() <= 1 + 1e-12


def test_modality_floors_know_the_curve_and_no_blur() -> None:
    """Matching in the reversed order is the best that grey values alone can do, far above what is no translation."""
    it = modality.ModalityTransfer("cpu")
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "psnr"}
    others = [floors[what] for what in ("untranslated", "shuffled", "histogram")]
    assert floors["histogram-reversed"] > 3 + max(others)
    perfect = it.evaluate(View(it.perfect(0), None, 0))
    assert perfect["psnr"] > 60 + floors["histogram-reversed"] and perfect["truth_l1"] < 1e-4


def test_matching_histograms_undoes_every_rising_curve() -> None:
    x = torch.randn(4, 1, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(modality.matched(x, x.exp()[torch.randperm(4)]), x.exp())
    torch.testing.assert_close(modality.matched(-x, -x.exp()), -x.exp())


def test_psnr_by_hand() -> None:
    """An error of .2 everywhere is 20 dB of a range of 2, one of .02 40 dB."""
    real = {k: torch.zeros(2, 1, 4, 4) for k in "ab"}
    fake = {"a": real["a"] + 0.2, "b": real["b"] - 0.02}
    assert modality.psnr(fake, real) == pytest.approx(30.0)
