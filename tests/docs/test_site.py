"""The site: nothing public is left out, links hold, tables are current, and Sphinx builds it without a warning."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns
from urllib.parse import unquote

import pandas as pd
import pytest
from docutils.core import publish_doctree
from hypothesis import given
from hypothesis import strategies as st

import minimax as mm
from benchmarks import problems
from benchmarks.suites import SUITES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MODULES = [name for name in mm.__all__ if inspect.ismodule(getattr(mm, name))]
BUILT = ("docs/api/", "docs/gallery/", "docs/benchmark/problems/", "docs/benchmark/results/")
"""Where pages are that only a build makes."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch):
    """The modules that make pages, by name."""
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module


def test_the_reference_tells_of_every_public_name(site, monkeypatch: pytest.MonkeyPatch) -> None:
    public = site("generate.public")
    told = {id(entry.value) for entries in public.pages().values() for entry in entries}
    for module in (mm, *(getattr(mm, name) for name in MODULES)):
        listed = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        for name in listed:
            value = getattr(module, name)
            own = str(getattr(value, "__module__", "")).startswith(module.__name__)
            if own and (inspect.isclass(value) or inspect.isroutine(value)):
                assert id(value) in told, f"{module.__name__}.{name}"
    monkeypatch.setitem(public.TOPICS, "playing", ("Playing", ("solve",)))
    with pytest.raises(ValueError, match="lacks Solution, iterate"):
        public.pages.__wrapped__()


@given(st.text(alphabet="ab z½_*|\\:.,(){}[]<>-+'\"", max_size=40), st.sampled_from(["", "`a_b*`", "`|F|`"]))
def test_prose_is_read_as_it_was_written(text: str, code: str) -> None:
    sys.path.insert(0, str(DOCS))
    try:
        prose = importlib.import_module("generate.docstrings").prose
    finally:
        sys.path.remove(str(DOCS))
    written = f"w {text} {code} w"
    seen = publish_doctree(prose(written), settings_overrides={"report_level": 1, "halt_level": 1}).astext()
    subscripts = re.compile(r"(?<=[^\W\d_]|½)_(?:\{([^{}\s]+)\}|([A-Za-z0-9½](?![A-Za-z0-9_])))")
    plain = "".join(part if k % 2 else subscripts.sub(r"\1\2", part) for k, part in enumerate(written.split("`")))
    assert seen.split() == plain.split()


def test_every_link_of_the_pages_leads_somewhere(site) -> None:
    public, problem, records = site("generate.public"), site("generate.problems"), site("generate.records")
    made = {f"docs/api/{page}.rst" for page in (*public.pages(), "optimizers/index")}
    made |= {f"docs/benchmark/problems/{kind}.rst" for kind in (*problem.KINDS, "index")}
    made |= {f"docs/benchmark/results/{path.name}.rst" for path in records.suites()}
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "results" / "README.md"]
    assert len(pages) > 10
    broken = [
        f"{page.relative_to(ROOT)}: {link}" for page in pages for link in links(page) if not leads(page, link, made)
    ]
    assert not broken, "\n".join(broken)


def links(page: Path) -> list[str]:
    """What a page in Markdown links to and shows, outside of its code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    figures = re.findall(r"^```\{(?:image|figure|include|literalinclude)\} (\S+)", page.read_text(), re.MULTILINE)
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *figures]


def leads(page: Path, link: str, made: set[str]) -> bool:
    """Whether a link leads to a file, and an anchor to a heading of it; what is elsewhere is not asked for."""
    if re.match(r"\w+:", link):
        return True
    path, _, anchor = unquote(link).partition("#")
    target = page if not path else DOCS / path[1:] if path.startswith("/") else page.parent / path
    name = os.path.relpath(os.path.normpath(target), ROOT)
    if name in made or name == "docs/_static/home.png":
        return True
    if name.startswith("docs/gallery/"):
        example = Path(name).relative_to("docs/gallery")
        return example.name == "index.rst" or (ROOT / "examples" / example).with_suffix(".py").is_file()
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_which_optimizer_says_what_the_tables_say(site) -> None:
    choosing = site("choosing")
    page = choosing.PAGE.read_text()
    assert choosing.written(page) == page, "run python docs/choosing.py"


def test_summaries_hold_the_medians_of_their_runs(site) -> None:
    records, tables = site("generate.records"), site("benchmarks.reporting.tables")
    for path in records.suites():
        if "flags" not in pd.read_csv(path / "runs.csv", nrows=1):
            continue  # an older table, in which flagged runs counted with their score
        runs, summary = records.runs(path.name), records.summary(path.name).set_index(["title", "label"])
        for key, group in runs.groupby(["title", "label"]):
            found = float(tables.headline(group[group.status.isin(["ok", "target", "diverged"])]).median())
            assert summary.loc[key, "median"] == pytest.approx(found, rel=1e-4), (path.name, key)
        assert len(summary) == runs.groupby(["title", "label"]).ngroups


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sphinx_reads_all_pages_without_a_warning(tmp_path: Path) -> None:
    """References, names of the API and tables too. `make docs` writes the pages and runs the examples besides."""
    copytree(DOCS, tmp_path / "docs", ignore=ignore_patterns("*.rst", "gallery", "__pycache__"))
    (tmp_path / "results").mkdir()  # not a link, as pages are included from it, whose links are relative
    for path in (
        *map(ROOT.joinpath, ("minimax", "benchmarks", "examples")),
        *ROOT.glob("*.*"),
        *ROOT.glob("results/*"),
    ):
        place = tmp_path / path.relative_to(ROOT)
        copyfile(path, place) if path.parent.name == "results" and path.is_file() else place.symlink_to(path)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy", "-D", "plot_gallery=0"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, "docs", "site"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = "".join(path.read_text() for path in (tmp_path / "docs" / "benchmark" / "problems").glob("*.rst"))
    assert all(f".. _problem-{name}:" in pages for name in problems.discover())
    assert all(f"``{name}``" in pages for name in SUITES)
