import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.quality.margins import Hidden, linear_kept, linear_margins
from benchmarks.quality.robustness import (
    Reach,
    carlini_wagner,
    deepfool,
    entropy,
    fgsm,
    kept,
    logit_ratio,
    margin,
    masked,
    pgd,
    robust_accuracy,
)

pytestmark = pytest.mark.usefixtures("float64")

NORMS = pytest.mark.parametrize("norm", [2.0, math.inf])
DEAD = ([[1, 0], [-1, 0], [0, 1], [0, -1]], [-0.6, -0.8, -0.5, -1.2], [-1, -1, -2, -1], 0.5)


class Affine(nn.Module):
    """Logits Wx + b."""

    def __init__(self, W: Tensor, b: Tensor) -> None:
        super().__init__()
        self.W, self.b = W, b

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.W.T + self.b


def line(w: Tensor, b: float = 0.0) -> Affine:
    """Two classes, of which the second has the logit wᵀx + b, and the first 0."""
    return Affine(torch.stack((torch.zeros_like(w), w)), torch.tensor([0.0, b]))


def hidden(W: list[list[float]], c: list[float], v: list[float], d: float) -> Hidden:
    return Hidden(*(torch.tensor(each, dtype=torch.float64) for each in (W, c, v)), d)


def deep(classes: int = 3, inputs: int = 9) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, classes))


def free(radius: float, norm: float) -> Reach:
    return Reach(radius, norm, -math.inf, math.inf)


@NORMS
def test_one_step_is_exact_on_a_linear_model(norm: float) -> None:
    """The worst |δ|_p <= ε takes ε|w|_q off the margin, and nothing does worse."""
    w, x = torch.tensor([1.0, -2.0, 0.5]), torch.randn(40, 3)
    net, y = line(w, -0.1), torch.randint(2, (40,))
    sign = 2.0 * y - 1
    worst = fgsm(net, x, y, free(0.3, norm))
    dual = float(torch.linalg.vector_norm(w, 1 if norm == math.inf else 2))
    torch.testing.assert_close(sign * ((x - worst) @ w), torch.full((40,), 0.3 * dual))
    more = pgd(net, x, y, free(0.3, norm), free(0.3, norm).start(x, torch.Generator()), 30, 0.1)
    torch.testing.assert_close(sign * ((x - more) @ w), torch.full((40,), 0.3 * dual))


def test_robust_accuracy_of_a_linear_model_is_that_of_its_margins() -> None:
    w, x = torch.tensor([1.0, -2.0, 0.5]), 0.2 + 0.6 * torch.rand(500, 3)
    y = (x @ w > 0).long()
    share = ((x @ w).abs() > 0.1 * 3.5).double().mean().item()
    assert robust_accuracy(line(w), x, y, Reach(0.1)) == pytest.approx(share)
    share = ((x @ w).abs() > 0.1 * w.norm()).double().mean().item()
    assert 0 <= robust_accuracy(line(w), x, y, Reach(0.1, 2), steps=60) - share <= 0.005
    assert robust_accuracy(line(w), x, y, Reach(0.0)) == 1.0


@NORMS
def test_an_attack_stays_in_its_ball_and_in_the_picture(norm: float) -> None:
    net, x, y = deep(), torch.rand(30, 1, 3, 3), torch.randint(3, (30,))
    reach = Reach(0.4, norm)
    start = reach.start(x, torch.Generator().manual_seed(0))
    for worst in (x + start, fgsm(net, x, y, reach), pgd(net, x, y, reach, 3 * start, 7, 0.2)):
        far = torch.linalg.vector_norm((worst - x).flatten(1), norm, dim=1)
        assert far.max() <= 0.4 + 1e-12 and worst.min() >= 0 and worst.max() <= 1


@NORMS
def test_starts_fill_the_ball(norm: float) -> None:
    x = torch.zeros(20_000, 2)
    δ = free(0.5, norm).start(x, torch.Generator().manual_seed(0))
    inner = torch.linalg.vector_norm(δ, norm, dim=1) < 0.25
    assert inner.double().mean().item() == pytest.approx(0.25, abs=0.01)  # the share of the area


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([2.0, math.inf]), st.floats(0.05, 0.5))
def test_more_effort_never_keeps_more(seed: int, norm: float, radius: float) -> None:
    """Sample by sample: restarts, steps of one length, losses on top; and none that was wrong becomes right."""
    torch.manual_seed(seed)
    net, x, y = deep().double(), torch.rand(60, 1, 3, 3, dtype=torch.float64), torch.randint(3, (60,))
    reach, how = Reach(radius, norm), {"rate": radius / 4}
    one = kept(net, x, y, reach, 3, 1, **how)
    for more in (
        kept(net, x, y, reach, 3, 4, **how),
        kept(net, x, y, reach, 9, 1, **how),
        kept(net, x, y, reach, 3, 1, (entropy, margin, logit_ratio), **how),
    ):
        assert not bool((more & ~one).any())
    assert not bool((one & (net(x).argmax(1) != y)).any())


def test_the_worst_is_kept_of_every_sample_and_not_of_the_batch() -> None:
    """Two samples that two starts mislead one each are both lost, though no start loses both."""
    torch.manual_seed(1)
    net, x = deep(), torch.rand(400, 1, 3, 3)
    y, reach = net(x).argmax(1), Reach(0.3)
    stream = torch.Generator().manual_seed(0)
    survived = []
    for _ in range(3):
        worst = pgd(net, x, y, reach, reach.start(x, stream), 1, 0.75)
        survived.append(net(worst).argmax(1) == y)
    for restarts in (1, 2, 3):
        share = torch.stack(survived[:restarts]).all(0).double().mean().item()
        assert robust_accuracy(net, x, y, reach, steps=1, restarts=restarts) == share
    assert torch.stack(survived).all(0).sum() < min(each.sum() for each in survived)


def test_attacks_stay_above_what_is_exact() -> None:
    """Of linear classifiers of many classes in a box: no attack keeps fewer than are certain, nor many more."""
    W, b = 2 * torch.randn(5, 8), torch.randn(5)
    net, x = Affine(W, b), torch.rand(300, 8)
    y = net(x).argmax(1)
    for radius in (0.02, 0.1, 0.2):
        certain = linear_kept(W, b, x, y, radius)
        left = kept(net, x, y, Reach(radius), 30, 2, (entropy, margin))
        assert not bool((certain & ~left).any())
        assert (left & ~certain).double().mean() < 0.05


def test_a_corner_of_the_box_is_the_worst() -> None:
    """Certainty of linear classifiers by going through all corners."""
    W, b, x = torch.randn(3, 4), torch.randn(3), torch.rand(50, 4)
    y = (x @ W.T + b).argmax(1)
    low, high = (x - 0.2).clamp(min=0), (x + 0.2).clamp(max=1)
    corners = torch.cartesian_prod(*4 * [torch.tensor([0.0, 1.0])])
    at = low[:, None] + corners * (high - low)[:, None]
    held = ((at @ W.T + b).argmax(2) == y[:, None]).all(1)
    assert torch.equal(linear_kept(W, b, x, y, 0.2), held) and 0 < held.sum() < 50


def test_the_nearest_class_depends_on_the_norm() -> None:
    W, b = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]]), torch.tensor([0.0, -5.0, -5.7])
    x, y = torch.zeros(1, 2), torch.tensor([0])
    assert linear_margins(W, b, x, y, 2).item() == pytest.approx(5.7 / 6)
    assert linear_margins(W, b, x, y, math.inf).item() == pytest.approx(5 / 7)
    assert linear_margins(W, b, x, y, 1).item() == pytest.approx(5.7 / 6)  # 5/4 and 5.7/6
    assert linear_margins(W, b, x, torch.tensor([1]), 2).item() == pytest.approx(-5 / 5)


@NORMS
def test_deepfool_takes_the_shortest_way_out_of_linear_classes(norm: float) -> None:
    W, b, x = torch.randn(6, 10), torch.randn(6), torch.randn(80, 10)
    net = Affine(W, b)
    y = net(x).argmax(1)
    δ = deepfool(net, x, norm, overshoot=1e-6)
    far = torch.linalg.vector_norm(δ, norm, dim=1)
    torch.testing.assert_close(far, linear_margins(W, b, x, y, norm), rtol=1e-5, atol=1e-9)
    assert bool((net(x + δ).argmax(1) != y).all())


def test_a_small_network() -> None:
    net = hidden([[1, 1], [1, -1], [-2, 0.5]], [-0.5, 0.25, 0.75], [1, -2, 0.5], 0.3)
    x = torch.tensor([0.5, 0.9])
    assert net.distance(x) == pytest.approx(0.474342, abs=1e-6)
    assert net.distance(x, math.inf) == pytest.approx(0.375, abs=1e-9)
    assert net.interval_bound(x) == pytest.approx(0.25, abs=1e-9)
    assert deepfool(net, x[None], overshoot=0.0).norm().item() == pytest.approx(1.04, abs=1e-9)


def test_dead_units_hide_what_restarts_find() -> None:
    """No slope at 0: an attack from there never moves, the boundary is .75 away."""
    net, x, y = hidden(*DEAD), torch.zeros(1, 2), torch.tensor([1])
    assert net.distance(x[0]) == pytest.approx(0.75, abs=1e-9)
    assert torch.equal(fgsm(net, x, y, free(0.8, 2)), x)
    assert torch.equal(pgd(net, x, y, free(0.8, 2), torch.zeros(1, 2), 50, 0.1), x)
    assert not deepfool(net, x).any()
    assert [robust_accuracy(net, x, y, free(r, 2), restarts=40) for r in (0.74, 0.78)] == [1.0, 0.0]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([2.0, math.inf]))
def test_brute_force_lies_between_bounds_and_attacks(seed: int, norm: float) -> None:
    """Interval bound <= distance <= DeepFool, nothing drawn from within the distance changes the sign."""
    torch.manual_seed(seed)
    draw = torch.randn
    net = Hidden(draw(4, 2).double(), draw(4).double(), draw(4).double(), 0.5)
    x = draw(2).double()
    exact, sign = net.distance(x, norm), net(x[None])[0, 1] > 0
    if not math.isfinite(exact):
        return
    assert net.interval_bound(x) <= net.distance(x, math.inf) + 1e-9
    inside = x + free(exact * (1 - 1e-9), norm).start(torch.zeros(4000, 2).double(), torch.Generator())
    assert bool(((net(inside)[:, 1] > 0) == sign).all())
    δ = deepfool(net, x[None], norm)[0]
    if (net((x + δ)[None])[0, 1] > 0) != sign:
        assert torch.linalg.vector_norm(δ, norm) >= exact - 1e-9
    outside = x + free(exact * 1.2 + 1e-6, norm).start(torch.zeros(20_000, 2).double(), torch.Generator())
    assert bool(((net(outside)[:, 1] > 0) != sign).any()) or exact < 1e-9 or norm == 2


def test_carlini_and_wagner_need_their_price() -> None:
    """On a linear classifier it succeeds if and only if c >= 2f/|w|², at the distance f/|w|."""
    w, x, price = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.8, -0.3, 0.4]), 1.0
    shares = torch.tensor([0.8, 0.95, 1.05, 1.3])  # of the price, by samples that are as much nearer to the boundary
    x = x * (price * (w @ w) / 2 / (x @ w) / shares)[:, None]
    found = carlini_wagner(line(w), x, torch.ones(4).long(), price, 1500, 0.02, low=-math.inf, high=math.inf)
    assert torch.equal(found[:2], x[:2])
    torch.testing.assert_close((found - x).norm(dim=1)[2:], (x @ w)[2:] / w.norm(), rtol=0.02, atol=0)


def test_carlini_and_wagner_keep_to_the_picture_and_start_at_its_ends() -> None:
    w, x = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    net = line(w)
    found = carlini_wagner(net, x, torch.tensor([1, 0]), 20.0, 1000, 0.05)
    assert bool(found.isfinite().all()) and found.min() >= 0 and found.max() <= 1
    assert net(found).argmax(1).tolist() == [0, 1]
    for sample, end in zip(x, found, strict=True):
        assert (end - sample).norm().item() == pytest.approx(abs((sample @ w).item()) / w.norm().item(), rel=0.1)


def test_margins_are_to_the_runner_up() -> None:
    logits = torch.tensor([[-5.0, -2.0, -3.0], [-5.0, -2.0, -3.0], [1.0, 4.0, 2.0]])
    assert margin(logits, torch.tensor([1, 2, 0])).tolist() == [-1.0, 1.0, 3.0]
    shifted = logit_ratio(7 * logits + 3, torch.tensor([1, 2, 0]))
    torch.testing.assert_close(logit_ratio(logits, torch.tensor([1, 2, 0])), shifted)
    with pytest.raises(ValueError, match="three classes, got 2"):
        logit_ratio(logits[:, :2], torch.tensor([0, 1, 0]))


def test_masking_is_noticed() -> None:
    """A net whose slopes are rounded away looks robust to gradients, and is found out by another's."""
    torch.manual_seed(0)
    net, x = deep(), torch.rand(300, 1, 3, 3)
    y, reach = net(x).argmax(1), Reach(0.25)

    class Saturated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return net((20 * x).round() / 20)  # the same classes nearly everywhere, and no slope anywhere

    hiding = Saturated()
    assert robust_accuracy(hiding, x, y, reach, restarts=1) > robust_accuracy(net, x, y, reach, restarts=1) + 0.1
    assert masked(hiding, x, y, reach, net, restarts=1) > 0.1
    assert masked(net, x, y, reach, deep()) < 0.02


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Reach(-0.1), "^radius must be a number from 0 on, got -0.1"),
        (lambda: Reach(0.1, 1), "^norm must be 2 or inf, got 1"),
        (lambda: Reach(0.1, low=1.0, high=0.0), "^low must not exceed high, got low=1.0, high=0.0"),
        (lambda: linear_kept(*(torch.ones(1, 1),) * 3, torch.tensor([0]), -0.1), "^radius must be .* got -0.1"),
        (lambda: linear_margins(*(torch.ones(1, 1),) * 3, torch.tensor([0]), 0.5), "^norm must be at least 1, got 0.5"),
    ],
)
def test_what_makes_no_attack_is_refused(build, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build()
