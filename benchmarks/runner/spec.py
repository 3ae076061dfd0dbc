"""Optimizer specs: `extragradient[lr=1e-3,3e-4;fresh=true]` and a problem's recipe in, game optimizers out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import partial
from itertools import pairwise, product
from typing import Any, get_args, get_origin, get_type_hints

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from minimax.optimizers import BY_NAME

RULES: dict[str, type[mm.Rule]] = {"sgd": mm.sgd, "rmsprop": mm.rmsprop, "adam": mm.adam}
WORDS = {"true": True, "false": False, "none": None}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
SETUP = {"lr": float | tuple[float, ...], "decay": bool}
"""What a setup has beside the parameters of its optimizer and rule."""
PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    float: ("a number", lambda value: type(value) in (int, float)),
    int: ("a whole number", lambda value: type(value) is int),
    bool: ("true or false", lambda value: type(value) is bool),
    type(None): ("none", lambda value: value is None),
}
"""What a parameter of such a type is called, and whether a value is of it."""
LARGEST = 1000
"""A whole number up to this is taken on the shortest run too; above it, up to the steps of the run."""
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


@dataclass(frozen=True)
class Setup:
    """Everything that makes the optimizer of a run, but for the number of steps.

    Args:
        optimizer: a name in `minimax.optimizers.BY_NAME`.
        fields: the optimizer's own parameters; a wrapper's `inner` is {"optimizer": its name, "fields": its own}.
        rule: sgd, rmsprop or adam.
        lr: one learning rate, or one per player.
        options: the rule's other parameters.
        decay: the learning rate falls linearly to zero.
    """

    optimizer: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    rule: str = "adam"
    lr: float | tuple[float, ...] = 1e-3
    options: Mapping[str, Any] = field(default_factory=dict)
    decay: bool = False

    def build(self, steps: int) -> mm.GameOptimizer:
        """The optimizer of a run of so many steps.

        Raises:
            ValueError: a parameter out of its range.
        """

        def rule(lr: float) -> mm.Rule:
            steady = RULES[self.rule](lr, **self.options)  # which refuses a rate that a schedule would hide
            return replace(steady, lr=mm.schedules.linear(lr, 0.0, steps)) if self.decay else steady

        rules = tuple(map(rule, self.lr)) if isinstance(self.lr, tuple) else rule(self.lr)
        return _maker(self.optimizer, self.fields)(rules)


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


def resolve(spec: Spec, recipe: Recipe) -> Setup:
    """The setup of a problem's recipe, overridden by the spec.

    Raises:
        UsageError: a parameter that the problem's rule does not have, or a value that does not fit.
    """
    given = dict(spec.settings)
    rule = choose("rule", _spell(given.pop("rule", recipe.rule)), RULES)
    known, arguments, hints = _defaults(RULES[rule]), _arguments(spec, recipe), get_type_hints(RULES[rule]) | SETUP
    # All parameters stand in the setup, defaults too: it identifies the run, and a default may change.
    options = known | {name: value for name, value in recipe.options.items() if rule == recipe.rule or name in known}
    setup = {"lr": recipe.lr, "decay": recipe.decay}
    for name, value in given.items():
        if name in arguments:
            continue
        if name not in known | setup:
            raise UsageError(f"{name} is no parameter of the rule {rule}: choose another with rule=adam, say.")
        (options if name in known else setup)[name] = _fit(hints[name], value, name)
    lr: Any = tuple(map(float, setup["lr"])) if isinstance(setup["lr"], tuple) else float(setup["lr"])
    result = Setup(spec.optimizer, arguments, rule, lr, options, bool(setup["decay"]))
    try:
        result.build(1)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"--optimizer {spec.optimizer}: {' '.join(str(error).split())}") from error
    return result


def check(spec: Spec, steps: int, players: Callable[[], int | None]) -> None:
    """Make sure that a spec fits a run.

    Args:
        spec: the optimizer.
        steps: the run's.
        players: says how many there are, None if that is not known yet; asked where a parameter has a value for each.

    Raises:
        UsageError: a whole number that the run cannot hold, or a tuple that does not match the players.
    """
    hints, most = get_type_hints(BY_NAME[spec.optimizer]) | SETUP, max(LARGEST, steps)
    for name, value in spec.settings:
        each = value if isinstance(value, tuple) else (value,)
        shown = f"--optimizer {spec.optimizer}: {name}={_spell(value)}"
        if isinstance(value, Spec):
            check(value, steps, players)
        elif _counts(hints.get(name)) and any(type(x) is int and x > most for x in each):
            raise UsageError(f"{shown} is more than the {steps} steps of the run: choose {most} at most.")
        elif isinstance(value, tuple) and _for_each_player(hints.get(name)) and players() not in (None, len(value)):
            count = f"{players()} player{'s' if players() != 1 else ''}"
            raise UsageError(f"{shown} does not fit {count}: give one value for all, or other problems with -p.")


def show(settings: Mapping[str, Any]) -> str:
    """Parameters as a spec spells them.

    >>> show({"lr": 1e-3, "betas": (0.5, 0.9), "fresh": True})
    'lr=0.001;betas=(0.5,0.9);fresh=true'
    """
    return ";".join(f"{name}={_spell(value)}" for name, value in settings.items())


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """The name, if it is known.

    Raises:
        UsageError: it is not; the sentence names the nearest one, or all.
    """
    known = sorted(known)
    if name in known:
        return name
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known) or 'none'}."
    raise UsageError(f"{name!r} is no {what}: {hint}")


def _parse(text: str, whole: str, around: str | None) -> list[Spec]:
    """`parse`, of the `inner` of the optimizer `around` too; `whole` is what stands on the command line."""
    match = re.fullmatch(r"\s*([^\[\]]*?)\s*(?:\[(.*)\])?\s*", text, re.DOTALL)
    if match is None or not match[1]:
        form = f"{'inner=' if around else ''}NAME"
        raise UsageError(
            f"--optimizer {whole!r} is malformed: write {form} or {form}[parameter=value,value;parameter=value]."
        )
    name = choose(f"inner optimizer of {around}" if around else "optimizer", match[1], BY_NAME)
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
    wrappers = sorted(key for key, kind in BY_NAME.items() if issubclass(kind, mm.Wrapper))
    own = _defaults(BY_NAME[optimizer]).keys() | ({"inner"} if optimizer in wrappers else set())
    shared = {"rule", "lr", "decay"}.union(*(_defaults(rule) for rule in RULES.values())) - own
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


def _arguments(spec: Spec, recipe: Recipe) -> dict[str, Any]:
    """An optimizer's own parameters, all of them, and those of the one inside: by the spec, the recipe, the default."""
    kind, given = BY_NAME[spec.optimizer], dict(spec.settings)
    own = _defaults(kind)
    arguments = dict(own)
    if kind is mm.AlternatingGDA:
        arguments |= {"steps": recipe.steps, "order": recipe.order}
    hints = get_type_hints(kind)
    arguments |= {name: _fit(hints[name], given[name], f"{name} of {spec.optimizer}") for name in given if name in own}
    if issubclass(kind, mm.Wrapper):
        inner = given.get("inner", Spec(kind.usual.name))
        arguments["inner"] = {"optimizer": inner.optimizer, "fields": _arguments(inner, recipe)}
    return arguments


def _maker(optimizer: str, fields: Mapping[str, Any]) -> Callable[[mm.Rule | tuple[mm.Rule, ...]], mm.GameOptimizer]:
    """From a rule, or one per player, to the optimizer, with what is inside it."""
    inside = {name: _maker(**value) for name, value in fields.items() if isinstance(value, Mapping)}
    return partial(BY_NAME[optimizer].of, **{**fields, **inside})


def _defaults(kind: type) -> dict[str, Any]:
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


def _fit(hint: Any, value: Any, name: str) -> Any:
    """The value as one of the types that the hint allows, so that 1 and 1.0 are one configuration.

    Raises:
        UsageError: it is of none of them; the sentence says what is.
    """
    wanted = []
    for kind in _alternatives(hint):
        if kind in PLAIN:
            words, holds = PLAIN[kind]
            if holds(value):
                return float(value) if kind is float else value
            wanted.append(words)
        elif get_origin(kind) is tuple:
            parts = get_args(kind)
            if isinstance(value, tuple) and value and len(value) == (len(value) if parts[-1] is ... else len(parts)):
                return tuple(_fit(parts[0], part, name) for part in value)
            wanted.append("a tuple, one value a player" if parts[-1] is ... else f"a tuple of {len(parts)}")
    raise UsageError(f"{name} takes {' or '.join(wanted)}, got {_spell(value)}.")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a hint allows."""
    return get_args(hint) if get_args(hint) and get_origin(hint) is not tuple else (hint,)


def _counts(hint: Any) -> bool:
    """Whether a parameter is a whole number: of steps, batches, iterations, players."""
    return any(int in (kind, *get_args(kind)) for kind in _alternatives(hint))


def _for_each_player(hint: Any) -> bool:
    """Whether a parameter takes a tuple with a value for each player."""
    return any(get_origin(kind) is tuple and get_args(kind)[-1] is ... for kind in _alternatives(hint))


def _spell(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_spell, value))})"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)  # short, but never another number
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
