"""The table of docs/optimizers.md, from the docstrings: `python docs/tables.py` writes it, tests compare it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from minimax import GameOptimizer
from minimax.optimizers import BY_NAME

PAGE = Path(__file__).parent / "optimizers.md"
START, END = "<!-- optimizers: written by docs/tables.py -->\n", "<!-- end of optimizers -->"


def entry(text: str, label: str) -> str:
    """The paragraph of a docstring that starts with this label, in one line, without the label."""
    match = re.search(rf"^{label}[^:\n]*: (.*?)(?:\n\n|\n\S+:\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(match[1].split()) if match else ""


def row(kind: type[GameOptimizer]) -> str:
    """One optimizer: its class, its command-line name, its docstring's first line, its cost."""
    text = inspect.getdoc(kind) or ""
    what = " ".join(text.split("\n\n")[0].split())
    cost = entry(text, "Cost per step").partition(". ")[0]
    cells = (f"`{kind.__name__}`", f"`{kind.name}`", what, cost)
    return "| " + " | ".join(cell.rstrip(".").replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    """All of them as Markdown."""
    head = "| class | name | what it does | cost per step |\n|---|---|---|---|\n"
    return head + "\n".join(row(kind) for _, kind in sorted(BY_NAME.items())) + "\n"


def written(page: str) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(START)
    return before + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
