"""What a type checker sees of the library: checked by tests/test_types.py, and never run."""

from typing import Any, Literal, assert_type

import torch
from torch import Tensor, nn

import minimax as mm
from minimax.types import Batch, Players, State

game = mm.zero_sum(lambda x, y: x * y)
pair = (torch.tensor(1.0), torch.tensor(1.0))
optimizer = mm.Averaging(mm.ExtraGradient(mm.sgd(0.1)))

solution = mm.solve(game, pair, optimizer)
assert_type(solution, mm.Solution[tuple[Tensor, Tensor]])
assert_type(solution.players, tuple[Tensor, Tensor])
assert_type(solution.answer, tuple[Tensor, Tensor])
assert_type(solution.state, State)
assert_type(solution.status.kind, Literal["converged", "budget", "diverged", "exhausted"])
solution.status.kind == "divergd"  # type: ignore[comparison-overlap]  # noqa: B015

for it in mm.iterate(game, {"x": pair[0], "y": pair[1]}, optimizer, lambda k: None):
    assert_type(it.players, dict[str, Tensor])
    assert_type(optimizer.answer(it.players, it.state), dict[str, Tensor])
    break

moved, state, info = optimizer.step(game, pair, optimizer.init(game, pair))
assert_type(moved, tuple[Tensor, Tensor])
assert_type(state, State)
assert_type(info, mm.Info)

assert_type(game.field(pair), tuple[Tensor, Tensor])
assert_type(game.jvp(pair, pair), tuple[Tensor, Tensor])
mm.diagnostics.jacobian(game, torch.tensor(1.0))  # type: ignore[arg-type]

networks = {"generator": nn.Linear(1, 1), "critic": nn.Linear(1, 1)}
trainer = mm.bind(game, networks, optimizer, ema=0.9)
assert_type(trainer, mm.Trainer[dict[str, nn.Linear]])
assert_type(trainer.modules, dict[str, nn.Linear])
assert_type(trainer.averaged(), dict[str, nn.Linear])
assert_type(trainer.answer(), dict[str, nn.Linear])
assert_type(mm.solve(game, networks, optimizer).players, dict[str, nn.Linear])

mm.solve(game, torch.tensor(1.0), optimizer)  # type: ignore[type-var]
mm.bind(game, nn.Linear(1, 1), optimizer)  # type: ignore[type-var]
mm.solve(game, pair, mm.sgd(0.1))  # type: ignore[arg-type]
mm.AlternatingGDA(0.1)  # type: ignore[arg-type]


def play_on(players: Players, batch: Batch) -> mm.Solution[Any]:
    return mm.solve(game, players, optimizer, [batch])
