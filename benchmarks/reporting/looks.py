"""How an optimizer looks in every figure: colour and dashes by its name, markers by its parameters. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from zlib import crc32

import seaborn as sns

NAMES = (
    *("simultaneous", "alternating", "extragradient", "optimistic", "consensus"),
    *("anderson-mixing", "averaging", "cgd", "extra-anchored-gradient", "fast-extragradient", "follow-the-ridge"),
    *("golden-ratio", "halpern", "hamiltonian", "jare", "k-beam", "lola", "lookahead", "policy-prediction"),
    *("nagarajan-kolter", "past-extragradient", "sga", "sos", "stackelberg", "svre", "unrolled"),
    *("forward-backward-forward", "projected-reflected", "accelerated-reflected", "fast-optimistic"),
    *("polyak-extragradient", "primal-dual", "restarted", "runge-kutta", "cesp"),
    *("value-function", "bome", "mehra-hamm", "storm"),
)
"""Optimizers in the order in which they were given their looks: append, never insert, and old figures keep theirs."""
DASHES = ((), (4, 1.5), (1, 1), (3, 1, 1, 1), (5, 1, 1, 1, 1, 1))
"""Of the first ten names, of the next, and so on; the last are of all other optimizers, whose colour is a hash."""
MARKERS = ("o", "s", "^", "D", "v", "p", "P", "<", "h", ">", "d", "8", "*")  # less the X, which means diverged


class Look(NamedTuple):
    """How one label is drawn.

    Args:
        colour: of lines, bands and marks; the optimizer's.
        dashes: of lines, on and off in points, empty for a solid one; the optimizer's.
        marker: of dots; tells apart optimizers of one colour, and several labels of one optimizer in one figure.
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
    (True, '<')
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(label.partition(" ")[0], []).append(label)
    return {
        label: _look(name, i, alone=len(group) == 1) for name, group in groups.items() for i, label in enumerate(group)
    }


def place(label: str) -> tuple[int, str]:
    """Where a label stands among others, in every table and figure: by its optimizer's place in `NAMES`."""
    name = label.partition(" ")[0]
    return (NAMES.index(name) if name in NAMES else len(NAMES)), label


def _look(name: str, variant: int, alone: bool) -> Look:
    palette = sns.color_palette("colorblind")
    if name in NAMES:
        again, which = divmod(NAMES.index(name), len(palette))
        colour = palette[which]
    else:
        light, hue = divmod(crc32(name.encode()), 2**30)
        again, colour = len(DASHES) - 1, sns.husl_palette(1, h=hue / 2**30, l=0.4 + 0.12 * light)[0]
    return Look(colour, DASHES[again], MARKERS[(again + len(DASHES) * variant) % len(MARKERS)], alone)
