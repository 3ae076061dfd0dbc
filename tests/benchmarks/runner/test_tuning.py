"""What a search tries, what it makes of runs, and what it chooses."""

import math
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimax as mm
from benchmarks.optimizers import KNOWN
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from benchmarks.runner import setup, spec, tuning
from benchmarks.runner.spec import defaults
from benchmarks.runner.tuning import OWN, Point, Trial

MIDDLE = Point(0.5, 0.5, 0.5)
RECIPE = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))
unit = st.floats(0, 1, exclude_max=True)


def one(text: str) -> spec.Spec:
    (found,) = spec.parse(text)
    return found


def rates(at: spec.Spec, recipe: Recipe = RECIPE) -> list[float]:
    rule = setup.resolve(at, recipe).rule
    return [setup.rate(each) for each in (rule if isinstance(rule, tuple) else (rule,))]


def test_points_fill_every_axis_evenly_and_are_the_same_for_all() -> None:
    found = tuning.points(17)
    assert (
        found[0] is None and found == tuning.points(17) and found[:5] == tuning.points(5) and tuning.points(1) == [None]
    )
    for axis in zip(*found[1:], strict=True):
        assert max(axis) - min(axis) > 0.8 and all(
            sum(low <= u < low + 0.25 for u in axis) >= 2 for low in (0, 0.25, 0.5, 0.75)
        )


@given(rate=unit, ratio=unit, own=unit)
def test_a_point_is_the_recipe_s_rates_times_factors(rate: float, ratio: float, own: float) -> None:
    first, last = rates(tuning.at(one("simultaneous"), RECIPE, 2, Point(rate, ratio, own)))
    assert math.sqrt(first * last) == pytest.approx(1e-3 * 10 ** (1.25 * (2 * rate - 1)), rel=1e-2)
    assert last / first == pytest.approx(4 ** (2 * ratio - 1), rel=2e-2)


def test_the_recipe_s_own_ratio_is_where_the_search_begins() -> None:
    """WGAN-GP's critic has three times the rate where it moves once a step, and five steps under alternating play."""
    recipe = Recipe(mm.adam(1e-3), steps=(1, 5), factors=(1.0, 3.0))
    assert rates(tuning.at(one("optimistic"), recipe, 2, MIDDLE), recipe) == pytest.approx([1e-3, 3e-3])
    assert rates(tuning.at(one("alternating"), recipe, 2, MIDDLE), recipe) == pytest.approx([1e-3, 1e-3])
    alone = tuning.at(one("extragradient"), RECIPE, 1, MIDDLE)
    assert dict(alone.settings)["lr"] == pytest.approx(1e-3)


def test_what_is_given_stays_and_the_recipe_is_a_trial() -> None:
    given = one("lookahead[inner=alternating;alpha=0.25;lr=0.5]")
    assert tuning.at(given, RECIPE, 2, Point(0.9, 0.1, 0.9)) == given
    assert tuning.at(given, RECIPE, 2, None) is given


@pytest.mark.parametrize("name", [name for name in OWN if OWN[name].name in defaults(KNOWN[name])])
@pytest.mark.parametrize("u", [0.0, 0.5, 0.999])
def test_an_optimizer_can_be_played_along_its_axis(name: str, u: float) -> None:
    found = tuning.at(one(name), RECIPE, 2, Point(0.5, 0.5, u))
    axis = OWN[name]
    assert axis.low <= dict(found.settings)[axis.name] <= axis.high
    assert setup.resolve(found, RECIPE).build(10) is not None
    assert one(str(found)) == found  # as the table spells it


def test_others_are_tuned_by_the_momentum_of_their_rule() -> None:
    for rule, axis in ((mm.sgd(0.1), "momentum"), (mm.adam(0.1), "betas")):
        found = dict(tuning.at(one("simultaneous"), Recipe(rule), 2, Point(0.5, 0.5, 0.0)).settings)
        assert found[axis] == (-0.5 if axis == "momentum" else (0.0, 0.999))
    assert tuning.own(one("simultaneous"), Recipe(mm.rmsprop(0.1))) is None


def test_a_schedule_for_a_rate_cannot_be_tuned() -> None:
    recipe = Recipe(mm.adam(mm.schedules.cosine(1e-3, 1e-4, 10)))
    with pytest.raises(UsageError, match="simultaneous cannot be tuned: a rate that is"):
        tuning.at(one("simultaneous"), recipe, 2, MIDDLE)


class TestScore:
    STATUS: ClassVar[dict] = {"status": "ok", "value": 0.5, "flags": "", "floors": [["kid", "real", 0.0, -0.1, 0.02]]}

    KID: ClassVar[dict] = {"name": "kid", "better": "lower", "range": [-math.inf, math.inf]}

    def test_is_the_logarithm_of_the_headline(self) -> None:
        share = {"name": "share", "better": "higher", "range": [0, 1]}
        assert tuning.score(self.STATUS, self.KID) == math.log(0.5)
        assert tuning.score(self.STATUS, share) == -math.log(0.5)
        assert tuning.score(self.STATUS, {"name": "error", "better": "lower", "range": [0, math.inf]}) == math.log(0.5)

    def test_takes_what_is_a_logarithm_as_it_is(self) -> None:
        elbo = {"name": "elbo", "better": "higher", "range": [-math.inf, math.inf]}
        assert tuning.score(self.STATUS | {"value": -17.0}, elbo) == 17.0
        assert tuning.score(self.STATUS | {"value": -3.0}, elbo | {"better": "lower"}) == -3.0

    def test_knows_no_difference_among_real_data(self) -> None:
        low, lower = (self.STATUS | {"value": value} for value in (0.01, -0.05))
        assert tuning.score(low, self.KID) == tuning.score(lower, self.KID) == math.log(0.02)

    @pytest.mark.parametrize("change", [{"status": "diverged"}, {"flags": "collapsed"}, {"value": math.nan}])
    def test_is_worst_where_a_run_failed(self, change: dict) -> None:
        assert tuning.score(self.STATUS | change, self.KID) == tuning.score({}, self.KID) == math.inf


def trials(*scores: float) -> list[Trial]:
    return [Trial(index, one("simultaneous"), (score,)) for index, score in enumerate(scores)]


def test_the_best_have_the_least_mean_and_the_recipe_wins_a_tie() -> None:
    assert [trial.index for trial in tuning.best(trials(1.0, 0.5, 0.5, math.inf), 3)] == [1, 2, 0]
    assert [trial.index for trial in tuning.best(trials(math.inf, math.inf))] == [0]
    assert tuning.best([Trial(0, one("sga"), (0.0, 3.0)), Trial(1, one("sga"), (1.0, 1.0))])[0].index == 1


def test_one_setting_for_all_never_looks_at_the_problem_it_is_for() -> None:
    found = {"a": trials(0.0, 9.0, 9.0), "b": trials(5.0, 1.0, 2.0), "c": trials(5.0, 3.0, 1.0)}
    assert tuning.one_for_all(found, "a") == 2  # distances 4+4, 0+2, 1+0
    assert tuning.one_for_all(found | {"a": trials(9.0, 9.0, 0.0)}, "a") == 2
    assert tuning.one_for_all({"b": trials(math.inf, 1.0, 1.5), "a": []}, "a") == 1
    assert tuning.one_for_all({"a": trials(0.0), "b": trials(math.inf)}, "a") is None
