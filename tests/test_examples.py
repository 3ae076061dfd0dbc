"""Every example runs without a display, draws what it draws, leaves nothing behind, and its own asserts hold."""

import importlib.util
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1] / "examples"
EXAMPLES = {str(path.relative_to(ROOT).with_suffix("")): path for path in sorted(ROOT.rglob("*.py"))}
NEEDS = {"with_lightning": "lightning", "with_accelerate": "accelerate"}
WITHOUT_A_FIGURE = {"data_parallel"}


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Figures that nobody sees, looks that nobody else gets, and a working directory to be left empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg would warn that it cannot
    with matplotlib.rc_context():
        yield
    plt.close("all")


@pytest.mark.usefixtures("canvas")
@pytest.mark.parametrize("name", EXAMPLES)
def test_example(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install minimax-games[integrations]")
    beside = set(ROOT.rglob("*"))
    monkeypatch.setattr(sys, "argv", [str(EXAMPLES[name])])
    runpy.run_path(str(EXAMPLES[name]), run_name="__main__")
    assert capsys.readouterr().out
    assert bool(plt.get_fignums()) == (name not in WITHOUT_A_FIGURE)
    assert not any(tmp_path.iterdir()) and set(ROOT.rglob("*")) == beside


def test_there_are_enough_examples_to_learn_from() -> None:
    theory = [name for name in EXAMPLES if name.startswith("theory/")]
    assert len(theory) == 10 and len(EXAMPLES) - len(theory) >= 15
    assert NEEDS.keys() | WITHOUT_A_FIGURE <= EXAMPLES.keys()
    for path in EXAMPLES.values():  # what sphinx-gallery makes pages from
        title, underline = path.read_text().splitlines()[:2]
        assert set(underline) == {"="} and len(underline) >= len(title.removeprefix('r"""').removeprefix('"""')), path


@pytest.mark.parametrize("path", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_figure_is_finished_in_the_block_that_makes_it(path: Path) -> None:
    """The gallery shows what a block leaves, and closes it."""
    blocks = re.split(r"^# %%.*$", path.read_text(), flags=re.M)
    made: set[str] = set()
    for block in blocks:
        assert not [name for name in made if re.search(rf"\b{name}\b", block)]
        for figure, panels in re.findall(r"^(\w+), (.+?) = plt\.subplots", block, re.M):
            made |= {figure, *re.findall(r"\w+", panels)}
