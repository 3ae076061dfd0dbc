from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reporting.looks import DASHES, NAMES, looks
from minimax.optimizers import BY_NAME


def test_every_optimizer_looks_different():
    for one, two in combinations(looks(BY_NAME).values(), 2):
        assert (one.colour, one.dashes) != (two.colour, two.dashes) and (one.colour, one.marker) != (
            two.colour,
            two.marker,
        )
    assert len(set(NAMES)) == len(NAMES) and set(NAMES) <= BY_NAME.keys()


def test_the_default_optimizers_differ_by_colour_alone():
    found = looks(NAMES[:5])
    assert len({look.colour for look in found.values()}) == 5 and {look.dashes for look in found.values()} == {()}


@given(st.lists(st.sampled_from([*NAMES, "mine", "my-other"]), min_size=1), st.sampled_from(NAMES))
def test_a_look_depends_on_nothing_else_in_the_figure(others, name):
    assert looks([name, *(other for other in others if other != name)])[name] == looks([name])[name]


@pytest.mark.parametrize("name", ["mine", "ExtraNewton", "", "ä"])
def test_an_optimizer_of_ones_own_is_taken_for_no_other(name):
    (look,) = looks([name]).values()
    assert look.dashes == DASHES[-1] and look == looks([name, "sga", "other"])[name]
    assert all(look.dashes != other.dashes and look.marker != other.marker for other in looks(NAMES).values())


def test_parameters_change_the_marker_and_not_the_colour():
    labels = ["optimistic", *(f"optimistic lr={rate}" for rate in (0.1, 0.2, 0.3))]
    found = looks(labels)
    assert len({look.marker for look in found.values()}) == 4
    assert {(look.colour, look.dashes, look.alone) for look in found.values()} == {
        (looks(["optimistic"])["optimistic"].colour, (), False)
    }
