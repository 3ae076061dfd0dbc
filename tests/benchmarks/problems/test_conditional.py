import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from benchmarks.problem import View
from benchmarks.problems._images import EVALUATION
from benchmarks.problems.conditional import _asked, acgan, cgan, cgan_projection, infogan, sgan


def test_infogan_information_reaches_both_players() -> None:
    infogan.InfoGAN.prepare(None, None, download=False)
    it = infogan.InfoGAN("smoke")
    g, d = it.players(0)
    batch = it.batch(0, 0)
    category, uniform = infogan.codes(batch["noise"])
    assert torch.equal(category.sum(1), torch.ones(it.preset.batch)) and uniform.abs().max() <= 1
    # The rows of the last layer that make Q see a gradient from the critic's loss, and its trunk from the generator's.
    head = d.net[-1].weight
    (row,) = torch.autograd.grad(infogan.critic_loss(g, d, batch), head)
    assert row[1:].abs().sum() > 0
    told = infogan.ignorance(infogan.judged(d, g(batch["noise"]))[1], batch["noise"])
    assert torch.autograd.grad(told, g[0][0].weight)[0].abs().sum() > 0
    # Q that knows the codes leaves nothing to learn.
    known = torch.cat((1e3 * category, uniform), dim=1)
    assert infogan.ignorance(known, batch["noise"]).item() == pytest.approx(0.0, abs=1e-6)


def test_infogan_bound_of_a_uniform_code_wants_its_variance() -> None:
    """By quadrature over c, for the mean (1 - t)c + tc/2 of a Q that knows a part: the best variance is the error's."""
    c = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 5000 - 1

    def claimed(mean: Tensor, variance: float) -> float:
        return math.log(2) - math.log(2 * math.pi * variance) / 2 - float((c - mean).square().mean()) / (2 * variance)

    assert claimed(c, 1.0) == pytest.approx(-0.225791, abs=1e-6)  # unit variance, the code known
    assert claimed(0 * c, 1 / 3) == pytest.approx(-0.176485, abs=1e-6)  # -KL(U(-1, 1) || N(0, 1/3))
    for mean in (0 * c, 0.5 * c, 0.9 * c):
        error = (c - mean).square().mean()
        best = infogan.bound(error).item()
        assert claimed(mean, float(error)) == pytest.approx(best, abs=1e-9)
        assert max(claimed(mean, float(error) * factor) for factor in (0.9, 1.1)) < best


def test_infogan_reports_the_bound_of_what_its_critic_says() -> None:
    infogan.InfoGAN.prepare(None, None, download=False)
    it = infogan.InfoGAN("smoke")
    g, d = it.players(0)
    noise = it.noise(it.generator(0, EVALUATION), it.samples)
    with torch.no_grad():
        (_, means), (_, c) = infogan.codes(infogan.judged(d, g(noise))[1]), infogan.codes(noise)
    told = sum(math.log(2) - math.log(2 * math.pi * math.e * v) / 2 for v in (c - means).square().mean(0).tolist()) / 2
    assert it.evaluate(View((g, d), None, 0))["mi_continuous"] == pytest.approx(told, abs=1e-6)


def test_conditional_critic_at_its_best_is_the_log_ratio() -> None:
    """Real N(y, 1), fake N(-y, 1), y = ±1: D = log p/q = 2xy has the least loss, .712633, and slope 0 there."""
    u = (torch.arange(20_001, dtype=torch.float64) + 0.5) / 20_001
    x = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0).icdf(u)
    y = torch.tensor([0, 1]).repeat_interleave(len(x))
    sign = 2.0 * y - 1
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)

    class Best:
        classes = 2

        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            return scale * x * (y[:, 1] - y[:, 0])

    noise = torch.cat(((x.repeat(2) - sign)[:, None], one_hot(y, 2)), dim=1)
    batch = {"real": x.repeat(2) + sign, "labels": y, "noise": noise}
    loss = _asked.critic_loss(lambda noise: noise[:, 0], Best(), batch)
    assert loss.item() == pytest.approx(0.712633, abs=2e-5)
    assert torch.autograd.grad(loss, scale)[0].abs().item() < 1e-4


def test_conditional_samples_are_asked_for_by_class() -> None:
    cgan.ConditionalGAN.prepare(None, None, download=False)
    it = cgan.ConditionalGAN("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    assert scores["agreement"] > 0.99
    (real,) = (floor.value for floor in it.floors() if (floor.metric, floor.what) == ("agreement", "real"))
    assert real > 0.99
    assert it.evaluate(View(it.players(0), None, 0))["agreement"] < 0.3


SHARED = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]], dtype=torch.float64)
"""p(x|y) of the three points and two classes: the middle point belongs to both."""
POINTS = torch.eye(3, dtype=torch.float64)


def samples(p: Tensor) -> tuple[Tensor, Tensor]:
    """Points and classes (one-hot) in the shares p(x|y) / 2, which are whole numbers of thousandths."""
    counts = (1000 * p).round().long()
    x, y = (torch.tensor([(x, y) for y in range(2) for x in range(3)])[:, k] for k in (0, 1))
    counts = counts.flatten()
    return POINTS[x.repeat_interleave(counts)], one_hot(y.repeat_interleave(counts), 2).double()


def best_critic(p: Tensor, q: Tensor, classified: Tensor) -> Tensor:
    """Of every point, log p(x)/q(x) and the logarithms of the shares of the classes in `classified`."""
    ratio = p.sum(0).log() - q.sum(0).log()
    return torch.cat((ratio[:, None], (classified / classified.sum(0)).log().clamp(min=-50).T), dim=1)


def costs(loss, table: Tensor) -> Tensor:
    """What each point costs G where it is asked for class 0 and for class 1, (classes, points)."""

    def cost(x: int, y: int) -> Tensor:
        wanted = one_hot(torch.tensor([y]), 2).double()
        return loss(lambda noise: POINTS[[x]], lambda x: x @ table, {"noise": wanted})

    return torch.stack([torch.stack([cost(x, y) for x in range(3)]) for y in range(2)])


def minimax_loss(g, d, batch) -> Tensor:
    """AC-GAN's generator with L_S as it stands."""
    source, told = acgan.judged(d, g(batch["noise"]))
    return -softplus(source).mean() + cross_entropy(told, acgan.asked(batch["noise"], 2))


def conditionals(middle: float) -> Tensor:
    """q(x|y) of the mirror-symmetric generators, by the share of the middle point."""
    return torch.tensor([[1 - middle, middle, 0], [0, middle, 1 - middle]], dtype=torch.float64)


@pytest.mark.parametrize(("loss", "middle"), [(minimax_loss, 0.164218), (acgan.generator_loss, 0.1)])
def test_acgan_empties_what_classes_share(loss, middle: float) -> None:
    """With C of the data, G is at rest where both points of a class cost the same: solved for the middle's share."""

    def gap(share: float) -> float:
        cost = costs(loss, best_critic(SHARED, conditionals(share), SHARED))
        return float(cost[0, 1] - cost[0, 0])

    assert brentq(gap, 0.01, 0.9) == pytest.approx(middle, abs=1e-6)
    assert abs(gap(0.4)) > 0.1  # the data themselves are not at rest


def test_acgan_with_fakes_among_what_c_learns_from_forgets_a_class_at_its_best() -> None:
    """C of data and fakes, minimax: q = (.3, .2, .5) is at rest, and its critic the best that `critic_loss` knows."""
    q = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    table = best_critic(SHARED, q, SHARED + q)
    cost = costs(minimax_loss, table)
    assert cost[0, 0] == pytest.approx(cost[0, 1]) and cost[1, 2] < cost[1, 1]
    (real, known), (fake, wanted) = samples(SHARED), samples(q)
    table.requires_grad_()
    batch = {"real": real, "labels": known.argmax(1), "noise": wanted}
    slope = torch.autograd.grad(acgan.critic_loss(lambda noise: fake, lambda x: x @ table, batch), table)[0]
    assert slope.abs().max() < 1e-9


def test_hinge_leaves_acgan_exact() -> None:
    """Where q = p every D in [-1, 1] is at its best; one of them makes all points cost the same, as log 2 <= 2."""
    cost = -(SHARED / SHARED.sum(0)).log()[0, :2]  # of C alone
    d = cost - cost.mean()
    assert d.abs().max() < 1
    assert (-d + cost).diff().abs().item() < 1e-12


def test_projection_holds_a_ratio_that_a_linear_critic_does_not() -> None:
    """Real N(±1, 1), fake N(∓1, 1): max V = -.712633 with ⟨v_y, x⟩, and -log 4 with any linear map of [x, y]."""
    u = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    x = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0).icdf(u).repeat(2)
    y = torch.tensor([0, 1]).repeat_interleave(2000)
    sign = 2.0 * y - 1

    class Linear(nn.Module):
        classes = 2

        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(3, 1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.map(torch.cat((x, y), dim=1))[:, 0]

    noise = torch.cat(((x - sign)[:, None], one_hot(y, 2)), dim=1)
    batch = {"real": (x + sign)[:, None], "labels": y, "noise": noise}
    for critic, value in ((cgan_projection.ProjectionCritic(nn.Identity(), 1, 2), 0.712633), (Linear(), math.log(4))):
        critic.double()
        tight = torch.optim.LBFGS(critic.parameters(), max_iter=200, tolerance_grad=1e-10)

        def loss(critic=critic, tight=tight) -> Tensor:
            tight.zero_grad()
            value = _asked.critic_loss(lambda noise: noise[:, :1], critic, batch)
            value.backward()
            return value

        tight.step(loss)
        assert loss().item() == pytest.approx(value, abs=2e-4)


STILL = [torch.zeros(3, 1, 1)]
"""No noise on the inputs of a critic, for images that are known, real and generated."""


def sorter(logits: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A critic of sgan without layers that could take noise."""
    return lambda x, blur: logits(x)


def test_sgan_loss_is_cross_entropy_over_one_class_more() -> None:
    logits, y = torch.randn(50, 4, dtype=torch.float64), torch.arange(50) % 4
    s = logits.logsumexp(1)
    more = torch.cat((logits, torch.zeros(50, 1)), dim=1)
    parts = cross_entropy(logits, y) + softplus(-s).mean()
    torch.testing.assert_close(cross_entropy(more, y), parts)
    torch.testing.assert_close(cross_entropy(more, torch.full((50,), 4)), softplus(s).mean())
    batch = {"real": logits, "known": logits, "classes": y, "noise": logits[:7], "blur": STILL}
    loss = sgan.critic_loss(lambda noise: noise, sorter(lambda x: x), batch)
    supervised = cross_entropy(logits, y)
    unlabelled = 0.3 * (parts - supervised + softplus(s[:7]).mean() + sgan.entropy(logits).mean())
    torch.testing.assert_close(loss, supervised + unlabelled)


def sgan_slope(p: Tensor, q: Tensor, table: Tensor) -> Tensor:
    """The gradient of the critic's loss where p(x, k) has labels and all else, q(x) is generated; (points, classes)."""
    (real, known), (fake, _) = samples(2 * p), samples(torch.stack((2 * q, 0 * q)))
    batch = {"real": real, "known": real, "classes": known.argmax(1), "noise": fake, "blur": STILL}
    table = table.clone().requires_grad_()
    loss = sgan.critic_loss(lambda noise: noise, sorter(lambda x: x @ table), batch)
    return torch.autograd.grad(loss, table)[0]


def test_sgan_critic_at_its_best_is_the_log_ratio_where_classes_do_not_overlap() -> None:
    """There l_y = log p(x, y)/q(x), the other logit is -inf, and there is no entropy."""
    p = torch.tensor([[0.3, 0.2, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    best = (p / q).log().clamp(min=-50).T
    assert sgan_slope(p, q, best).abs().max() < 1e-12
    assert sgan_slope(p, q, best + 0.1).abs().max() > 1e-3


def test_sgan_entropy_sharpens_what_overlaps() -> None:
    """Softmax(l) = r rests where p(y|x) = r - .3 r (log r + H(r)), s where it did: r = .763484 for p = .7."""
    p = torch.tensor([[0.35, 0.1, 0.05], [0.15, 0.1, 0.25]], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)

    def sharpened(r: float) -> float:
        entropy = -r * math.log(r) - (1 - r) * math.log(1 - r)
        return r - 0.3 * r * (math.log(r) + entropy)

    r = torch.tensor([brentq(lambda r, y=y: sharpened(r) - y, 1e-9, 1 - 1e-9) for y in (p[0] / p.sum(0)).tolist()])
    assert r[0] == pytest.approx(0.763484, abs=1e-6)
    ratio = (p.sum(0) / q).log()
    best = torch.stack((r, 1 - r), dim=1).log() + ratio[:, None]
    assert sgan_slope(p, q, best).abs().max() < 1e-6
    assert sgan_slope(p, q, (p / q).log().T).abs().max() > 1e-2


def test_sgan_generator_asks_for_equal_means_and_no_more() -> None:
    real, fake = torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1)
    critic = sgan.Sorter(1, 1, 4, 2)
    critic.features = lambda x, blur: x
    batch = {"real": real, "noise": fake, "blur": STILL}
    assert sgan.generator_loss(lambda noise: noise, critic, batch) == 0
    assert sgan.generator_loss(lambda noise: noise, critic, {**batch, "noise": fake + 1}) == 1


def test_sgan_critic_takes_noise_at_every_layer_and_none_when_asked() -> None:
    critic = sgan.Sorter(1, 2, 3, 5)
    x, sizes = torch.randn(7, 1, 2, 2), (4, 3, 3)
    plain = critic(x)
    torch.testing.assert_close(critic(x, [torch.zeros(7, size) for size in sizes]), plain)
    torch.testing.assert_close(critic(0 * x, [x.flatten(1), torch.zeros(7, 3), torch.zeros(7, 3)]), plain)
    for layer in range(3):
        blur = [torch.full((7, size), float(i == layer)) for i, size in enumerate(sizes)]
        assert (critic(x, blur) - plain).abs().max() > 1e-4


def test_sgan_is_read_beside_its_supervised_twin() -> None:
    sgan.SemiSupervisedGAN.prepare(None, None, download=False)
    it = sgan.SemiSupervisedGAN("cpu")
    it.preset = replace(it.preset, steps=300)
    (x, y), (other, _) = it.known(0), it.known(1)
    assert y.bincount().tolist() == [10] * 10 and not torch.equal(x, other)
    batch = it.batch(0, 0)
    for blur, deviation in zip(batch["blur"], sgan.NOISE, strict=True):
        assert blur.std().item() == pytest.approx(deviation, rel=0.05)
    assert 0.85 < it.twin(0) < 0.97
    # A critic that nobody trained loses against the twin by what it misses.
    players = it.players(0)
    scores = it.evaluate(View(players, None, 0))
    assert scores["gain"] == pytest.approx(scores["accuracy"] - it.twin(0))
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "accuracy"}
    assert floors["supervised"] == pytest.approx(sum(map(it.twin, range(3))) / 3)
    assert 0.8 < floors["nearest"] < 0.93 and 0.8 < floors["logistic"] < 0.93
