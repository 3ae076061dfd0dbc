import math

import pytest
import torch
from torch import nn

import minimax as mm
from benchmarks.pictures import Picture
from benchmarks.problem import View
from benchmarks.problems.adversarial import dann, filter_diabetes, free, pgd, trades
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


def test_targets_are_turned_and_clouded() -> None:
    images = dann.DANN("smoke").images.test
    quarter = dann.turned(images, 90.0)
    torch.testing.assert_close(quarter, images.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(dann.turned(dann.turned(images, 180.0), 180.0), images, atol=1e-5, rtol=0)
    clouds = dann.textured(-torch.ones_like(images))  # |0 - t|
    torch.testing.assert_close(dann.textured(torch.ones_like(images)), -clouds)  # |1 - t|
    assert clouds.min() >= -1 and clouds.max() <= 1 and clouds.flatten(1).std(0).min() > 0.1


def test_a_probe_finds_domains_that_were_not_aligned_and_none_where_there_are_none() -> None:
    it = dann.DANN("cpu")
    assert it.probed(nn.Sequential(nn.Flatten(), Codes(torch.eye(64)[:, 4:12]))) > 0.75  # the upper rows tell
    assert it.probed(nn.Sequential(nn.Flatten(), Codes(torch.zeros(64, 8)))) == pytest.approx(0.5, abs=1e-9)


class Codes(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


def test_a_beam_of_critics_plays() -> None:
    it = dann.DANN("smoke")
    run = Run(it, mm.KBeam(it.recipe.rule, candidates=3, spread=0.1, epsilon=0.01))
    before = it.evaluate(run.view)
    assert all(bool(run.step().finite) for _ in range(5)) and it.evaluate(run.view) != before


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
    assert scores["gain"] == pytest.approx(scores["robust_accuracy"] - floors["robust_accuracy"])
    # What is stronger keeps no more, sample by sample.
    assert scores["wider"] <= scores["robust_accuracy"] <= scores["pgd_accuracy"] <= scores["accuracy"]
    assert scores["robust_accuracy"] <= scores["fgsm_accuracy"] + 0.02 and scores["masked"] < 0.02


def test_trades_is_accuracy_and_steadiness() -> None:
    it = trades.TRADES("smoke")
    (net,), batch = it.players(0), it.batch(0, 0)
    δ = 0.1 * torch.randn_like(batch["x"])
    p, q = (net(x).softmax(1) for x in (batch["x"], batch["x"] + δ))
    kl = (p * (p / q).log()).sum(1).mean()
    assert trades.apart(net, δ, batch).item() == pytest.approx(kl.item(), rel=1e-3)
    plain = nn.functional.cross_entropy(net(batch["x"]), batch["y"])
    assert trades.loss(net, δ, batch).item() == pytest.approx((plain + 6 * kl).item(), rel=1e-4)
    assert trades.apart(net, torch.zeros_like(δ), batch).abs().item() < 1e-7


def test_free_training_is_the_loop_that_one_would_write() -> None:
    it = free.Free("smoke")
    run = Run(it, mm.SimultaneousGDA(it.recipe.rule))
    net, δ = it.players(0)
    adam, x, y = torch.optim.Adam(net.parameters(), 2e-3), it.images.train, it.images.train_labels
    seen = set()
    for step in range(10):
        run.step()
        i = it.batch(0, step)["i"]
        seen.add(tuple(i.tolist()))
        at = δ.clone().requires_grad_()
        adam.zero_grad()
        nn.functional.cross_entropy(net(x[i] + at[i]), y[i]).backward()
        assert at.grad is not None
        adam.step()
        δ = ((x + (δ + 0.15 * at.grad.sign()).clamp(-0.15, 0.15)).clamp(0, 1) - x).detach()
    assert len(seen) == 2  # eight replays each
    torch.testing.assert_close(run.players[1], δ, atol=1e-6, rtol=0)
    for ours, theirs in zip(run.view.players[0].parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_ball_holds_what_answers() -> None:
    it = pgd.PGDBall("smoke")
    batch = it.batch(0, 0)
    wild = it.limits(batch)(5 * torch.randn_like(batch["x"]))
    assert wild.flatten(1).norm(dim=1).max() <= 0.75 + 1e-5
    assert (batch["x"] + wild).min() >= -1e-6 and (batch["x"] + wild).max() <= 1 + 1e-6
    assert batch["start"].flatten(1).norm(dim=1).max() <= 0.75 + 1e-5


def test_a_filter_hides_sex_and_tells_of_the_disease() -> None:
    filter_diabetes.FilterDiabetes.prepare(None, None, download=False)
    it = filter_diabetes.FilterDiabetes("cpu")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    run = Run(it, mm.AlternatingGDA(it.recipe.rule, steps=it.recipe.steps, order=it.recipe.order), seed=100)
    for _ in range(300):
        run.step()
    scores = it.evaluate(run.view)
    assert floors["adversary", "features"] > 0.65 and floors["adversary", "majority"] < 0.55
    assert scores["adversary"] < floors["adversary", "features"] - 0.03 and scores["target_accuracy"] > 0.68


def test_adversaries_are_trained_anew() -> None:
    """A code that holds sex gives it away, whatever became of the co-trained adversary."""
    filter_diabetes.FilterDiabetes.prepare(None, None, download=False)
    it = filter_diabetes.FilterDiabetes("cpu")
    codes = [torch.randn(len(rows.s), filter_diabetes.CODE) for rows in it.rows]
    assert it.adversary(*codes) < 0.6
    for code, rows in zip(codes, it.rows, strict=True):
        code[:, 0] = 2.0 * rows.s - 1
    assert it.adversary(*codes) > 0.95
    for code, rows in zip(codes, it.rows, strict=True):  # what no linear one tells
        code[:, 0] = (2.0 * rows.s - 1) * code[:, 1].sign()
    assert it.adversary(*codes) > 0.8


def test_pictures_of_attacks_name_the_classes_told() -> None:
    it = pgd.PGD("smoke")
    shown = it.pictures(View(it.players(0), None, 0))
    gallery = shown["attacks"]
    assert isinstance(gallery, Picture) and gallery.rows == ("image", "added", "attacked") and len(gallery.columns) == 8
    assert gallery.array.shape[:2] == (3 * 9, 8 * 9)
    assert shown["radii"].about.startswith("trained, never attacked: radius from 0 to 0.3")
