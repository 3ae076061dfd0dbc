"""Optimizers have one colour each, in the library's figures and in those of the benchmarks."""

import pytest

import minimax as mm
from benchmarks.reporting import looks as benchmarks_looks
from minimax.diagnostics import _looks
from minimax.optimizers import BY_NAME


@pytest.mark.parametrize("name", [*BY_NAME, "mine", "another"])
def test_an_optimizer_looks_as_in_the_benchmarks(name: str) -> None:
    there = benchmarks_looks.looks([name])[name]
    assert _looks.look(name) == (there.colour, there.dashes)


def test_paths_are_drawn_in_the_look_of_their_optimizer_whatever_they_are_called() -> None:
    game, rule = mm.zero_sum(lambda x, y: x * y), mm.sgd(0.1)
    drawn = {"slow": mm.OptimisticGDA(mm.sgd(0.05)), "fast": mm.compiled(mm.OptimisticGDA(rule)), "k": mm.JARE(rule)}
    ax = mm.diagnostics.draw_phase(game, {name: drawn[name] for name in ("slow", "k")}, points=3, steps=2)
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert (colours["slow"], colours["k"]) == (_looks.look("optimistic")[0], _looks.look("jare")[0])
    found = _looks.looks(drawn)
    assert found["slow"]["color"] == found["fast"]["color"] and found["slow"]["marker"] != found["fast"]["marker"]
