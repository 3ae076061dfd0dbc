"""The pages of the API reference, from the docstrings."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from tables import entry as labelled

from generate import docstrings, rst
from generate.public import PACKAGES, TOPICS, WRITERS, Entry, members, pages

AUTODOC = {"class": "autoclass", "function": "autofunction", "exception": "autoexception"}


def write(home: Path) -> None:
    """Write all of them into a folder."""
    for page, entries in pages().items():
        rst.write(home / f"{page}.rst", *_page(page, entries))
    rst.write(home / "optimizers" / "index.rst", *_optimizers())


def _page(page: str, entries: list[Entry]) -> list[str]:
    if page.startswith("optimizers/"):
        (only,) = entries
        return [rst.heading(only.value.__name__), _told(only)]
    if page in PACKAGES:
        module = importlib.import_module(f"minimax.{PACKAGES[page]}")
        title, about = f"minimax.{PACKAGES[page]}", "\n".join(docstrings.converted(_module(module.__doc__ or "")))
    elif page in TOPICS:
        title, about = TOPICS[page][0], ""
    else:
        title, said, _ = WRITERS[page]
        about = docstrings.prose(said)
    listed = [(f":py:obj:`{entry.name.rpartition('.')[2]} <{entry.name}>`", summary(entry)) for entry in entries]
    told = [_told(one) for one in entries]
    return [rst.heading(title), about, "", rst.table(("name", "what it is"), listed), *told]


def _module(text: str) -> list[str]:
    """A module's docstring, whose example needs no heading of its own."""
    lines = inspect.cleandoc(text).splitlines()
    return [line.strip() if line.startswith("    >>>") or line.startswith("    ...") else line for line in lines]


def _told(one: Entry) -> str:
    kind = "function" if inspect.isroutine(one.value) else "class"
    if inspect.isclass(one.value) and issubclass(one.value, BaseException):
        kind = "exception"
    lines = [f".. {AUTODOC[kind]}:: {one.name}"]
    if kind == "class" and (shown := members(one.value)):
        lines.append(f"   :members: {', '.join(shown)}")
        lines.append("   :member-order: bysource")
    return "\n".join([*lines, ""])


def summary(one: Entry) -> str:
    """The first sentence of a docstring, on one line."""
    return docstrings.prose(" ".join(one.documented.split("\n\n")[0].split()))


def _optimizers() -> list[str]:
    """A table of all of them, and the list of their pages."""
    listed = {page: entries[0] for page, entries in sorted(pages().items()) if page.startswith("optimizers/")}
    rows = [
        (
            f":py:obj:`{one.value.__name__} <{one.name}>`",
            summary(one).rstrip("."),
            docstrings.prose(labelled(one.documented, "Cost per step").partition(". ")[0].rstrip(".")),
            f"``{one.value.name}``",
        )
        for one in listed.values()
    ]
    about = docstrings.prose(
        "Each is a schedule of oracle calls; the rule says how far a gradient moves a player, the payoff what it is "
        "the gradient of. `name` is what `python -m benchmarks.run --optimizer NAME` calls it. Which one to take: "
    )
    return [
        rst.heading("Optimizers"),
        f"{about}:doc:`/how-to-choose`.",
        "",
        rst.table(("class", "what a step does", "cost per step", "name"), rows),
        rst.toctree((page.removeprefix("optimizers/") for page in listed), "hidden"),
    ]
