"""How an optimizer looks in every figure: colour and dashes by its name, markers by its parameters. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from zlib import crc32

import seaborn as sns

NAMES = (
    *("simultaneous", "alternating", "extragradient", "optimistic", "consensus"),
    *("anderson-mixing", "averaging", "cgd", "extra-anchored-gradient", "fast-extragradient", "follow-the-ridge"),
    *("golden-ratio", "halpern", "hamiltonian", "jare", "k-beam", "lola", "lookahead", "lookahead-gradient"),
    *("nagarajan-kolter", "past-extragradient", "sga", "sos", "stackelberg", "svre", "unrolled"),
)
"""Optimizers in the order in which they were given their looks: append, never insert, and old figures keep theirs."""
DASHES = ((), (4, 1.5), (1, 1))
OWN = (5, 1, 1, 1, 1, 1)
"""The dashes of optimizers that are not among the names; their hue is a hash."""
MARKERS = ("o", "s", "^", "D", "v", "p", "P", "<", "h", ">")  # less the X, which means diverged


class Look(NamedTuple):
    """How one label is drawn.

    Args:
        colour: of lines, bands and marks; the optimizer's.
        dashes: of lines, on and off in points, empty for a solid one; the optimizer's.
        marker: of dots; tells apart several labels of one optimizer in one figure.
        alone: whether the optimizer has no other label here, so that its lines need no markers.
    """

    colour: Any
    dashes: tuple[float, ...]
    marker: str
    alone: bool


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """The look of every label, an optimizer's name and what parameters were given.

    >>> found = looks(["sga", "sga lr=0.1"])
    >>> found["sga"].colour == looks(["sga lr=0.1"])["sga lr=0.1"].colour, found["sga lr=0.1"].marker
    (True, 's')
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(label.partition(" ")[0], []).append(label)
    return {
        label: Look(*_of(name), MARKERS[i % len(MARKERS)], alone=len(group) == 1)
        for name, group in groups.items()
        for i, label in enumerate(group)
    }


def _of(name: str) -> tuple[Any, tuple[float, ...]]:
    if name not in NAMES:
        return sns.husl_palette(1, h=crc32(name.encode()) / 2**32)[0], OWN
    palette = sns.color_palette("colorblind")
    which = NAMES.index(name)
    return palette[which % len(palette)], DASHES[which // len(palette)]
