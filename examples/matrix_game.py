"""A constrained matrix game: mixed strategies on the simplex, and how exploitable they are."""

import torch

import minimax as mm

# Rock, paper, scissors, where a win with rock counts twice; the first player pays x @ A @ y.
A = torch.tensor([[0.0, 1.0, -2.0], [-1.0, 0.0, 1.0], [2.0, -1.0, 0.0]])
simplex = mm.projections.simplex()
game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex, simplex))
start = (torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))


def exploitability(players: tuple[torch.Tensor, torch.Tensor]) -> float:
    """What best answers gain: the largest entry of xA minus the smallest of Ay."""
    x, y = players
    return float((x @ A).max() - (A @ y).min())


for optimizer in (mm.SimultaneousGDA(mm.sgd(0.1)), mm.ExtraGradient(mm.sgd(0.1)), mm.OptimisticGDA(mm.sgd(0.1))):
    solution = mm.solve(game, start, optimizer, steps=2000, every=100)
    print(f"{optimizer.name:14} exploitability {exploitability(solution.players):.6f}")

x, y = solution.players
print("optimistic play found", x.tolist())
assert torch.allclose(x, torch.tensor([0.25, 0.5, 0.25]), atol=1e-3)  # paper half of the time
assert torch.allclose(x, y, atol=1e-3) and exploitability((x, y)) < 1e-3

# The same by gradient descent, which works for any game and knows nothing of matrices.
gap = mm.diagnostics.duality_gap(game, start, rule=mm.sgd(1.0))
assert abs(gap.total - exploitability(start)) < 1e-4
