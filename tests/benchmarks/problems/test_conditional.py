import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks.problem import View
from benchmarks.problems.conditional import cgan, infogan


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
    loss = cgan.critic_loss(lambda noise: noise[:, 0], Best(), batch)
    assert loss.item() == pytest.approx(0.712633, abs=2e-5)
    assert torch.autograd.grad(loss, scale)[0].abs().item() < 1e-4


def test_conditional_samples_are_asked_for_by_class() -> None:
    cgan.ConditionalGAN.prepare(None, None, download=False)
    it = cgan.ConditionalGAN("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    assert scores["agreement"] > 0.99
    (floor,) = (floor.value for floor in it.floors() if floor.metric == "agreement")
    assert floor > 0.99
    assert it.evaluate(View(it.players(0), None, 0))["agreement"] < 0.3
