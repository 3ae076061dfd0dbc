"""Every rule that a rate makes keeps the contract of optimizers, and says of itself what it should."""

import dataclasses
import pickle

import pytest

import minimax as mm
from minimax.rules import BY_RATE
from minimax.testing import CHECKS

EVERY = [kind for kind in vars(mm.rules).values() if isinstance(kind, type) and issubclass(kind, mm.Rule)]
EVERY = [kind for kind in EVERY if kind not in (mm.Rule, mm.rules.Rated)]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", sorted(BY_RATE.keys() - {"entropic", "muon"}))  # which move certain players only
def test_contract(name: str, check: str) -> None:
    CHECKS[check](mm.ExtraGradient(BY_RATE[name](0.01)))


def test_names() -> None:
    """Those that need more than a rate have no name on a command line."""
    assert set(BY_RATE) == {"sgd", "rmsprop", "adam", "adamw", "entropic", "muon", "sign"}
    assert all(getattr(mm, kind.__name__) is kind for kind in EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_descriptions(kind: type[mm.Rule]) -> None:
    text = kind.__doc__ or ""
    for part in ("Memory", "Args:", ">>>"):
        assert part in text, f"{kind.__name__} does not say {part!r}"
    for field in dataclasses.fields(kind):
        assert field.name == "options" or f" {field.name}: " in text, f"{kind.__name__} does not describe {field.name}"


@pytest.mark.parametrize("name", BY_RATE)
def test_a_rule_is_a_value_that_prints_as_its_call(name: str) -> None:
    rule = BY_RATE[name](0.25)
    assert repr(rule).startswith(f"{name}(lr=0.25") and eval(repr(rule), vars(mm)) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule and hash(rule) == hash(BY_RATE[name](0.25))
    assert rule != BY_RATE[name](0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.lr = 1.0  # type: ignore[misc]
