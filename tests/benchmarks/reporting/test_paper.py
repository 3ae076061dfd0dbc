"""PDF figures and a LaTeX table, through the command that makes them."""

import re

import pandas as pd
import pytest

from benchmarks import report
from benchmarks.reporting import comparisons, paper, suite, tables
from tests.benchmarks.reporting import synthetic

HOSTILE = r"50%_of & $x^2$ {~\#}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    where = tmp_path_factory.mktemp("suites") / "a_b"
    lost = [("one", "simultaneous", seed) for seed in range(7)]
    synthetic.suite(where, ("one", HOSTILE), optimizers=synthetic.OPTIMIZERS | {"alternating lr=-0.5": 0.0}, lost=lost)
    return where


@pytest.fixture(scope="module")
def text(home):
    drawn = suite.drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "drawn", lambda *told: first_of_each_kind(drawn(*told)))
        assert report.main([str(home), "--paper"]) == 0
    return (home / "paper" / "table.tex").read_text()


def first_of_each_kind(figures):
    """Those of the problem with the hostile name, which comes first: the other's look the same."""
    seen = set()
    for name, figure in figures:
        if (kind := name.removeprefix("one-").removeprefix(f"{HOSTILE}-")) not in seen:
            seen.add(kind)
            yield name, figure


def unescaped(text):
    return text.replace(r"\textbackslash ", "\\").replace(r"\textasciitilde ", "~").replace(r"\textasciicircum ", "^")


def test_every_figure_is_a_pdf_with_real_letters(home, text):
    figures = {path.stem for path in (home / "figures").glob("*.png")}
    files = {path.stem: path.read_bytes() for path in (home / "paper").glob("*.pdf")}
    assert files.keys() == figures and len(files) == 7
    for data in files.values():
        assert data.startswith(b"%PDF-") and b"/Type3" not in data and b"CreationDate" not in data


def test_the_table_has_all_rows_and_reads_as_latex(text):
    body = text[text.rindex(r"\endlastfoot") :] if r"\endlastfoot" in text else text
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(rows) == 2 * 5
    assert all(len(re.findall(r"(?<!\\)&", row)) == 6 for row in rows)
    assert text.count(r"\begin{") == text.count(r"\end{")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}") and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert not re.search(r"(?<!\\)[%#]", text) and text.isascii()


def test_the_table_says_what_the_tables_say(home, text):
    found = tables.load(home)
    told, summary = comparisons.compare(found), tables.summary(found.runs)
    for row in summary.to_dict("records"):
        line = next(line for line in text.splitlines() if f"& {row['label'].replace('-0.5', '$-$0.5')} &" in line)
        assert f"& {row['seeds']} &" in line
    lost = next(line for line in text.splitlines() if line.startswith("one (") and "& simultaneous &" in line)
    assert "& 10 & 7 & $\\infty$ &" in lost and lost.rstrip("\\ ").endswith("$-$")
    best = next(line for line in text.splitlines() if "& optimistic &" in line)
    assert best.rstrip("\\ ").endswith("+") and "[" in best
    assert text.count("Medians over seeds") == 1 == text.count("(continued)")
    assert "for 8 comparisons" in text and "Untuned: every optimizer" in text and r"Suite a\_b" in text
    assert paper.table("a_b", told, summary) == text


def test_hostile_names_are_escaped(text):
    for part in (r"50\%\_of \& \$x", r"\{", r"\#\}"):
        assert part in text


def test_few_seeds_have_ranges():
    """And a method that nobody can beat or lose to by two seeds has no mark."""
    runs = pd.DataFrame(
        [
            {"title": "p", "label": label, "seed": seed, "value": value + seed, "status": "ok", "headline": "kid"}
            for label, value in (("alternating", 1.0), ("sga", 9.0))
            for seed in range(2)
        ]
    ).assign(better="lower", preset="cpu", budget=1, references="")
    runs = runs.assign(**dict.fromkeys((*tables.STABILITY, "units", "product_cost", "train_time_s"), 1.0))
    scores = comparisons.scores(runs)
    by = comparisons.by_problem(scores, "alternating")
    none = comparisons.Aggregates(pd.DataFrame(), (), {})
    told = comparisons.Compared(scores, "alternating", by, [], none, {}, pd.DataFrame(), pd.DataFrame(), frozenset())
    line = next(line for line in paper.table("s", told, tables.summary(runs)).splitlines() if "& sga &" in line)
    assert line.split("&")[4:] == [" 9.5 ", " (9, 10) ", " 0 \\\\"]
