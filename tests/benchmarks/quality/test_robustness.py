import pytest
import torch
from torch import Tensor, nn

from benchmarks.quality.robustness import attacked, robust_accuracy


class Line(nn.Module):
    """A linear classifier of two classes with logits ±wᵀx/2."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w, self.b = w, b

    def forward(self, x: Tensor) -> Tensor:
        score = (x.flatten(1) @ self.w + self.b) / 2
        return torch.stack((-score, score), dim=1)


def test_one_step_is_exact_on_a_linear_model() -> None:
    """The worst |δ| <= ε takes ε|w|₁ off the margin."""
    w, x = torch.tensor([1.0, -2.0, 0.5]), 0.3 + 0.4 * torch.rand(40, 3)
    net, y = Line(w, -0.1), torch.ones(40, dtype=torch.int64)
    worst = attacked(net, x, y, 0.1, torch.zeros_like(x), steps=1, rate=0.1)
    torch.testing.assert_close(x @ w - worst @ w, torch.full((40,), 0.1 * 3.5))


def test_robust_accuracy_of_a_linear_model_is_that_of_its_margins() -> None:
    w, x = torch.tensor([1.0, -2.0, 0.5]), 0.2 + 0.6 * torch.rand(500, 3)
    y = (x @ w > 0).long()
    margin = (x @ w).abs()
    expected = (margin > 0.1 * 3.5).double().mean().item()
    assert robust_accuracy(Line(w, 0.0), x, y, 0.1) == pytest.approx(expected)
    assert robust_accuracy(Line(w, 0.0), x, y, 0.0) == 1.0


def test_an_attack_stays_in_its_ball_and_in_the_picture() -> None:
    net, x, y = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), torch.rand(20, 1, 3, 3), torch.randint(3, (20,))
    worst = attacked(net, x, y, 0.15, 0.15 * torch.randn_like(x), steps=7, rate=0.1)
    assert (worst - x).abs().max() <= 0.15 + 1e-6 and worst.min() >= 0 and worst.max() <= 1


def test_what_counts_survives_every_attack() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 3))
    x, stream = torch.rand(400, 1, 3, 3), torch.Generator().manual_seed(0)
    y = net(x).argmax(1)
    survivors = []
    for _ in range(3):
        start = 0.3 * (2 * torch.rand(x.shape, generator=stream) - 1)
        worst = attacked(net, x, y, 0.3, start, steps=1, rate=0.75)
        survivors.append(net(worst).argmax(1) == y)
    for restarts in (1, 2, 3):
        kept = torch.stack(survivors[:restarts]).all(0)
        assert robust_accuracy(net, x, y, 0.3, steps=1, restarts=restarts) == kept.double().mean().item()
    assert torch.stack(survivors).all(0).sum() < min(kept.sum() for kept in survivors)
