"""The theory of benchmarks.rates against the steps that the optimizers take."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import minimax as mm
from benchmarks import rates
from minimax import games
from minimax.optimizers import BY_NAME

FIRST = ("simultaneous", "alternating", "extragradient")
SECOND = ("consensus", "hamiltonian", "jare", "sga", "lookahead-gradient", "cgd", "nagarajan-kolter", "lola")
STATELESS = (*FIRST, *SECOND, "follow-the-ridge", "stackelberg")
LINEAR = (games.bilinear, games.scsc, games.rotated_saddle, games.hidden_minimax)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("build", LINEAR)
@pytest.mark.parametrize("name", STATELESS)
def test_predicted_factors_are_those_of_the_step(name: str, build: "type[games.ClosedForm]") -> None:
    form, h, tiny = build(), 0.01, 1e-6
    n = [player.numel() for player in form.start]
    optimizer, columns = BY_NAME[name].of(mm.sgd(h)), []
    for e in torch.eye(sum(n)):
        z = tuple(tiny * part.reshape(player.shape) for part, player in zip(e.split(n), form.equilibrium, strict=True))
        z = tuple(a + b for a, b in zip(z, form.equilibrium, strict=True))
        after, _, _ = optimizer.step(form.game, z, optimizer.init(form.game, z))
        moved = [(a - b).reshape(-1) / tiny for a, b in zip(after, form.equilibrium, strict=True)]
        columns.append(torch.cat(moved).numpy())
    measured = float(np.abs(np.linalg.eigvals(np.stack(columns, 1))).max())
    predicted = rates.theory(form, name, h)
    if math.isnan(predicted):
        assert name in ("follow-the-ridge", "stackelberg") and build is games.bilinear
    else:
        assert measured == pytest.approx(predicted, abs=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["optimistic", "past-extragradient", "lookahead", "extragradient"])
def test_runs_contract_as_predicted(name: str) -> None:
    form = games.scsc(sigma=2.0)
    run = rates.play(form, BY_NAME[name].of(mm.sgd(0.1)), steps=1000)
    assert run["ended"] == "converged"
    assert run["rate"] == pytest.approx(rates.theory(form, name, 0.1), abs=0.02)


@pytest.mark.usefixtures("float64")
def test_costs_and_failures_are_told() -> None:
    form = games.bilinear()
    lost = rates.play(form, mm.SimultaneousGDA(mm.sgd(1.0)), steps=100)
    assert lost["ended"] == "diverged" and lost["rate"] == pytest.approx(math.sqrt(2))
    costly = rates.play(form, mm.ConsensusOptimization(mm.sgd(0.1)), steps=10)
    assert costly["ended"] == "budget" and costly["gradients"] == 10 * (2 + 4)


def test_the_figure_marks_what_has_no_number() -> None:
    rows = [("a", "one", "converged", 10.0, 0.5, 0.5), ("a", "two", "diverged", 10.0, 2.0, 2.0)]
    rows += [("b", "one", "undefined", math.nan, math.nan, math.nan), ("b", "two", "converged", 30.0, 0.9, math.nan)]
    table = pd.DataFrame(rows, columns=["game", "optimizer", "ended", "gradients", "rate", "theory"])
    shown = [text.get_text() for text in rates.draw(table).axes[0].texts]
    assert shown == ["", "✗", "·", ""]
