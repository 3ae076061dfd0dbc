"""What `mm.citation` says of the methods of this library, and of those of somebody else."""

import re

import pytest

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.rules import BY_RATE

YEAR = re.compile(r"\b(1[89]|20)\d\d\b")


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=BY_NAME)
def test_every_optimizer_has_a_source_with_a_year(kind: type[mm.GameOptimizer]) -> None:
    first, *_, last = mm.citation(kind).splitlines()
    assert YEAR.search(first) and first.endswith(".") and last.startswith("minimax-games contributors")
    assert mm.citation(kind) == mm.citation(kind.of(mm.sgd(0.1))) or issubclass(kind, mm.Wrapper)


@pytest.mark.parametrize("name", sorted(BY_RATE.keys() - {"sgd"}))
def test_every_rule_has_a_source_but_plain_descent(name: str) -> None:
    assert YEAR.search(mm.citation(BY_RATE[name]).splitlines()[0])


def test_what_an_optimizer_brings_is_cited_once() -> None:
    rules = (mm.clipped(mm.adam(1e-3), 1.0), mm.adam(1e-3))
    method = mm.Lookahead(mm.Averaging(mm.ExtraGradient(rules)))
    lines = mm.citation(method, mm.adam, mm.penalties.wgan_gp, method).splitlines()
    found = [
        next(
            word
            for word in ("Lookahead", "Averaging", "Korpelevich", "Pascanu", "Kingma", "Wasserstein", "minimax")
            if word in line
        )
        for line in lines
    ]
    assert found == ["Lookahead", "Averaging", "Korpelevich", "Pascanu", "Kingma", "Wasserstein", "minimax"]


def test_what_has_no_source_is_refused() -> None:
    def mine(z: float) -> float:
        return z

    for method, name in ((mine, "mine"), (mm.sgd(0.1), "sgd"), (3, "int")):
        with pytest.raises(mm.GameError, match=f"^{name} names no source"):
            mm.citation(method)
    assert mm.citation() == mm.citation(mm.ConsensusOptimization).splitlines()[-1]
