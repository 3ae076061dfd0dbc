"""How a suite's optimizers compare: from runs and curves to what may be said."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting import comparisons, page, profiles, sheets, tables
from benchmarks.reporting.comparisons import compare
from tests.benchmarks.reporting import synthetic

RUN = {"status": "ok", "flags": "", "headline": "kid", "better": "lower"}


def runs(*rows):
    return pd.DataFrame([{**RUN, "run_id": f"r{k}", "seed": k, **row} for k, row in enumerate(rows)])


def curves(run_id, values, metric="kid", iterate="last", title="p"):
    rows = enumerate(values)
    same = {"run_id": run_id, "metric": metric, "iterate": iterate, "title": title}
    return pd.DataFrame([{**same, "step": k, "units": 10.0 * k, "value": value} for k, value in rows])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    lost = [("one", "simultaneous", seed) for seed in range(7)]
    where = tmp_path_factory.mktemp("suite")
    return tables.load(synthetic.suite(where, ("one", "two/d", "three"), lost=lost, pictured=False))


def test_scores_are_larger_where_a_run_is_better_and_lost_runs_the_worst():
    same = {"title": "p", "label": "a"}
    table = runs(
        {**same, "value": 2.0},
        {**same, "value": np.nan, "status": "diverged"},
        {**same, "value": 1.0, "flags": "collapsed"},
        {**same, "value": np.nan, "status": "error"},
        {**same, "title": "q", "value": 3.0, "better": "higher"},
    )
    known = comparisons.scores(table)
    assert known["p"]["a"].tolist() == [-2.0, -math.inf, -math.inf] and known["q"]["a"].tolist() == [3.0]


@pytest.mark.parametrize(
    "played, base",
    [
        ({"p": ["sga", "simultaneous", "alternating"]}, "alternating"),
        ({"p": ["sga", "simultaneous"], "q": ["alternating"]}, "simultaneous"),
        ({"p": ["lola", "unrolled"], "q": ["cgd", "unrolled"], "r": ["simultaneous"]}, "unrolled"),
        ({"p": ["b"]}, "b"),
    ],
)
def test_the_baseline_is_plain_play_where_it_meets_another(played, base):
    rows = [(title, label) for title, labels in played.items() for label in labels]
    assert comparisons.baseline(pd.DataFrame(rows, columns=["title", "label"])) == base


def test_what_is_better_is_found_and_nothing_else(found):
    told = compare(found)
    assert told.base == "alternating" and len(told.by_problem) == 9 and len(told.overall) == 3
    claims = {(one.label, one.problems[0]): one.claim for one in told.by_problem if one.claim}
    better = {("optimistic", title): 1 for title in ("one", "two/d", "three")}
    assert claims == {**better, ("simultaneous", "one"): -1}
    assert {one.label: one.claim for one in told.overall}["optimistic"] == 1
    assert all(one.low <= one.better <= one.high for one in told.by_problem)


def test_a_tuned_row_is_compared_with_the_baseline_tuned_alike():
    """Not with an untuned one, beside which anything tuned looks good."""
    values = {"alternating": 0.0, "sga": 0.0, "alternating tuned": 9.0, "sga tuned": 9.0, "sga one-for-all": 9.0}
    each = {"p": {label: value + np.arange(10.0) for label, value in values.items()}}
    for compared in (comparisons.by_problem, comparisons.overall):
        told = compared(each, "alternating")
        assert [(one.label, one.better) for one in told] == [("sga", 0.5), ("sga tuned", 0.5)]
    assert comparisons.tuning(["sga", "sga lr=1"]).startswith("Untuned: ")
    assert comparisons.tuning(values).startswith("Rows that end in tuned and one-for-all have been tuned alike")


def test_over_all_problems_stand_only_those_who_played_them_all(found):
    each = {title: dict(known) for title, known in comparisons.scores(found.runs).items()}
    del each["two/d"]["optimistic"]
    told = comparisons.overall(each, "alternating")
    assert [one.label for one in told] == ["simultaneous", "extragradient"]
    assert {one.problems for one in told} == {("one", "three", "two/d")}


def test_a_difference_that_is_sure_and_small_is_called_so():
    chance = np.random.default_rng(0)
    a, b = ([chance.normal(shift, size=10) for _ in range(12)] for shift in (0.75, 0.0))
    (found,) = comparisons.versus([("a", [f"p{k}" for k in range(12)], a, b)])
    assert 0.6 < found.better < 0.75 and found.low > 0.5 and found.p < 0.05
    assert found.small and not found.claim and sheets.verdict(found).text == "a difference too small to claim"
    assert not found._replace(p=0.06).small and not found._replace(low=0.49).small and not found._replace(claim=1).small
    assert not found._replace(low=math.nan, high=math.nan).small


def test_holm_counts_all_comparisons_of_a_table(found):
    each = comparisons.scores(found.runs)
    alone = comparisons.by_problem(
        {"one": {name: each["one"][name] for name in ("alternating", "optimistic")}}, "alternating"
    )
    among = next(one for one in comparisons.by_problem(each, "alternating") if one.label == "optimistic")
    assert alone[0].better == among.better and alone[0].p < among.p <= 9 * alone[0].p


def test_normalised_scores_go_from_before_training_to_the_best_median():
    values = [-np.array([1.0, 0.1, 0.01]), -np.array([100.0, 10.0, math.inf])]
    found = comparisons.normal(values, 10.0, "lower")
    assert found == pytest.approx(np.array([[0.5, 1.0, 1.5], [0.0, 0.0, 0.0]]))  # powers of ten: logarithms
    assert comparisons.normal([np.array([0.5, 0.7])], 0.2, "higher") == pytest.approx(np.array([[0.75, 1.25]]))
    assert comparisons.normal([-np.array([-1.0, 3.0])], 5.0, "lower") == pytest.approx(np.array([[1.5, 0.5]]))
    assert comparisons.normal([-np.array([10.0, 20.0])], 5.0, "lower") is None
    assert comparisons.normal([np.array([-math.inf] * 3)], 0.2, "higher") is None


def test_problems_that_not_all_have_played_are_left_out_and_said(found):
    each = {title: dict(known) for title, known in comparisons.scores(found.runs).items()}
    begin = comparisons.starts(found.curves, found.runs)
    del each["two/d"]["optimistic"]
    del begin["three"]
    told = comparisons.aggregates(each, found.runs, begin)
    # optimistic play is on fewer problems than the others, who are what is common
    assert told.problems == ("one", "two/d") and "optimistic" not in set(told.table.label)
    assert told.left_out == {"three": "not evaluated before training"}


def test_the_best_leads(found):
    table = compare(found).aggregates.table
    assert table.label.iloc[0] == "optimistic" and table["first"].iloc[0] > 0.99
    assert (table.low < table.iqm).all() and (table.iqm < table.high).all() and table.low_others.isna().all()


def test_what_is_before_training_is_the_headline_of_the_last_iterate_at_step_0():
    each = [curves("r0", [5.0, 1.0]), curves("r1", [7.0, 1.0]), curves("r2", [math.inf, 1.0])]
    rows = pd.concat([*each, curves("r0", [99.0], metric="recall"), curves("r0", [99.0], iterate="ema")])
    table = runs(*({"title": "p", "label": "a", "value": 1.0} for _ in range(3)))
    assert comparisons.starts(rows, table) == {"p": 6.0}


def test_targets_are_the_problems_own_or_the_median_of_the_best():
    known = {"p": {"a": -np.array([1.0, 2.0, 3.0, 4.0]), "b": -np.array([9.0])}, "q": {"a": np.array([0.5])}}
    metrics = pd.DataFrame({"title": ["p", "q"], "headline": [True, True], "target": [None, 0.8]})
    table = runs({"title": "p", "label": "a"}, {"title": "q", "label": "a", "better": "higher"})
    aims = comparisons.targets(known, metrics, table)
    assert aims == {"p": (-3.0, "the median of a"), "q": (0.8, "the problem's target")}
    assert comparisons.targets({"p": {"a": np.array([-math.inf])}}, metrics, table) == {}


def test_times_to_target_hold_at_the_end_and_a_lost_run_has_none():
    values = {"r0": [9, 1, 9, 1, 1], "r1": [1, 1], "r2": [9, 1], "r3": [9, 1], "r4": [9, 9], "r5": [9, math.nan, 1]}
    rows = pd.concat([curves(run, one) for run, one in values.items()] + [curves("r4", [1, 1], iterate="ema")])
    states = [{}, {}, {"status": "diverged"}, {"flags": "collapsed"}, {}, {"status": "target"}, {"status": "error"}]
    table = runs(*({"title": "p", "label": "a", **state} for state in states))
    spent = comparisons.times(rows, table, {"p": (-1.0, "")}).set_index("run_id").cost
    assert spent.to_dict() == {"r0": 30, "r1": 1, "r2": math.inf, "r3": math.inf, "r4": math.inf, "r5": 20}


def test_what_is_off_by_rounding_alone_has_reached_the_target():
    rows = pd.concat([curves("r0", [9, 2 + 2e-7]), curves("r1", [9, 2 + 2e-5])])
    spent = comparisons.times(rows, runs(*[{"title": "p", "label": "a"}] * 2), {"p": (-2.0, "")})
    assert spent.cost.to_list() == [10, math.inf]


def test_costs_are_of_problems_that_all_have_played():
    cells = [("a", "p", 1.0), ("a", "p", 3.0), ("a", "p", math.inf), ("b", "p", math.inf), ("a", "q", 1.0)]
    spent = pd.DataFrame(cells, columns=["label", "title", "cost"])
    costs = comparisons.medians(spent, ["a", "b"])
    assert costs.to_dict() == {"p": {"a": 3.0, "b": math.inf}}


def test_several_settings_of_an_optimizer_have_an_expected_best():
    known = {"p": {"a": np.array([1.0]), "a lr=1": np.array([3.0]), "a lr=2": np.array([-math.inf]), "b": np.ones(1)}}
    assert profiles.tried(known, "p") == {"a": [1.0, 3.0, -math.inf]}
    figure = profiles.best_of(profiles.tried(known, "p"), runs({"title": "p", "better": "higher"}))
    (line,) = figure.axes[0].lines
    assert line.get_ydata() == pytest.approx([(1 + 3 + 1) / 3, (3 * 5 + 1 * 4) / 9, (3 * 19 + 8) / 27])
    assert profiles.tried({"p": {f"a lr={k}": np.array([-math.inf]) for k in range(3)}}, "p") == {}


def test_profiles_are_drawn_as_they_are_computed():
    costs = pd.DataFrame([[10.0, math.inf], [20.0, 5.0]], index=["alternating", "extragradient"])
    panel = profiles.profile(costs).axes[0]
    heights = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines}
    assert heights == {
        "alternating (B = 0.50)": ([1, 2, 4], [0.5, 0.5, 0.5]),
        "extragradient (B = 0.83)": ([1, 2, 4], [0.5, 1, 1]),
    }


def test_seeds_on_target_are_counted_as_they_arrive():
    spent = pd.DataFrame({"title": "p", "label": "sga", "cost": [5.0, math.inf, 1.0, 3.0]})
    (line,) = profiles.reached(spent, "kid ≤ 1").axes[0].lines
    assert line.get_label() == "sga (3 of 4)"
    assert list(line.get_ydata()) == [0, 0.25, 0.5, 0.75, 0.75] and list(line.get_xdata())[:4] == [0, 1, 3, 5]


def test_what_could_be_found_is_said(found):
    told = compare(found)
    (line,) = sheets.powers(told.by_problem)
    assert line.startswith("10 seeds a problem, 9 comparisons: who wins 9")
    few = [one._replace(seeds=4) for one in told.by_problem]
    assert sheets.powers(few) == ["4 seeds a problem: nothing is concluded from fewer than 5 seeds."]
    barely = [one._replace(seeds=5) for one in told.by_problem]
    assert "no difference could be found" in sheets.powers(barely)[0]


def test_the_front_names_the_best_median_and_what_is_lost(found):
    told, summary = compare(found), tables.summary(found.runs)
    front = sheets.front(found, told, summary, dict.fromkeys(["one", "two/d", "three"], "x"))
    assert [row[2].text for row in front.rows] == ["optimistic"] * 3
    mine = sheets.problem("one", found, told, summary, "id").rows
    by = {row[0].text: row for row in mine}
    assert by["simultaneous"][6].text == "7 diverged" and by["simultaneous"][5].text.startswith("3 of 10 [")
    assert by["alternating"][2].text == "the baseline" and by["optimistic"][2].mark == "better"
    assert by["simultaneous"][2].text == "worse" and by["extragradient"][2].text == "no difference found"


def test_beyond_the_problems_own_target_no_digit_makes_one_better():
    """Where 1e-3 is asked for, errors of 6e-8 and 1e-7 are of rounding; where one run misses, they are not level."""
    mine, other = -np.linspace(6e-8, 7e-8, 10), -np.linspace(1e-7, 2e-7, 10)
    found, aims = {"p": {"a": mine, "alternating": other}}, {"p": -1e-3}
    for compared in (comparisons.by_problem, comparisons.overall):
        (plain,), (level,) = compared(found, "alternating"), compared(found, "alternating", aims)
        assert (plain.claim, plain.level) == (1, False) and (level.claim, level.level, level.better) == (0, True, 0.5)
        assert sheets.verdict(level).text == "both at target: compare the gradients to it"
    worse = {"p": {"a": mine, "alternating": np.append(other, -2e-3)}}
    assert [one.claim for one in comparisons.by_problem(worse, "alternating", aims)] == [1]
    lost = {"p": {"a": np.full(10, -np.inf), "alternating": np.full(10, -np.inf)}}
    assert not comparisons.by_problem(lost, "alternating")[0].level
    table = runs(*[{"title": "p", "label": label, "value": 1.0} for label in ("a", "alternating")])
    (score,) = comparisons.aggregates(found, table, {"p": 1.0}, aims).table.iqm.unique()
    assert score == pytest.approx(1.0)


def test_a_problem_of_one_player_is_marked_as_a_control(found):
    pairs = (("one", 0), ("two/d", 0), ("two/d", 1))
    rows = [curves("r", [1.0], f"player_norm_{k}", title=title) for title, k in pairs]
    table = pd.concat(rows, ignore_index=True)
    assert comparisons.controls(table) == {"one"}
    told = compare(found)._replace(controls=comparisons.controls(table))
    sheet = sheets.front(found, told, tables.summary(found.runs), dict.fromkeys(("one", "two/d", "three"), "#"))
    assert {row[0].text for row in sheet.rows} == {"one (one player: a control)", "two/d", "three"}
    assert any("one has one player. With one player there is no game" in line for line in page.answers(found, told))


def test_a_target_is_known_from_the_runs_that_reach_it():
    rows = [("p", "a", "target", 1e-9), ("p", "a", "target", 3e-3), ("p", "b", "ok", 0.5), ("q", "a", "ok", 1.0)]
    runs = pd.DataFrame(rows, columns=["title", "label", "status", "value"]).assign(better="lower", flags="")
    assert comparisons.reached(runs) == {"p": -3e-3}
