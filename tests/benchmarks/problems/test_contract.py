"""Every problem there is against the contract."""

import pytest

from benchmarks.data import DataError
from benchmarks.problem import Problem
from benchmarks.problems import discover
from benchmarks.testing import CHECKS, check_problem

KINDS = {name: found.kind for name, found in discover().items()}
UNKNOWN = {"dann", "monkey-saddle", "pgd", "spurious-point", "tokeniser", "vae", "vae-split"}
"""Problems of which nobody knows perfect players."""


@pytest.mark.parametrize("clause", CHECKS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_contract(kind: type[Problem], clause: str) -> None:
    check_problem(kind, skip=CHECKS.keys() - {clause})


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_contract_on_a_gpu(kind: type[Problem]) -> None:
    check_problem(kind, device="cuda")


@pytest.mark.parametrize("name", ["bayesian-gan", "dann", "pgd"])
def test_what_is_stated_for_digits_refuses_other_data(name: str) -> None:
    with pytest.raises(DataError, match=f"^--data mnist does not fit {name}: choose digits, or leave it out.$"):
        KINDS[name].prepare("mnist", None, download=False)


def test_who_knows_perfect_players() -> None:
    for kind in KINDS.values():
        kind.prepare(None, None, download=False)
    assert {name for name, kind in KINDS.items() if kind("smoke").perfect(0) is None} == UNKNOWN
