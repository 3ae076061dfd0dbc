"""A general-sum game of five players by name: each wants to be near its own goal and near its neighbour's choice."""

import torch

import minimax as mm

names = ["ada", "ben", "cho", "dee", "eli"]
goals = dict(zip(names, torch.linspace(-1, 1, 5), strict=True))
follow = 0.5


def losses(*choices: torch.Tensor) -> dict[str, torch.Tensor]:
    """All losses from one function; the neighbours sit around a circle."""
    return {
        name: (choices[i] - goals[name]) ** 2 + follow * (choices[i] - choices[i - 1]) ** 2
        for i, name in enumerate(names)
    }


game = mm.Game(losses)
start = {name: torch.tensor(0.0) for name in names}
# Two time scales: a rule per player.
rules = tuple(mm.sgd(0.05 if name == "ada" else 0.1) for name in names)
solution = mm.solve(game, start, mm.OptimisticGDA(rules), steps=500, limits=mm.Limits(tolerance=1e-6))
print(solution.status)
for name in names:
    print(f"{name}: goal {goals[name]:+.2f}, choice {solution.players[name]:+.4f}")

# At equilibrium (1 + follow) z_i - follow z_{i-1} = goal_i: a linear system.
A = (1 + follow) * torch.eye(5) - follow * torch.eye(5).roll(-1, 1)
exact = torch.linalg.solve(A, torch.stack(list(goals.values())))
found = torch.stack(list(solution.players.values()))
assert solution.status.ok and torch.allclose(found, exact, atol=1e-4)
rotation = mm.diagnostics.rotation(game, solution.players)
print(f"the game rotates: |A|/|S| = {rotation.ratio:.3f}")
assert 0 < rotation.ratio < 1
