"""A search from its command to the runs with what it chose."""

import math
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import problems, record, run, tune
from benchmarks.reporting import suite
from benchmarks.runner import plan, setup, spec
from benchmarks.suites import LOOKS, SCREEN, SUITES

TINY = str(Path(__file__).with_name("tiny.py"))


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setitem(SUITES, "small", ("tiny", "alone"))
    monkeypatch.setattr(suite, "write", lambda *_: [])
    usual = ("--import", TINY, "--suite", "small", "--device", "cpu", "--preset", "smoke", "--results", str(tmp_path))
    return lambda *more: [*usual, "-o", "simultaneous", "-o", "extragradient", *more]


def played(home):
    """The cells that have ended, and when."""
    return {path.parent.name: path.stat().st_mtime_ns for path in home.glob("cells/*/status.json")}


def test_a_search_goes_on_with_the_best_and_run_plays_what_it_chose(words, tmp_path, capsys):
    search, home = words("--trials", "4", "--keep", "1", "--seeds", "1000-1002"), tmp_path / "small-tuning"
    assert tune.main(search) == 0
    out, path = capsys.readouterr().out, tmp_path / "tuned" / "small.csv"
    assert "simultaneous: the recipe is best on" in out and f"run --suite small --tuned {path}" in out
    table = pd.read_csv(path, keep_default_na=False)
    assert len(table) == 2 * 2 * 4
    for _, group in table.groupby(["problem", "optimizer"]):
        (chosen,) = group[group.chosen].to_dict("records")
        longest = group[group.seeds == 3]
        assert len(longest) in (1, 2) and 0 in set(longest.trial)  # the recipe is played on all seeds
        assert chosen["score"] == longest.score.min() and group["first"].astype(float).idxmin() in longest.index
    times = played(home)
    assert len(times) == 4 * 4 + 2 * (table.seeds == 3).sum() and all("-s100" in name for name in times)
    assert tune.main(search) == 0 and played(home) == times  # it goes on from what is done

    assert run.main(words("--seeds", "0", "--tuned", str(path))) == 0
    told = [record.read_json(cell) for cell in (tmp_path / "small").glob("cells/*/cell.json")]
    rows = {(one["title"], one["identity"]["optimizer"]["optimizer"], one["params"]): one for one in told}
    names = ("simultaneous", "extragradient")
    assert rows.keys() == set(product(("tiny", "alone"), names, ("", "tuned", "one-for-all")))
    for (problem, optimizer), group in table.groupby(["problem", "optimizer"]):
        (chosen,) = spec.parse(group[group.chosen].spec.item())
        expected = setup.resolve(chosen, problems.discover([TINY])[problem].kind.recipe)
        assert rows[problem, optimizer, "tuned"]["identity"]["optimizer"] == expected.identity


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--shard", "1/2"), "--shard: the best go on to all seeds"),
        (("--trials", "0"), "no whole number from 1"),
        (("-p", "nothing-like-it"), "is no problem of --suite small"),
    ],
)
def test_searches_that_make_no_sense(words, more, message, capsys):
    try:
        assert tune.main(words(*more)) == 2
    except SystemExit as left:
        assert left.code == 2
    assert message in capsys.readouterr().err


def test_a_search_needs_a_suite(capsys, tmp_path):
    assert tune.main(["-p", "scsc", "--results", str(tmp_path)]) == 2
    assert "name a suite" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "message"), [("", "is no table of"), ("a,b\n1,2\n", "is no table of")])
def test_a_file_that_is_no_search_is_refused(words, tmp_path, text, message, capsys):
    path = tmp_path / "other.csv"
    path.write_text(text)
    assert run.main(words("--tuned", str(path))) == 2
    assert message in capsys.readouterr().err


def test_a_search_that_knows_nothing_of_a_plan_is_refused(words, tmp_path, capsys):
    assert tune.main(words("--trials", "1", "--seeds", "1000", "-p", "alone")) == 0
    table = tmp_path / "tuned" / "small.csv"
    assert pd.read_csv(table).score.map(math.isfinite).all()
    assert run.main(words("-p", "tiny", "--tuned", str(table))) == 2
    assert "knows none of these problems" in capsys.readouterr().err


def test_a_search_by_ensembles_finds_what_one_by_one_finds(words, tmp_path):
    tables = []
    for most in ("1", "50"):
        home = tmp_path / most
        more = ("-p", "alone", "--trials", "4", "--keep", "2", "--seeds", "1000-1001", "--together", most)
        assert tune.main([word if word != str(tmp_path) else str(home) for word in words(*more)]) == 0
        tables.append(pd.read_csv(home / "tuned" / "small.csv"))
        told = [record.read_json(path)["together"] for path in (home / "small-tuning").glob("cells/*/status.json")]
        assert set(told) == {1} if most == "1" else max(told) == 4 and min(told) >= 2
        assert not list((home / "small-tuning").glob("cells/*/samples"))
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_a_screen_goes_from_the_search_to_runs_on_other_seeds(words, tmp_path, capsys):
    more = ("--screen", "--trials", "3", "--keep", "1", "--seeds", "1000-1001")
    assert tune.main(words(*more, "-n")) == 0
    assert "2 problems under 2 optimizers, 12 runs on one seed and at most 8 on 1 more" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert tune.main(words(*more)) == 0
    rows = {}
    for path in (tmp_path / "small").glob("cells/*/cell.json"):
        told, status = record.read_json(path), record.read_json(path.with_name("status.json"))
        name = told["title"], told["identity"]["optimizer"]["optimizer"], told["params"], *told["identity"]["seeds"]
        rows[name] = status["together"], status.get("apart", "")
    names = ("simultaneous", "extragradient"), ("", "tuned", "one-for-all"), range(10)
    assert rows.keys() == set(product(("tiny", "alone"), *names))
    for (problem, *_), told in rows.items():
        assert told == ((30, "") if problem == "alone" else (1, "the problem remembers more than its players"))


def test_the_screen_holds_out_what_it_says_and_its_problems_are_short(capsys):
    assert set(SUITES["screen"]).isdisjoint(SUITES["screen-held-out"]) and len(SCREEN) == 12
    assert tune.main(["--screen", "-n"]) == 0
    assert "screen: 9 problems under 10 optimizers, 1080 runs on one seed and at most 1350 on 3 more" in (
        capsys.readouterr().out
    )
    sizes = plan.Sizes("cpu", screened=True)
    for name, item in problems.discover([]).items():
        preset = sizes.of(item.kind)[1] if name in SCREEN else None
        assert preset is None or (preset.steps, preset.evaluations <= LOOKS) == (SCREEN[name]["steps"], True)
