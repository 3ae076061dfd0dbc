"""Docstrings as reStructuredText.

They are written to be read as they are: formulas in Unicode, code in single backticks, and a few paragraphs that begin
with a label (`Cost per step:`). Whatever reStructuredText would take for markup is escaped; code becomes a link where
it names something public; `z_0` and `z_{k+1}` get real subscripts; labels become a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from generate.public import links

SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes", "Example", "Examples", "Note")
LABEL = re.compile(r"(Cost per step|State|Memory|Differs from the paper|Constraints|Source): (?=\S)")
CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SUBSCRIPT = re.compile(r"(?<=[^\W\d_]|[∂∇Σ½])_(\{[^{}\s]+\}|[A-Za-z0-9½](?![A-Za-z0-9_]))")
SPECIAL = re.compile(r"[\\*|]|_(?!\w)|(?<!\w)_|:(?=`)")


def converted(lines: Sequence[str]) -> list[str]:
    """A docstring, a line each, as reStructuredText that napoleon may read."""
    out: list[str] = []
    for block in _blocks(lines):
        out += block if block[0].lstrip().startswith((">>>", "...")) else _prose(block)
    return out


def prose(text: str) -> str:
    """A text without sections, examples or labels, in which paragraphs may have line breaks."""
    parts = CODE.split(text)
    return _joined([(_code(part) if k % 2 else _plain(part), bool(k % 2)) for k, part in enumerate(parts)])


def _joined(parts: Sequence[tuple[str, bool]]) -> str:
    """Pieces of text, some of them markup, which an escaped space keeps apart from letters beside it."""
    out = ""
    for text, marked in parts:
        first, last = text[:1], out[-1:]
        glued = last.strip("([{'\"-/") if marked else first
        out += (r"\ " if out and text and glued.strip() else "") + text
    return out


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Paragraphs, examples, and the empty lines between them; a heading of a section is one of its own."""
    held: list[str] = []
    for line in lines:
        alone = not line.strip() or line.strip() in {f"{name}:" for name in SECTIONS}
        example = line.lstrip().startswith(">>>") and not (held and held[0].lstrip().startswith(">>>"))
        label = held and LABEL.match(line)
        if held and (alone or example or label):
            yield held
            held = []
            if example:
                yield [""]
        if alone:
            yield [line]
        else:
            held.append(line)
    if held:
        yield held


def _prose(block: list[str]) -> list[str]:
    """A paragraph; one that begins with a label as an item of a list."""
    text = "\n".join(block)
    if not text.strip() or text.strip()[:-1] in SECTIONS:
        return block
    indent = text[: len(text) - len(text.lstrip())]
    if label := LABEL.match(text):
        first, *rest = prose(text[label.end() :]).splitlines()
        return ["", f":{label[1]}: {first}", *(f"    {line.strip()}" for line in rest), ""]
    head, colon, tail = text.partition(": ")
    if indent and colon and re.fullmatch(r"[\w*, ]+", head.strip()):  # an argument
        return f"{head}{colon}{prose(tail)}".splitlines()
    return prose(text).splitlines()


def _code(part: str) -> str:
    inside = part.strip("`")
    target = links().get(inside.partition("(")[0]) if re.fullmatch(r"[\w.]+(\(.*\))?", inside) else None
    if target is not None:
        return f":py:obj:`{inside} <{target}>`"
    return f"``{inside}``"


def _plain(part: str) -> str:
    pieces: list[tuple[str, bool]] = []
    at = 0
    for match in SUBSCRIPT.finditer(part):
        pieces += [(_escaped(part[at : match.start()]), False), (f":sub:`{match[1].strip('{}')}`", True)]
        at = match.end()
    return _joined([*pieces, (_escaped(part[at:]), False)])


def _escaped(text: str) -> str:
    bullets = re.split(r"(^ *\* )", text, flags=re.MULTILINE)
    return "".join(part if k % 2 else SPECIAL.sub(r"\\\g<0>", part) for k, part in enumerate(bullets))
