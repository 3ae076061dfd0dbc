"""A game of your own: two firms choose how much to produce (Cournot), each minimising minus its profit."""

import torch
from torch import Tensor

import minimax as mm


def price(x: Tensor, y: Tensor) -> Tensor:
    """What a unit sells for when x and y units are on the market."""
    return 10 - x - y


def first(x: Tensor, y: Tensor) -> Tensor:
    """Minus the profit of the first firm, whose units cost 1 each."""
    return -x * (price(x, y) - 1)


def second(x: Tensor, y: Tensor) -> Tensor:
    """Minus the profit of the second firm, whose units cost 2 each."""
    return -y * (price(x, y) - 2)


game = mm.Game(first, second)
solution = mm.solve(
    game,
    (torch.tensor(0.0), torch.tensor(0.0)),
    mm.ExtraGradient(mm.sgd(0.1)),
    steps=1000,
    limits=mm.Limits(tolerance=1e-5),
)
print(solution.status)
x, y = solution.players
print(f"x = {x:.4f}, y = {y:.4f}, price {price(x, y):.4f}")
print(mm.diagnostics.report(game, solution.players))

# Both first-order conditions, 9 - 2x - y = 0 and 8 - x - 2y = 0.
assert solution.status.kind == "converged"
assert abs(x - 10 / 3) < 1e-4 and abs(y - 7 / 3) < 1e-4
assert mm.diagnostics.classify(game, solution.players).kind == "local Nash"
assert mm.diagnostics.duality_gap(game, solution.players, rule=mm.sgd(0.1)).total < 1e-4
