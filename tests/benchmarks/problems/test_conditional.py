import pytest
import torch

from benchmarks.problems.conditional import infogan


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
