import math

import pytest
import torch
from torch import nn

import minimax as mm
from benchmarks.problems.adversarial import dann, pgd
from benchmarks.testing import Run


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    dann.DANN.prepare(None, None, download=False)


def quantiles(mean: float, count: int = 20_001) -> torch.Tensor:
    """Points (count, 1) of N(mean, 1) that stand for equal shares of it."""
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), 1.0).icdf(u)[:, None]


@pytest.mark.parametrize(("δ", "value"), [(1.0, 0.581726), (2.0, 0.356316)])
def test_domain_critic_between_gaussians(δ: float, value: float) -> None:
    """Its least loss is log 2 - JSD, at the log ratio, which is linear with slope δ; it is right with Φ(δ/2)."""
    batch = {"source": quantiles(δ / 2), "target": quantiles(-δ / 2)}
    slope = torch.tensor(δ, dtype=torch.float64, requires_grad=True)
    loss = dann.domain_loss(nn.Identity(), nn.Identity(), lambda code: slope * code[:, 0], batch)
    assert loss.item() == pytest.approx(value, abs=2e-5)
    assert torch.autograd.grad(loss, slope)[0].abs().item() < 1e-4
    right = (batch["source"] > 0).double().mean().item()
    assert right == pytest.approx((1 + math.erf(δ / 2 / math.sqrt(2))) / 2, abs=1e-3)


def test_nobody_pays_for_another() -> None:
    it = dann.DANN("smoke")
    game, players = it.game(), it.players(0)
    batch = it.batch(0, 0)
    label, domain = (loss(*players, batch) for loss in (dann.label_loss, dann.domain_loss))
    assert [loss.item() for loss in game.losses(players, batch)] == pytest.approx(
        [(label - domain).item(), label.item(), domain.item()], rel=1e-5
    )


def test_adapting_beats_the_source_alone() -> None:
    it = dann.DANN("cpu")
    floors = {floor.what: floor.value for floor in it.floors()}
    run = Run(it, mm.AlternatingGDA(it.recipe.rule, steps=it.recipe.steps, order=it.recipe.order))
    for _ in range(300):
        run.step()
    scores = it.evaluate(run.view)
    assert floors["source-only"] + 0.1 < scores["target_accuracy"] < floors["target-trained"]
    assert scores["source_accuracy"] > 0.9


def test_target_is_the_source_moved_down() -> None:
    images = dann.DANN("smoke").images.test
    assert torch.equal(dann.moved(images)[:, :, 1:], images[:, :, :-1])
    assert (dann.moved(images)[:, :, 0] == -1).all()


class Moments:
    """½E_s(y - wᵀx)² + λ(v wᵀΔ - ½v²) with E_s xy = m, E_s xxᵀ = I + mmᵀ, E_s y² = 1, and the critic's -λ(...)."""

    m, Δ = torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([3.0, 0.0], dtype=torch.float64)

    def __init__(self, λ: float) -> None:
        self.λ = λ

    def game(self) -> mm.Game:
        def task(w: torch.Tensor) -> torch.Tensor:
            return 0.5 * (1 - 2 * w @ self.m + w @ w + (w @ self.m) ** 2)

        def critic(w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return self.λ * (v * (w @ self.Δ) - 0.5 * v**2)

        return mm.Game(lambda w, v: task(w) + critic(w, v), lambda w, v: -critic(w, v))

    def end(self, optimizer: mm.GameOptimizer, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        start = (torch.zeros(2, dtype=torch.float64), torch.zeros((), dtype=torch.float64))
        w, v = mm.solve(self.game(), start, optimizer, steps=steps).players
        return w, v


@pytest.mark.parametrize(
    ("λ", "w", "v", "limit"),
    [(1.0, (0.047619, 0.476190), 0.142857, 0.290847), (10.0, (0.005464, 0.497268), 0.016393, 0.013066)],
)
def test_moment_matching(λ: float, w: tuple[float, float], v: float, limit: float) -> None:
    moments = Moments(λ)
    found = moments.end(mm.AlternatingGDA(mm.sgd(0.05)), 1000)
    assert found[0].tolist() == pytest.approx(w, abs=1e-5) and found[1].item() == pytest.approx(v, abs=1e-5)
    for share, shrinks in ((0.97, True), (1.03, False)):
        ends = [moments.end(mm.SimultaneousGDA(mm.sgd(share * limit)), steps)[0] for steps in (200, 600)]
        early, late = ((end - torch.tensor(w, dtype=torch.float64)).norm() for end in ends)
        assert (late < early) == shrinks


def test_pgd_training_is_the_loop_that_one_would_write() -> None:
    it = pgd.PGD("smoke")
    run = Run(it, mm.SimultaneousGDA(it.recipe.rule))
    (net,) = it.players(0)
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(5):
        run.step()
        batch = it.batch(0, step)
        x, y, δ = batch["x"], batch["y"], batch["start"]
        low, high = (-x).clamp(min=-0.15), (1 - x).clamp(max=0.15)
        δ = torch.minimum(torch.maximum(δ, low), high)
        for _ in range(10):
            δ = δ.detach().requires_grad_()
            nn.functional.cross_entropy(net(x + δ), y).backward()
            δ = torch.minimum(torch.maximum(δ + 0.0375 * δ.grad.sign(), low), high)
        adam.zero_grad()
        nn.functional.cross_entropy(net(x + δ.detach()), y).backward()
        adam.step()
    for ours, theirs in zip(run.view.players[0].parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_pgd_training_makes_robust_what_was_not() -> None:
    it = pgd.PGD("cpu")
    floors = {floor.metric: floor.value for floor in it.floors()}
    run = Run(it, mm.SimultaneousGDA(it.recipe.rule))
    for _ in range(150):
        run.step()
    scores = it.evaluate(run.view)
    assert floors["robust_accuracy"] < 0.1 and floors["accuracy"] > 0.95
    assert scores["robust_accuracy"] > floors["robust_accuracy"] + 0.4 and scores["accuracy"] > 0.85
