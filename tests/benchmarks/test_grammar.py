"""Any text on the command line: it is understood, or refused in one clear sentence."""

import argparse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import problems
from benchmarks.optimizers import KNOWN
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from benchmarks.runner import options, plan, setup, spec
from benchmarks.runner.spec import Spec
from minimax import Wrapper
from minimax.rules import BY_RATE

WRAPPERS = sorted(name for name, kind in KNOWN.items() if issubclass(kind, Wrapper))
WORDS = [*"[](),;=-* ", "=", "inner", "lr", "rule", "betas", "decay", "k", "true", "none", "nan", "1e-3", "0", "1e999"]
WORDS += ["extragradient", "lookahead", "averaging", "sgd", "steps", "\n", "λ", "٣", "0-4", "999999999"]
texts = st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=14).map("".join)


def sentence(error):
    said = str(error)
    assert said and "\n" not in said and "Traceback" not in said and len(said) < 1000
    return True


@given(texts | st.builds("{}[{}]".format, st.sampled_from(sorted(KNOWN)), texts))
@settings(max_examples=300)
def test_any_optimizer_is_played_or_refused_in_a_sentence(text):
    try:
        for one in spec.parse(text):
            assert spec.parse(str(one)) == [one]
            setup.check(one, 100, lambda: 2)
            setup.resolve(one, Recipe()).build(3)
    except UsageError as error:
        assert sentence(error)


def values(kind):
    numbers = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    words = st.sampled_from(["true_", "none_", "adam", "x", "e5", "infinite"])
    one = st.none() | st.booleans() | numbers | words
    return one | st.lists(one, min_size=1, max_size=3).map(tuple)


@st.composite
def specs(draw, depth=2, inside=False):
    name = draw(st.sampled_from(WRAPPERS if depth and draw(st.booleans()) else sorted(KNOWN)))
    known = [one for one in spec.defaults(KNOWN[name]) if one != "inner"]
    shared = [] if inside else ["rule", *spec.SETUP, *spec.defaults(BY_RATE["adam"])]
    names = draw(st.lists(st.sampled_from(known + shared), unique=True, max_size=3)) if known + shared else []
    found = [(one, draw(values(one))) for one in names]
    if name in WRAPPERS and depth:
        found.insert(draw(st.integers(0, len(found))), ("inner", draw(specs(depth - 1, True))))
    return Spec(name, tuple(found))


@given(specs())
def test_a_spec_is_read_as_it_is_spelled(one):
    assert spec.parse(str(one)) == [one]


@given(texts)
@settings(max_examples=200)
def test_any_seeds_are_a_list_or_refused_in_a_sentence(text):
    try:
        found = options.seeds(text)
    except argparse.ArgumentTypeError as error:
        assert sentence(error)
    else:
        assert (
            found
            and len(set(found)) == len(found) <= options.MOST_SEEDS
            and options.seeds(",".join(map(str, found))) == found
        )


@given(st.lists(st.tuples(st.integers(0, 10**9 - 101), st.integers(0, 100)), min_size=1, max_size=8))
def test_seeds_are_read_as_they_are_spelled(ranges):
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    expected = dict.fromkeys(seed for first, more in ranges for seed in range(first, first + more + 1))
    assert options.seeds(text) == tuple(expected)


@pytest.fixture(scope="module")
def found():
    return problems.discover([])


def test_any_pattern_chooses_problems_or_is_refused_in_a_sentence(found):
    @given(
        texts | st.sampled_from(sorted(found)).flatmap(lambda name: st.sampled_from([name, name[:4] + "*", name[1:]]))
    )
    def check(text):
        try:
            chosen = plan.choose(found, [text])
        except UsageError as error:
            assert sentence(error)
        else:
            assert chosen and chosen.items() <= found.items()

    check()
