"""The theory of benchmarks.studies.rates against the steps that the optimizers take."""

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import minimax as mm
from benchmarks.studies import rates
from minimax import games
from minimax.linear_maps import Expansion, radius
from minimax.optimizers import BY_NAME
from minimax.recording import ReadsNumbers

FIRST = ("simultaneous", "alternating", "extragradient", "averaging", "svre", "k-beam", "lookahead")
SECOND = ("consensus", "hamiltonian", "jare", "sga", "policy-prediction", "sos", "cgd", "nagarajan-kolter", "lola")
LEADER = ("unrolled", "follow-the-ridge", "stackelberg", "mehra-hamm")
PAIR = {"follow-the-ridge", "stackelberg", "value-function", "mehra-hamm"}  # of a leader and a follower alone
ANCHORED = ("halpern", "extra-anchored-gradient", "fast-extragradient")
MEMORY = ("optimistic", "past-extragradient", "value-function")
ADAPTIVE = ("golden-ratio", "anderson-mixing", "bome", "polyak-extragradient", "restarted")
H = 0.01

pytestmark = pytest.mark.usefixtures("float64")


@cache
def forms() -> dict[str, games.ClosedForm]:
    return {form.name: form for form in rates.closed_forms()}


def measured(form: games.ClosedForm, name: str, tiny: float = 1e-6) -> torch.Tensor:
    """The Jacobian of a step at the equilibrium: of a round of lookahead, of a late step of the anchored methods."""
    optimizer: Any = BY_NAME[name].of(mm.sgd(H), **({"spread": 0.0} if name == "k-beam" else {}))
    n, columns = [player.numel() for player in form.start], []
    for e in torch.eye(sum(n)):
        z = tuple(tiny * part.reshape(player.shape) for part, player in zip(e.split(n), form.equilibrium, strict=True))
        z = tuple(a + b for a, b in zip(z, form.equilibrium, strict=True))
        state = optimizer.init(form.game, z)
        if name in ANCHORED:
            state |= {"step": torch.tensor(10**9)}
        for _ in range(optimizer.k if name == "lookahead" else 1):
            z, state, _ = optimizer.step(form.game, z, state)
        moved = [(a - b).reshape(-1) / tiny for a, b in zip(z, form.equilibrium, strict=True)]
        columns.append(torch.cat(moved))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("name", (*FIRST, *SECOND, *LEADER, *ANCHORED))
def test_predicted_steps_are_those_that_are_taken(name: str) -> None:
    """On every game, up to what does not show in the residual (motion along a line of equilibria)."""
    for game, form in forms().items():
        at = rates.local(form)
        predicted = at if isinstance(at, str) else BY_NAME[name].of(mm.sgd(H)).linear(at)
        if isinstance(at, str) or isinstance(predicted, str):
            continue  # see the next test
        step = measured(form, name)
        np.testing.assert_allclose(at.J @ step, at.J @ predicted.matrix, atol=1e-6, err_msg=game)
        factor, law = rates.theory(at, BY_NAME[name].of(mm.sgd(H)))
        if law.startswith("linear"):
            root = 0.2 if name == "lookahead" else 1
            assert radius(step, at.J) ** root == pytest.approx(factor, abs=1e-6), game
        else:
            assert name in ANCHORED and law == "O(1/k)" and radius(step, at.J) < 1 + 1e-6, game


def test_whatever_has_no_factor_says_why() -> None:
    other = {"linear", "linear; its mean O(1/k)", "O(1/k)"}
    found: dict[str, set[tuple[str, str]]] = {}
    for game, form in forms().items():
        at = rates.local(form)
        for name, kind in BY_NAME.items():
            factor, law = rates.theory(at, kind.of(mm.sgd(H)))
            assert math.isnan(factor) != law.startswith("linear"), (game, name, law)
            if law not in other:
                found.setdefault(law, set()).add((game, name))
    assert found.pop("adaptive") == {(game, name) for game in forms() for name in ADAPTIVE}
    assert found.pop("sublinear: DF = 0") == {("monkey saddle", name) for name in BY_NAME if name not in ADAPTIVE}
    implicit = {"follow-the-ridge", "stackelberg"}
    assert found.pop("undefined: for two players") == {("cyclic", name) for name in PAIR}
    assert found.pop("undefined: J_yy is singular at the equilibrium") == {("Dirac-GAN", name) for name in implicit}
    moves = {("tandem", name) for name in ("lola", "unrolled", "stackelberg", "value-function", "mehra-hamm")}
    assert found.pop("undefined: the equilibrium is not its fixed point") == moves
    flat = ("bilinear", "cyclic", "Dirac-GAN", "linear-quadratic GAN", "matching pennies", "rock paper scissors")
    curved = ("Dirac-GAN", "Dirac-GAN, R1", "Dirac-NSGAN, R1", "hidden minimax", "spurious point")  # there or nearby
    assert found.pop("undefined: a player is thrown out by its curvature") == {(game, "cesp") for game in curved}
    beams = {(game, "k-beam") for game in (*flat, "tandem", "spurious point")}
    assert found.pop("undefined: the candidates merge too slowly or never") == beams
    assert not found


def test_games_without_a_linear_part_say_so() -> None:
    assert rates.local(games.dirac_wgan_gp()) == "undefined: F has no derivative at the equilibrium"
    A = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    corner = games.bilinear(A)
    corner.game.constraints = (mm.projections.box(0.0, 1.0),) * 2
    assert rates.local(corner) == "undefined: the constraints bind at the equilibrium"


def test_where_shaping_moves_the_equilibrium() -> None:
    """What is called undefined for LOLA on tandem is: x + y = (1 - 2α)/(1 - 4α), far from the equilibria's 1."""
    form = forms()["tandem"]
    lost = rates.play(form, mm.LOLA(mm.sgd(0.05)), steps=300)
    assert lost["ended"] == "budget" and lost["rate"] == pytest.approx(1)


def test_a_zero_hessian_makes_leader_and_follower_simultaneous() -> None:
    form = forms()["linear-quadratic GAN"]
    at = rates.local(form)
    assert isinstance(at, Expansion)
    for name in ("follow-the-ridge", "stackelberg"):
        assert rates.theory(at, BY_NAME[name].of(mm.sgd(H))) == rates.theory(at, mm.SimultaneousGDA(mm.sgd(H)))
        np.testing.assert_array_equal(measured(form, name), measured(form, "simultaneous"))


@pytest.mark.parametrize(
    "name",
    (*MEMORY, "alternating", "extragradient", "averaging", "svre", "lookahead", "sos", "lola", "unrolled", "cgd"),
)
def test_runs_contract_as_predicted(name: str) -> None:
    form, optimizer = games.scsc(sigma=2.0), BY_NAME[name].of(mm.sgd(0.1))
    run = rates.play(form, optimizer, steps=1000)
    assert run["ended"] == "converged"
    assert run["rate"] == pytest.approx(rates.theory(rates.local(form), optimizer)[0], abs=0.01)


def test_a_beam_plays_as_one_candidate_if_it_merges_in_time() -> None:
    beam, merging, late = mm.KBeam(mm.sgd(0.1)), games.quadratic(0.2, 2.0, 1.0), games.quadratic(1.0, 2.0, 0.2)
    factor, law = rates.theory(rates.local(merging), beam)
    assert law == "linear" and rates.play(merging, beam, steps=500)["rate"] == pytest.approx(factor, abs=0.005)
    alone, _ = rates.theory(rates.local(late), mm.AlternatingGDA(mm.sgd(0.1)))
    assert math.isnan(rates.theory(rates.local(late), beam)[0])
    assert rates.play(late, beam, steps=1000)["rate"] == pytest.approx(1 - 0.1 * 0.2, abs=0.002) != alone


@pytest.mark.parametrize("name", ANCHORED)
def test_anchored_methods_are_of_first_order_in_the_step_and_grow_as_extragradient(name: str) -> None:
    run = rates.play(games.scsc(sigma=2.0), BY_NAME[name].of(mm.sgd(0.1)), steps=400)
    assert run["ended"] == "budget" and run["exponent"] == pytest.approx(-1, abs=0.01)
    away = games.quadratic(-6.0, 1.0, 2.0)
    factor, law = rates.theory(rates.local(away), BY_NAME[name].of(mm.sgd(0.02)))
    lost = rates.play(away, BY_NAME[name].of(mm.sgd(0.02)), steps=1000)
    T = lost["steps"]  # the residual grows as factorᵏ / k
    assert law == "linear" and lost["ended"] == "diverged"
    assert lost["rate"] * 2 ** (2 / T) == pytest.approx(factor, abs=0.002)


def test_costs_and_failures_are_told() -> None:
    form = games.bilinear()
    lost = rates.play(form, mm.SimultaneousGDA(mm.sgd(1.0)), steps=100)
    assert lost["ended"] == "diverged" and lost["rate"] == pytest.approx(math.sqrt(2))
    costly = rates.play(form, mm.ConsensusOptimization(mm.sgd(0.1)), steps=10)
    assert costly["ended"] == "budget" and costly["gradients"] == 10 * (2 + 4)


@pytest.mark.parametrize("name", BY_NAME)
def test_recorded_runs_are_the_same_to_the_last_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*args: Any) -> None:
        raise ReadsNumbers

    def runs() -> list[dict[str, Any]]:
        found = [rates.play(form, BY_NAME[name].of(mm.sgd(0.05)), steps=20) for form in (bound, curved)]
        return [{key: repr(value) for key, value in run.items()} for run in found]

    bound, curved = forms()["matching pennies"], forms()["Dirac-NSGAN, R1"]
    recorded = runs()
    monkeypatch.setattr(rates, "Recording", told)
    assert runs() == recorded


def test_slopes() -> None:
    assert rates.slope([0.5**k for k in range(20)]) == pytest.approx(math.log(0.5))
    assert rates.slope([1.0, *(k**-2.0 for k in range(1, 20))], of=np.log) == pytest.approx(-2)
    assert all(math.isnan(rates.slope(values)) for values in ([1.0], [1.0, 0.5], [1.0, 0.0], [1.0, 0.5, 0.0]))


def test_runs_begin_beside_the_start_and_inside_the_constraints() -> None:
    for form in forms().values():
        z = rates.beside(form)
        assert all(not torch.equal(a, b) for a, b in zip(z, form.start, strict=True)) or form.game.constraints
        oracle, point = form.game.enter(z)
        assert all(torch.allclose(oracle.project(i, z_i)[0], z_i[0]) for i, z_i in enumerate(point))


def test_the_table_has_an_exponent_only_where_the_law_is_a_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "closed_forms", lambda: [games.cyclic(3)])
    table = pd.DataFrame(rates.rows(steps=20)).set_index("optimizer")
    assert set(table.index[table.exponent.notna()]) == {*ANCHORED, "accelerated-reflected", "fast-optimistic"}
    assert set(table.index[table.ended == "undefined"]) == PAIR | {"bome"}
    assert table.law.notna().all()


def test_the_figure_marks_what_has_no_number() -> None:
    rows = [("a", "one", "converged", 10.0, 0.5, 0.5), ("a", "two", "diverged", 10.0, 2.0, 2.0)]
    rows += [("b", "one", "undefined", math.nan, math.nan, math.nan), ("b", "two", "converged", 30.0, 0.9, 0.8)]
    table = pd.DataFrame(rows, columns=["game", "optimizer", "ended", "gradients", "rate", "theory"])
    left, right = rates.draw(table).axes[:2]
    assert [text.get_text() for text in left.texts] == ["", "✗", "·", ""]
    assert [text.get_text().strip() for text in right.texts] == ["b, two"]
