"""Optimizer specs, `extragradient[lr=1e-3,3e-4;fresh=true]`: how they are read and spelled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from itertools import pairwise, product
from typing import Any

import minimax as mm
from benchmarks.optimizers import KNOWN
from benchmarks.record import UsageError
from minimax.rules import BY_RATE as RULES

WORDS = {"true": True, "false": False, "none": None}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
SETUP = {"lr": float | tuple[float, ...], "decay": bool, "clip": float | None, "ema": float | None}
"""What a setup has beside the parameters of its optimizer and rules."""
FEW = 40  # names that a sentence can hold
SWEEP = 10_000  # optimizers in one `--optimizer`


@dataclass(frozen=True)
class Spec:
    """One optimizer with the parameters that were given for it; the value of a wrapper's `inner` is a spec.

    >>> str(Spec("halpern", (("lr", 0.1), ("inner", Spec("extragradient", (("fresh", True),))))))
    'halpern[lr=0.1;inner=extragradient[fresh=true]]'
    """

    optimizer: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.optimizer}[{show(dict(self.settings))}]" if self.settings else self.optimizer


def parse(text: str) -> list[Spec]:
    r"""The specs that one `--optimizer` argument stands for: the product of all its values.

    >>> [spec.settings for spec in parse("extragradient[lr=1e-3,3e-4;fresh=true]")]
    [(('lr', 0.001), ('fresh', True)), (('lr', 0.0003), ('fresh', True))]

    What a wrapper goes around is a spec in turn; the rule with its parameters and lr stand outside, for all levels.

    >>> print(*parse("lookahead[inner=extragradient[fresh=true,false],optimistic;k=5]"), sep="\n")
    lookahead[inner=extragradient[fresh=true];k=5]
    lookahead[inner=extragradient[fresh=false];k=5]
    lookahead[inner=optimistic;k=5]

    Raises:
        UsageError: a malformed text, a name that nothing has, or a parameter where it does not belong.
    """
    return _parse(text, text, None)


def show(settings: Mapping[str, Any]) -> str:
    """Parameters as a spec spells them.

    >>> show({"lr": 1e-3, "betas": (0.5, 0.9), "fresh": True})
    'lr=0.001;betas=(0.5,0.9);fresh=true'
    """
    return ";".join(f"{name}={spell(value)}" for name, value in settings.items())


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """The name, if it is known.

    Raises:
        UsageError: it is not; the sentence names the nearest one, or all if they are few.
    """
    known = sorted(known)
    if name in known:
        return name
    near = get_close_matches(name, known, 1)
    named = f"choose from {', '.join(known) or 'none'}." if len(known) <= FEW else f"see --list for all {len(known)}."
    hint = f"did you mean {near[0]}?" if near else named
    raise UsageError(f"{name!r} is no {what}: {hint}")


def _parse(text: str, whole: str, around: str | None) -> list[Spec]:
    """`parse`, of the `inner` of the optimizer `around` too; `whole` is what stands on the command line."""
    match = re.fullmatch(r"\s*([^\[\]]*?)\s*(?:\[(.*)\])?\s*", text, re.DOTALL)
    if match is None or not match[1]:
        form = f"{'inner=' if around else ''}NAME"
        raise UsageError(
            f"--optimizer {whole!r} is malformed: write {form} or {form}[parameter=value,value;parameter=value]."
        )
    name = choose(f"inner optimizer of {around}" if around else "optimizer", match[1], KNOWN)
    settings: dict[str, list[Any]] = {}
    current = None
    for piece in _split(match[2] or "", whole):
        key = re.match(r"([^=\[]*)=", piece)  # a later = is that of an inner optimizer's parameter
        if key:
            current = _parameter(name, key[1].strip(), whole, around)
            if current in settings:
                raise UsageError(f"--optimizer {whole!r} gives {current} twice: separate its values by commas.")
        elif current is None:
            raise UsageError(f"--optimizer {whole!r} is malformed: {piece!r} has no parameter name.")
        value = piece[key.end() if key else 0 :].strip()
        values = _parse(value, whole, name) if current == "inner" else [_value(value, whole)]
        settings.setdefault(current, []).extend(values)
    if math.prod(map(len, settings.values())) > SWEEP:
        raise UsageError(f"--optimizer {name}[...] stands for more than {SWEEP} optimizers: sweep over fewer values.")
    return [Spec(name, tuple(zip(settings, values, strict=True))) for values in product(*settings.values())]


def _parameter(optimizer: str, name: str, whole: str, around: str | None) -> str:
    """The parameter's name, if the optimizer takes it here, be it outermost or the `inner` of the one `around`."""
    wrappers = sorted(key for key, kind in KNOWN.items() if issubclass(kind, mm.Wrapper))
    own = defaults(KNOWN[optimizer]).keys() | ({"inner"} if optimizer in wrappers else set())
    shared = {"rule", *SETUP}.union(*(defaults(rule) for rule in RULES.values())) - own
    if name == "inner" and optimizer not in wrappers:  # such as unrolled, whose inner rule has no spelling here
        raise UsageError(
            f"--optimizer {whole!r} gives inner= to {optimizer}, which goes around no other optimizer: "
            f"leave it out, or choose from {', '.join(wrappers)}."
        )
    if around and name in shared:
        raise UsageError(
            f"--optimizer {whole!r} gives {name}= to the inner {optimizer}, but one rule plays all levels: "
            f"write {name}= beside the outermost inner=."
        )
    return choose(f"parameter of {optimizer}", name, own if around else own | shared)


def defaults(kind: type) -> dict[str, Any]:
    """The parameters of an optimizer or rule that need not be given, with their values."""
    return {item.name: item.default for item in fields(kind) if item.default is not MISSING}


def _split(text: str, whole: str) -> list[str]:
    """Cut at the commas and semicolons that stand outside brackets."""
    masked, found = text, 1
    while found:  # from the innermost brackets outwards
        masked, found = re.subn(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", lambda match: "_" * len(match[0]), masked)
    cuts = [-1, *(i for i, sign in enumerate(masked) if sign in ",;"), len(text)]
    pieces = [text[a + 1 : b] for a, b in pairwise(cuts)] if text else []
    if not all(piece.strip() for piece in pieces) or set(masked) & set("()[]"):
        raise UsageError(f"--optimizer {whole!r} is malformed: a value is missing, or a bracket is not closed.")
    return pieces


def _value(text: str, whole: str) -> Any:
    if text.startswith("(") and text.endswith(")"):
        parts = [part.strip() for part in text[1:-1].split(",")]
        return tuple(_value(part, whole) for part in (parts[:-1] if len(parts) > 1 and not parts[-1] else parts))
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if NUMBER.fullmatch(text):
        return _number(text, whole)
    if re.fullmatch(r"[a-z_]\w*", text) and text not in ("nan", "inf", "infinity"):
        return text
    raise UsageError(f"--optimizer {whole!r} is malformed: {text!r} is no finite number, (tuple), true, false or none.")


def _number(text: str, whole: str) -> int | float:
    """A number as it is spelled: whole without point and exponent."""
    value = float(text)
    if not math.isfinite(value) or (value == 0 and re.search("[1-9]", text.lower().partition("e")[0])):
        raise UsageError(f"--optimizer {whole!r}: {text} is too {'small' if value == 0 else 'large'} for a number.")
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else value


def spell(value: Any) -> str:
    """A value as a spec spells it."""
    if isinstance(value, tuple):
        return f"({','.join(map(spell, value))})"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)  # short, but never another number
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
