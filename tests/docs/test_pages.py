"""What people read does what it says: its code runs, its output is what is shown, its commands are understood.

Every ```python block of a page runs, in order, in one namespace a page, as it stands there. A block whose first line is
`# name.py` is saved as that file too, for the commands that follow. A ```text block right after one is what it prints,
and so is the comment behind a `print(....status)`; numbers are compared to two digits. What cannot be run says why in
a comment above it: `<!-- not run: reason -->`.
"""

import importlib.util
import math
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from benchmarks import compare, optimizers, report, run, tune
from benchmarks.runner.options import parse

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
NOT_RUN = 2  # blocks, of all pages together
MADE = [ROOT / "docs" / "benchmark" / name for name in ("problems", "results")]  # folders of a build of the site

FENCE = re.compile(
    r"(?:^<!-- not run:(?P<reason>[^\n]*)-->\n)?^(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=ticks) *$",
    re.M | re.S,
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Args:
        info: the language.
        text: what stands there.
        line: of the page, where it begins.
        reason: why it is not run; None where it is.
        follows: whether nothing stands between it and the block before.
    """

    info: str
    text: str
    line: int
    reason: str | None
    follows: bool

    @property
    def runs(self) -> bool:
        return self.info == "python" and self.reason is None


def blocks(name: str) -> Iterator[Block]:
    page, end = (ROOT / name).read_text(), 0
    for found in FENCE.finditer(page):
        line, between = page.count("\n", 0, found.start("text")) + 1, page[end : found.start()]
        yield Block(found["info"].strip(), found["text"], line, found["reason"], not between.strip())
        end = found.end()


def taken_for_granted() -> list[dict[str, Any]]:
    """What README.md does not make, by block: its reader has these already."""
    g, d = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
    batches = [{"real": torch.randn(8, 2), "noise": torch.randn(8, 3)} for _ in range(3)]
    return [{}, {"G": g, "D": d, "batches": batches}]


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """That of an empty module, in an empty folder; the optimizers that a page makes known are forgotten."""
    monkeypatch.chdir(tmp_path)
    module, known = ModuleType("page"), dict(optimizers.KNOWN)
    monkeypatch.setitem(sys.modules, "page", module)
    yield vars(module)
    optimizers.KNOWN.clear()
    optimizers.KNOWN.update(known)
    pytest.importorskip("matplotlib.pyplot").close("all")


@pytest.mark.timeout(400)  # seconds of work, but of the wall's clock where other tests run
@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(
    name: str, namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    granted, printed = iter(taken_for_granted() if name == "README.md" else ()), ""
    for block in blocks(name):
        if block.runs:
            namespace |= next(granted, {})
            play(name, block, namespace)
            printed = capsys.readouterr().out
            promised = re.findall(r"print\(\w+\.status\) +# (.*)", block.text)
            assert printed.splitlines()[: len(promised)] == promised
        elif block.info == "text" and block.follows:
            assert alike(block.text, printed), f"{name}:{block.line} shows\n{block.text}but what comes is\n{printed}"
        elif block.info == "console":
            for line in block.text.replace("\\\n", " ").splitlines():
                check_command(line.removeprefix("$ "), monkeypatch, play=True)
    if name == "README.md":
        assert torch.load("run.pt", weights_only=True)["counts"]["steps"] == namespace["trainer"].steps == 3


def play(name: str, block: Block, namespace: dict[str, Any]) -> None:
    """Run a block; what goes wrong is told with the lines of the page."""
    if file := re.match(r"# (\w+\.py)\n", block.text):
        Path(file[1]).write_text(block.text)
    code = compile("\n" * (block.line - 1) + block.text, str(ROOT / name), "exec", dont_inherit=True)
    with torch.compiler.set_stance("force_eager"):  # other tests compare compiled steps with eager ones; slow here
        exec(code, namespace)


def alike(shown: str, printed: str) -> bool:
    """Whether these are the same words, and the same numbers to two digits."""
    if NUMBER.sub("0", shown).split() != NUMBER.sub("0", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=1e-6) for a, b in pairs)


# ------------------------------------------------------------------------------------------------------- commands


def check_command(line: str, monkeypatch: pytest.MonkeyPatch, play: bool = False) -> None:
    """Fail where a command is no command of this project, or does not understand its options.

    Args:
        line: the command.
        monkeypatch: keeps it from doing anything.
        play: print the plan of what it would play, if all that it names is there.
    """
    match shlex.split(line, comments=True):
        case []:
            return
        case ["python", "-m", "benchmarks.run", *words]:
            asked = parse(words)
            there = asked.data_root is None and asked.tuned is None and all(Path(x).exists() for x in asked.imports)
            assert not (play and there) or run.main([*words, "--dry-run"]) == 0, line
        case ["python", "-m", ("benchmarks.compare" | "benchmarks.report" | "benchmarks.tune") as module, *words]:
            for part, work in ((compare, "compare"), (report, "write"), (tune, "screen"), (tune, "searched")):
                monkeypatch.setattr(part, work, lambda *given: 0)
            assert importlib.import_module(module).main(words) == 0, line
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), line
        case ["python", file, *_]:
            assert Path(file).exists() or (ROOT / file).exists(), f"{line}: there is no {file}"
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), f"{line}: no such target"
        case ["pip", "install", *what]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.findall(r"\[([\w,]+)\]", " ".join(what))) <= set(extras), f"{line}: no such extra"
        case words:
            assert words[0] in ("git", "cd"), f"{line}: a command that nobody checks"


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "results/README.md"])
def test_commands_outside_of_blocks_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = FENCE.sub("", (ROOT / name).read_text())
    indented = re.findall(r"^    ((?:python|make|pip) .*)", page, re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`((?:python -m|make|pip install)\s[^`]+)`", page)]
    for line in [*indented, *spans]:
        check_command(line, monkeypatch)


NONE = [
    *("python -m benchmarks.run --sede 3", "python -m benchmarks.compare runs/gans", "python -m benchmarks.tune -x"),
    *("python -m benchmarks.runs", "python none.py", "make nothing", "pip install -e .[none]", "rm -r runs"),
]


@pytest.mark.parametrize("line", NONE)
def test_commands_that_are_none_are_noticed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, SystemExit)):
        check_command(line, monkeypatch)


# ---------------------------------------------------------------------------------------------------- the pages


def test_what_is_not_run_says_why() -> None:
    left_out = {f"{name}:{block.line}": block.reason for name in PAGES for block in blocks(name) if block.reason}
    assert len(left_out) <= NOT_RUN, left_out
    assert all(len(reason.strip()) > 15 for reason in left_out.values()), left_out


@pytest.mark.parametrize("name", PAGES)
def test_no_python_hides_in_another_fence(name: str) -> None:
    """As an indented block, a directive or another name of the language, it would not run."""
    page = (ROOT / name).read_text()
    fences = re.findall(r"^[ >]*(?:```+|~~~+).*\bpy(?:thon\d?|con)?\b.*", page, re.M)
    assert len(fences) == sum(block.info == "python" for block in blocks(name)), fences
    excused = sum(block.reason is not None for block in blocks(name) if block.info == "python")
    assert page.count("<!-- not run") == excused, "a comment stands right above the block that it is about"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = FENCE.sub("", (ROOT / name).read_text())
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists() or target.parent in MADE, f"{name}: {link} leads nowhere"
        if anchor:
            headings = [heading(line) for line in re.findall(r"^#+ (.+)", FENCE.sub("", target.read_text()), re.M)]
            assert anchor in headings, f"{name}: {link} has no such heading"


def heading(line: str) -> str:
    """The anchor that code hosts and MyST make of a heading."""
    return re.sub(r"[^\w\- ]", "", line.lower().strip()).replace(" ", "-")
