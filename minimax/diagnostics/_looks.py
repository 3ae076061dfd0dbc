"""How an optimizer looks in every figure: colour and dashes by its name, markers for others of that name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from minimax.compiling import Compiled
from minimax.optimizer import GameOptimizer

NAMES = (
    *("simultaneous", "alternating", "extragradient", "optimistic", "consensus"),
    *("anderson-mixing", "averaging", "cgd", "extra-anchored-gradient", "fast-extragradient", "follow-the-ridge"),
    *("golden-ratio", "halpern", "hamiltonian", "jare", "k-beam", "lola", "lookahead", "policy-prediction"),
    *("nagarajan-kolter", "past-extragradient", "sga", "sos", "stackelberg", "svre", "unrolled"),
    *("forward-backward-forward", "projected-reflected", "accelerated-reflected", "fast-optimistic"),
    *("polyak-extragradient", "primal-dual", "restarted", "runge-kutta", "cesp"),
    *("value-function", "bome", "mehra-hamm", "storm"),
)
"""In the order in which they were given their looks: append, never insert, and old figures keep theirs.

`benchmarks.reporting.looks` holds the same list, as it draws without importing torch; a test compares them.
"""
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1), (3, 1, 1, 1), (5, 1, 1, 1, 1, 1))
"""Of the first ten names, of the next, and so on; the last are of all other optimizers, whose colour is a hash."""
MARKERS = (".", "s", "^", "D", "v", "p", "P", "<", "h", ">", "d", "8", "*")


def looks(optimizers: Mapping[str, GameOptimizer]) -> dict[str, dict[str, Any]]:
    """What matplotlib's `plot` takes of every optimizer, by its label. Needs seaborn."""
    seen: Counter[str] = Counter()
    found = {}
    for label, optimizer in optimizers.items():
        name = optimizer.inner.name if isinstance(optimizer, Compiled) else optimizer.name
        colour, dashes = look(name)
        found[label] = {
            "color": colour,
            "linestyle": (0, dashes) if dashes else "-",
            "marker": MARKERS[seen[name] % len(MARKERS)],
        }
        seen[name] += 1
    return found


def look(name: str) -> tuple[Any, tuple[float, ...]]:
    """The colour and the dashes of an optimizer's name."""
    import seaborn as sns

    palette = sns.color_palette("colorblind")
    if name in NAMES:
        again, which = divmod(NAMES.index(name), len(palette))
        return palette[which], DASHES[again]
    light, hue = divmod(crc32(name.encode()), 2**30)
    return sns.husl_palette(1, h=hue / 2**30, l=0.4 + 0.12 * light)[0], DASHES[-1]
