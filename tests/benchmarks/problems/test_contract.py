"""Every problem there is against the contract."""

from functools import cache, partial
from types import FunctionType

import pytest

from benchmarks.data import DataError
from benchmarks.data.folders import PREFIX
from benchmarks.problem import Problem
from benchmarks.problems import discover
from benchmarks.runner import catalogue, plan
from benchmarks.testing import CHECKS, check_problem

KINDS = {name: found.kind for name, found in discover().items()}
UNKNOWN = {
    *("monkey-saddle", "spurious-point", "tokeniser", "tokeniser-plain", "vq-vae", "vq-vae-ema"),
    *("vae", "vae-split", "vae-gaussian", "vae-gaussian-pixels", "vae-logistic", "iwae", "iwae-1", "iwae-50"),
    "iwae-dreg",
    *("cvae", "cvae-quadrant-1", "cvae-quadrant-2", "cvae-quadrant-3", "cvae-quadrant-hybrid"),
    *("maml-sine", "maml-sine-first-order", "reptile-sine", "imaml-sine", "maml-digits"),
    *("dann", "dann-rotated", "dann-textured", "filter-diabetes", "free", "pgd", "pgd-l2", "trades"),
}
"""Problems of which nobody knows perfect players."""


ALIKE = dict.fromkeys(("beta-vae-1", "beta-vae-2", "beta-vae-8"), "beta")
"""Problems that differ from their parent in a constant of the loss: what plays no part in that is checked there."""
LOSSLESS = {"evaluation", "lost", "floors", "pictures", "truths", "rigged"}

prepared = cache(lambda kind: kind.prepare(None, None, download=False))


CLAUSES = {
    f"{name}-{clause}": (kind, clause)
    for name, kind in KINDS.items()
    for clause in CHECKS
    if name not in ALIKE or clause not in LOSSLESS
}


@pytest.mark.parametrize("kind, clause", CLAUSES.values(), ids=CLAUSES)
def test_contract(kind: type[Problem], clause: str) -> None:
    prepared(kind)
    CHECKS[clause](partial(kind, "smoke"))


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_alike_differs_in_its_loss_alone(name: str) -> None:
    kind, constant = KINDS[name], ALIKE[name]
    assert {key for key in vars(kind) if not key.startswith("_")} == {"name", constant}
    assert kind.__mro__[1] in KINDS.values()
    methods = [method for one in kind.__mro__ for method in vars(one).values() if isinstance(method, FunctionType)]
    assert {method.__name__ for method in methods if constant in method.__code__.co_names} == {"loss"}


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_contract_on_a_gpu(kind: type[Problem]) -> None:
    check_problem(kind, device="cuda")


@pytest.mark.parametrize("name", ["bayesian-gan", "free", "dann", "pgd"])
def test_what_is_stated_for_some_data_refuses_others(name: str) -> None:
    known = " or ".join(KINDS[name].datasets)
    with pytest.raises(DataError, match=f"^--data cifar10 does not fit {name}: choose {known}, or leave it out.$"):
        KINDS[name].prepare("cifar10", None, download=False)


def test_a_folder_is_refused_before_it_is_looked_at() -> None:
    """Whoever refuses it when asked to prepare is not planned for it, and does not offer it."""
    for kind in KINDS.values():
        if not kind.datasets:
            continue
        with pytest.raises(DataError) as told:  # of a folder that no other command has decoded
            kind.prepare(f"{PREFIX}unknown", None, download=False)
        refused = "does not fit" in str(told.value)
        assert plan.usable(kind, f"{PREFIX}unknown") != refused
        assert (", folder:PATH" in next(catalogue.sizes(kind))) != refused


def test_who_knows_perfect_players() -> None:
    for kind in KINDS.values():
        kind.prepare(None, None, download=False)
    assert {name for name, kind in KINDS.items() if kind("smoke").perfect(0) is None} == UNKNOWN
