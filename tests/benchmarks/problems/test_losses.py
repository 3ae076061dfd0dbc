"""A problem whose losses change gets another version, as that is what tells its finished runs from those to come.

`python -m tests.benchmarks.problems.test_losses` writes the losses of today to losses.json.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from benchmarks.problem import Problem
from benchmarks.problems import discover
from benchmarks.problems._images import ImageProblem

FILE = Path(__file__).parent / "losses.json"
KINDS = {name: found.kind for name, found in discover().items()}
COMMITTED: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
COMMAND = "python -m tests.benchmarks.problems.test_losses"


def today(kind: type[Problem]) -> dict[str, Any]:
    """The version and the losses on the first batch, smoke preset, seed 0."""
    kind.prepare(None, None, download=False)
    problem = kind("smoke")
    if isinstance(problem, ImageProblem):
        untrained(problem.classifier.net)
    game, players = problem.game().functional(problem.players(0))
    # Not at the first players, where many a critic is so flat that a penalty's weight could change unseen.
    players = pytree.tree_map(lambda leaf: 1.5 * leaf + 0.1, players)
    losses = game.losses(players, problem.batch(0, 0, problem.memory(0)))
    return {"version": kind.version, "losses": [float(f"{float(loss):.7g}") for loss in losses]}


def untrained(net: nn.Module) -> None:
    """Give a trained network, which comes out a little different on every kind of machine, the same weights on all."""
    for weight in net.parameters():
        weight.data = torch.arange(weight.numel()).sin().reshape(weight.shape) / 3


def compare(name: str, now: dict[str, Any], then: dict[str, Any]) -> None:
    if now["version"] != then["version"]:
        raise AssertionError(f"{name} has another version than {FILE.name} knows: run {COMMAND}.")
    assert now["losses"] == pytest.approx(then["losses"], rel=1e-4, abs=1e-7), (
        f"the losses of {name} were {then['losses']} and are {now['losses']}: if that is meant, add 1 to its version, "
        f"so that finished runs are not taken for runs of today, and run {COMMAND}."
    )


def kept(name: str, now: dict[str, Any]) -> dict[str, Any]:
    """What the file says, unless that has changed by more than rounding."""
    try:
        compare(name, now, COMMITTED[name])
    except (AssertionError, KeyError):
        return now
    return COMMITTED[name]


def test_the_file_knows_every_problem() -> None:
    assert KINDS.keys() == COMMITTED.keys(), f"run {COMMAND}."


@pytest.mark.parametrize("name", KINDS)
def test_losses_change_with_the_version_alone(name: str) -> None:
    compare(name, today(KINDS[name]), COMMITTED[name])


def test_a_change_without_another_version_is_told_what_to_do() -> None:
    then = {"version": 1, "losses": [1.0, 2.0]}
    compare("tiny", {"version": 1, "losses": [1.0, 2.0001]}, then)
    with pytest.raises(AssertionError, match="add 1 to its version"):
        compare("tiny", {"version": 1, "losses": [1.0, 2.01]}, then)
    with pytest.raises(AssertionError, match=f"run {COMMAND}"):
        compare("tiny", {"version": 2, "losses": [1.0, 2.01]}, then)
    with pytest.raises(AssertionError, match=f"run {COMMAND}"):
        compare("tiny", {"version": 2, "losses": [1.0, 2.0]}, then)


if __name__ == "__main__":
    entries = {name: kept(name, today(kind)) for name, kind in sorted(KINDS.items())}
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
