"""Pieces of reStructuredText."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

RULES = "=-~"


def heading(text: str, level: int = 0) -> str:
    """A title."""
    return f"{text}\n{RULES[level] * (2 * len(text))}\n"  # twice: a character may be wide


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of one-line cells; nothing where there are no rows."""
    lines = [_row(row) for row in [head, *rows]]
    if len(lines) == 1:
        return ""
    return "\n".join([".. list-table::", "   :header-rows: 1", "   :widths: auto", "", *lines, ""])


def _row(cells: Sequence[str]) -> str:
    return "\n".join(f"   {'* -' if k == 0 else '  -'} {cell}".rstrip() for k, cell in enumerate(cells))


def toctree(pages: Iterable[str], *options: str) -> str:
    """A list of pages."""
    lines = [*(f":{option}:" for option in options), "", *pages]
    return "\n".join([".. toctree::", *(f"   {line}".rstrip() for line in lines), ""])


def fields(items: Iterable[tuple[str, str]]) -> str:
    """Labels and what they say; those that say nothing are left out."""
    return "\n".join(f":{label}: {text}" for label, text in items if text) + "\n"


def write(path: Path, *parts: str) -> None:
    """Write a page, unless it says so already: what did not change is not built again."""
    text = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
