"""The page of a suite: whole in one file, safe with hostile names, usable without a mouse."""

import math
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser

import pytest

from benchmarks.reporting import images, page, suite, tables
from benchmarks.reporting.comparisons import compare
from benchmarks.reporting.sheets import Cell, tiny
from benchmarks.reporting.statistics import LEAST
from tests.benchmarks.reporting import synthetic

HOSTILE = """<script>alert("1")</script> & 'x' {{ 7 * 7 }}"""
NAMES = {"one-curves": "one-curves", "profile": "profile", "one-samples-training": "one-samples-training"}
VOID = {"meta", "img", "input", "link", "br", "hr"}


class Page(HTMLParser):
    """Elements with their attributes and texts; notices what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.path = [], [], []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs), "inside": [one["tag"] for one in self.open]}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [one for one in self.elements if one["tag"] == tag]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    lost = [("one", "simultaneous", seed) for seed in range(7)]
    settings = {"alternating lr=0.1": 0.0, "alternating lr=1": 0.0}
    where = tmp_path_factory.mktemp("suites") / "a<b>"
    synthetic.suite(where, ("one", HOSTILE), optimizers=synthetic.OPTIMIZERS | settings, lost=lost)
    suite.write(where)
    return where


def rendered(home, figures=None):
    """The page of a folder, by itself with such figures as there are."""
    found = tables.load(home)
    return page.render(home.name, found, compare(found), tables.summary(found.runs), figures or {})


@pytest.fixture(scope="module")
def text(home):
    return (home / page.FILE).read_text()


@pytest.fixture(scope="module")
def parsed(text):
    return Page(text)


def test_nothing_is_fetched(parsed, text):
    for one in parsed.elements:
        for name, value in one.items():
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                assert value.startswith(("data:image/", "#")), value[:80]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://|//cdn", text)
    (policy,) = [one for one in parsed.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy["content"] and "img-src data:" in policy["content"]


def test_ids_are_unique_and_links_lead_somewhere(parsed):
    ids = Counter(one["id"] for one in parsed.elements if "id" in one)
    assert set(ids.values()) == {1}
    for name in ("href", "aria-controls", "aria-labelledby"):
        targets = {one[name].removeprefix("#") for one in parsed.elements if name in one}
        assert targets and targets <= ids.keys()


def test_every_picture_says_what_it_shows(parsed):
    pictures = parsed.all("img")
    assert len(pictures) >= 2 + 2 * 6
    assert all(len(one["alt"]) > 40 for one in pictures)
    assert all(figure["text"].strip() for figure in parsed.all("figcaption"))


def test_every_table_is_sorted_by_buttons_and_filtered_by_a_field(parsed):
    tables = parsed.all("table")
    assert len(tables) == 2 + 2 * 2 and len(parsed.all("caption")) == len(tables)
    heads = [one for one in parsed.all("th") if one.get("scope") == "col"]
    assert heads and all(one["aria-sort"] == "none" for one in heads)
    buttons = parsed.all("button")
    assert len(buttons) == len(heads)
    assert all(one["type"] == "button" and one["text"].strip() and one["inside"][-1] == "th" for one in buttons)
    assert all(one["inside"][-1] == "label" for one in parsed.all("input"))
    assert len(parsed.all("input")) == len(tables)
    assert all(one["scope"] == "row" for one in parsed.all("th") if "tbody" in one["inside"])
    keyed = [one for one in parsed.elements if "tbody" in one["inside"] and one["tag"] in ("td", "th")]
    assert keyed and all("data-key" in one for one in keyed)


def test_it_has_the_landmarks_of_a_document(parsed, text):
    assert text.startswith("<!DOCTYPE html>") or text.lstrip().startswith("<!DOCTYPE html>")
    assert parsed.all("html")[0]["lang"] == "en" and len(parsed.all("h1")) == 1 == len(parsed.all("main"))
    assert parsed.all("a")[0]["href"] == "#main"
    assert "prefers-color-scheme: dark" in text and ":focus-visible" in text and "prefers-reduced-motion" in text


def test_hostile_names_stay_words(parsed, text):
    assert len(parsed.all("script")) == 1 and "alert(" not in parsed.all("script")[0]["text"]
    assert any(one["text"] == HOSTILE for one in parsed.all("h2"))
    assert HOSTILE not in text and "49" not in parsed.all("h2")[3]["text"]
    assert "a<b>" in parsed.all("title")[0]["text"]


def test_it_says_what_is_known_and_how_surely(parsed):
    said = " ".join(one["text"] for one in parsed.all("li"))
    assert "Untuned" in said and "optimistic" in said and "is better" in said
    answers = next(one for one in parsed.all("table") if "Which optimizer" in one["text"])
    assert "better: optimistic" in answers["text"] and "worse: simultaneous" in answers["text"]
    assert "kernel distance (KID) ↓ [digits64]" in answers["text"] and "[72%, 100%]" in answers["text"]
    assert "of the time is found in four cases of five" in said


def test_where_there_is_no_difference_none_is_found(tmp_path):
    synthetic.suite(tmp_path, optimizers={"alternating": 0.0, "extragradient": 0.0}, pictured=False)
    said = Page(rendered(tmp_path))
    lines = [one["text"] for one in said.all("li")]
    assert any("No difference found on 2 of 2 problems" in line for line in lines)
    assert any("Over all problems" in line and line.endswith(": no difference found.") for line in lines)


@pytest.mark.parametrize("seeds", [1, LEAST - 1])
def test_few_seeds_conclude_nothing(tmp_path, seeds):
    synthetic.suite(tmp_path, seeds=seeds, pictured=False)
    said = Page(rendered(tmp_path))
    cells = [one for one in said.elements if "tbody" in one["inside"]]
    assert not any(one.get("class", "").split()[-1:] in (["better"], ["worse"]) for one in cells)
    assert not any(re.search(r"\[[^a-z]", one["text"]) for one in cells), "an interval"
    assert any("from which nothing is concluded" in one["text"] for one in said.all("li"))


def test_one_problem_of_few_seeds_forbids_a_word_on_all_of_them(tmp_path):
    synthetic.suite(tmp_path, pictured=False)
    for path in (tmp_path / "cells").glob("p1-*-s[6-9]/status.json"):
        path.unlink()
    for path in (tmp_path / "cells").glob("p1-*-s[0-1]/status.json"):
        path.unlink()
    lines = [one["text"] for one in Page(rendered(tmp_path)).all("li")]
    assert any("Over all problems" in line and "too few seeds" in line for line in lines)
    assert any(line.startswith("On one, ") and "optimistic" in line for line in lines)


def test_an_optimizer_by_itself_has_nothing_to_compare(tmp_path):
    synthetic.suite(tmp_path, ("one",), optimizers={"sga": 0.0}, pictured=False)
    assert "nothing to compare" in Page(rendered(tmp_path)).all("table")[0]["text"]


def test_a_suite_of_which_all_is_lost_has_a_page(tmp_path):
    lost = [("one", name, seed) for name in synthetic.OPTIMIZERS for seed in range(5)]
    synthetic.suite(tmp_path, ("one",), seeds=5, lost=lost, pictured=False)
    suite.write(tmp_path)
    assert "5 diverged" in Page((tmp_path / page.FILE).read_text()).all("table")[2]["text"]


def test_a_suite_that_has_only_begun_has_a_page(tmp_path):
    synthetic.suite(tmp_path, ("one",), seeds=2, pictured=False)
    for path in (tmp_path / "cells").glob("*/status.json"):
        path.unlink()
    assert "8 failed or unfinished" in Page(rendered(tmp_path)).all("p")[0]["text"]


@pytest.fixture(scope="module")
def figures(home):
    return {name: [home / "figures" / f"{file}.{kind}" for kind in ("png", "svg")] for name, file in NAMES.items()}


def test_pages_are_the_same_at_every_writing(home, figures):
    assert rendered(home, figures) == rendered(home, dict(reversed(figures.items())))


def test_it_stays_small(home, text, figures, monkeypatch):
    assert len(text.encode()) <= page.LIMIT
    for limit, pictures in ((160_000, True), (45_000, False)):
        monkeypatch.setattr(page, "LIMIT", limit)
        small = rendered(home, figures)
        assert len(small.encode()) <= limit and bool(Page(small).all("img")) == pictures


def test_the_most_important_pictures_are_kept(figures):
    whole = images.embedded(figures, 10**7)
    assert list(whole) == list(figures) and whole["profile"].startswith("data:image/svg+xml;base64,")
    kept = images.embedded(figures, 30_000)
    assert list(kept) == list(figures)[: len(kept)] and 0 < len(kept) < 3
    assert sum(map(len, kept.values())) <= 30_000


def test_what_is_not_known_is_sorted_last():
    assert Cell("–", math.nan).order == "" and Cell("∞", math.inf).order == "inf" and Cell("a", "a").order == "a"
    assert tiny(0.0009) == "< 0.001" and tiny(0.05) == "0.05"


BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
SORT = """<script>
const head = document.querySelectorAll('#answers th')[0];
head.querySelector('button').click(); head.querySelector('button').click();
const field = document.querySelector('#overall input');
field.value = 'OPTIMISTIC'; field.dispatchEvent(new Event('input'));
</script></body>"""


@pytest.mark.skipif(not BROWSER, reason="no Chromium on the PATH to show the page in")
def test_a_browser_sorts_and_filters(text, tmp_path):
    """The page's own script runs under its own policy, and does what its buttons say."""
    (tmp_path / "page.html").write_text(text.replace("</body>", SORT))
    how = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    run = subprocess.run([BROWSER, *how, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=100)
    found = Page(run.stdout)
    heads = [one for one in found.all("th") if one.get("scope") == "col"]
    assert [one["aria-sort"] for one in heads[:2]] == ["descending", "none"]
    names = [one["text"] for one in found.all("a") if "tbody" in one["inside"]]
    assert names == ["one", HOSTILE]
    rows = [one for one in found.all("tr") if "tbody" in one["inside"] and "data-key" not in one]
    shown = [one["text"].split()[0] for one in rows if "hidden" not in one]
    assert shown.count("optimistic") >= 2 and shown.count("extragradient") == shown.count("optimistic") - 1


def test_curves_show_what_is_tuned_where_something_is_and_the_overview_all(tmp_path):
    names = [f"{name}{row}" for name in ("alternating", "sga") for row in ("", " tuned", " one-for-all")]
    found = tables.load(synthetic.suite(tmp_path, ("one",), seeds=5, optimizers=dict.fromkeys(names, 0.0)))
    drawn = dict(suite.drawn(found, compare(found), "gradients"))
    legends = {
        name: {text.get_text() for each in figure.legends for text in each.get_texts()}
        for name, figure in drawn.items()
    }
    assert legends["one-curves"] == {"alternating tuned (n = 5)", "sga tuned (n = 5)"}
    assert {name.partition(" (")[0] for name in legends["profile"]} == {"alternating tuned", "sga tuned"}
    assert len(drawn["overview"].axes[0].get_xticklabels()) == 6
