"""Every optimizer with every kind of rule keeps the contract. A new optimizer is picked up by its export."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.testing import CHECKS

RULES = {
    "sgd": mm.sgd(0.05),
    "adam": mm.adam(0.01, betas=(0.5, 0.9)),
    "two rules": (mm.sgd(0.05, momentum=-0.3), mm.adam(0.01, amsgrad=True, weight_decay=0.1)),
    "torch": mm.from_torch(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9)),
}
VARIANTS = {
    "rmsprop": mm.SimultaneousGDA(mm.rmsprop(0.01)),
    "critic steps": mm.AlternatingGDA(mm.adam(0.01), steps=(1, 3), order=(1, 0)),
    "fresh critic steps": mm.AlternatingGDA(mm.sgd(0.05), steps=(2, 1), fresh=True),
    "fresh extragradient": mm.ExtraGradient(mm.adam(0.01), explore=2.0, fresh=True),
    "exploring past": mm.PastExtraGradient(mm.sgd(0.05), explore=2.0),
    "unbiased consensus": mm.ConsensusOptimization(mm.sgd(0.05), gamma=0.5, unbiased=True),
    "nested lookahead": mm.Lookahead(mm.Lookahead(mm.AlternatingGDA(mm.adam(0.01)), k=2), k=4, alpha=0.3),
    "exponential average": mm.Averaging(mm.OptimisticGDA(mm.sgd(0.05)), decay=0.9),
    "fresh batches inside": mm.Halpern(mm.ExtraGradient(mm.sgd(0.05), fresh=True)),
    "variable anchor": mm.ExtraAnchoredGradient(mm.sgd(0.05), variable=0.6),
    "comonotone": mm.FastExtraGradient(mm.sgd(0.05), rho=-0.2),
    "snapshot of two": mm.SVRE(mm.adam(0.01), iterations=1, snapshot=2),
    "extragradient with momentum": mm.ExtraGradient(mm.adam(0.01), momentum=-0.3),
    "fixed golden ratio": mm.GoldenRatio(mm.sgd(0.05), fixed=True),
    "contracting": mm.Halpern(mm.ExtraGradient(mm.sgd(0.05)), gamma=1.1),
    "moves of a beam": mm.KBeam(mm.adam(0.01), candidates=3, steps=2),
    "a series": mm.StackelbergGradient(mm.sgd(0.05), neumann=0.3, iterations=3, steps=2),
    "a series' term": mm.StackelbergGradient(mm.sgd(0.05), neumann=0.3, iterations=3, draw=lambda b: torch.tensor(0.6)),
    "truncated": mm.Unrolled(mm.adam(0.01), steps=2, truncate=1, warm=True),
    "truncated, inner": mm.Unrolled(mm.sgd(0.05), steps=2, truncate=1, inner=mm.adam(0.05), warm=True),
    "an envelope": mm.ValueFunction(mm.adam(0.01), moreau=0.7, steps=2),
    "damped penalty": mm.MehraHamm(mm.sgd(0.05), damping=0.3),
    "inner moves": mm.BOME(mm.sgd(0.05), steps=2, inner=mm.adam(0.05)),
}
# Fewer rounds of a loop show as much: that it carries on what the last round left.
LOOPS: dict[str, dict[str, int]] = {"unrolled": {"steps": 3}, "svre": {"iterations": 3}, "bome": {"steps": 3}}
# The compiler unrolls a solve, seconds an iteration.
SOLVES: dict[str, dict[str, int]] = {
    "cgd": {"iterations": 2},
    "cesp": {"iterations": 2},
    "follow-the-ridge": {"iterations": 2},
    "stackelberg": {"iterations": 2},
    "unrolled": {"steps": 2},
    "svre": {"iterations": 2},
}


def cases() -> list[Any]:
    """Every optimizer and check with two rules, and with one of the others in turn: all pairs, but not all triples.

    Only sgd has a linear map. Compiled it is once an optimizer: the rules are compiled in tests/rules.
    """
    found, others = [], [rule for rule in RULES if rule != "two rules"]
    for i, name in enumerate(BY_NAME):
        for j, check in enumerate(CHECKS):
            if check == "linear":
                found.append((name, "sgd", check))
            elif check == "compiled":
                found.append(pytest.param(name, "two rules", check, marks=pytest.mark.slow))
            else:
                found += [(name, "two rules", check), (name, others[(i + j) % len(others)], check)]
    return found


@pytest.mark.parametrize("name, rule, check", cases())
def test_optimizer_with_rule(name: str, rule: str, check: str) -> None:
    options = LOOPS.get(name, {}) | (SOLVES.get(name, {}) if check == "compiled" else {})
    try:
        CHECKS[check](BY_NAME[name].of(RULES[rule], **options))
    except RuntimeError as error:
        if (name, rule) != ("cgd", "torch"):  # it needs the rule's metric
            raise
        assert "from_torch has no metric: use sgd, rmsprop or adam" in str(error)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant(variant: str, check: str) -> None:
    CHECKS[check](VARIANTS[variant])


@pytest.mark.parametrize("name", BY_NAME)
def test_description(name: str) -> None:
    kind = BY_NAME[name]
    for part in ("Cost per step", "State:", "Differs from the paper:", "Args:", "Example:", "Source:"):
        assert part in (kind.__doc__ or ""), f"the docstring of {kind.__name__} lacks {part!r}"
    assert name == name.lower() and " " not in name


@pytest.mark.slow
def test_compiled_for_real() -> None:
    """Once through the code generator, not only the tracer: second derivatives; tests/test_compile.py has the first."""
    closed = mm.games.bilinear(dim=3, condition=2.0)
    optimizer = mm.ConsensusOptimization(mm.adam(0.1))
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(closed.game, z, s)[:2], fullgraph=True)
    players, _ = step(closed.start, optimizer.init(closed.game, closed.start))
    expected = optimizer.step(closed.game, closed.start, optimizer.init(closed.game, closed.start))[0]
    torch.testing.assert_close(players, expected)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_file_is_read_on_one_screen(name: str) -> None:
    file = Path(inspect.getfile(BY_NAME[name]))
    assert len(file.read_text().splitlines()) <= 100


@pytest.mark.parametrize("name", BY_NAME)
def test_who_does_not_rest_where_a_constraint_binds_says_so(name: str, float64: torch.dtype) -> None:
    """Either player is stopped: at (1, 1/2), where F_x = y - 3 pushes, and at (-1, 1), where F_y = -x - 3 does."""
    box, optimizer = mm.projections.box(-1.0, 1.0), BY_NAME[name].of(mm.sgd(0.1))
    if isinstance(optimizer, mm.KBeam):  # or its candidates begin beside the point
        optimizer = mm.KBeam(mm.sgd(0.1), spread=0.0)
    first = mm.zero_sum(lambda x, y: x * y - 3 * x - y / 2 - y**2 / 2, constraints=(box, None))
    second = mm.zero_sum(lambda x, y: x * y + 3 * y + x**2 / 2, constraints=(None, box))
    rests = []
    for game, nash in ((first, (1.0, 0.5)), (second, (-1.0, 1.0))):
        start = tuple(map(torch.tensor, nash))
        z, state = start, optimizer.init(game, start)
        for _ in range(5):
            z, state, _ = optimizer.step(game, z, state)
        rests.append(torch.allclose(torch.stack(z), torch.tensor(nash), rtol=0, atol=1e-9))
    assert all(rests) != ("Constraints: where one binds" in (BY_NAME[name].__doc__ or ""))
