"""Optimizer specs: `extragradient[lr=1e-3,3e-4;fresh=true]` and a problem's recipe in, game optimizers out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from itertools import pairwise, product
from typing import Any

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from minimax.optimizers import BY_NAME

RULES: dict[str, type[mm.Rule]] = {"sgd": mm.sgd, "rmsprop": mm.rmsprop, "adam": mm.adam}
WORDS = {"true": True, "false": False, "none": None}


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
            return RULES[self.rule](mm.schedules.linear(lr, 0.0, steps) if self.decay else lr, **self.options)

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
    rule = choose("rule", str(given.pop("rule", recipe.rule)), RULES)
    known, arguments = _defaults(RULES[rule]), _arguments(spec, recipe)
    # All parameters stand in the setup, defaults too: it identifies the run, and a default may change.
    options = known | {name: value for name, value in recipe.options.items() if rule == recipe.rule or name in known}
    setup = {"lr": recipe.lr, "decay": recipe.decay}
    for name, value in given.items():
        if name in arguments:
            continue
        if name in known:
            options[name] = _like(known[name], value, name)
        elif name in setup:
            setup[name] = _like(False if name == "decay" else 0.0, value, name)
        else:
            raise UsageError(f"{name} is no parameter of the rule {rule}: choose another with rule=adam, say.")
    lr: Any = tuple(map(float, setup["lr"])) if isinstance(setup["lr"], tuple) else float(setup["lr"])
    result = Setup(spec.optimizer, arguments, rule, lr, options, bool(setup["decay"]))
    try:
        result.build(1)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--optimizer {spec.optimizer}: {error}") from error
    return result


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
    arguments |= {name: _like(own[name], given[name], f"{name} of {spec.optimizer}") for name in given if name in own}
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
        return tuple(_value(part.strip(), whole) for part in text[1:-1].split(",") if part.strip())
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    if re.fullmatch(r"[a-z_]\w*", text):
        return text
    raise UsageError(f"--optimizer {whole!r} is malformed: {text!r} is no number, (tuple), true, false or none.")


def _like(default: Any, value: Any, name: str) -> Any:
    """The value with the numbers' type that the default has, so that 1 and 1.0 are one configuration."""
    if isinstance(value, tuple):
        first = default[0] if isinstance(default, tuple) and default else default
        return tuple(_like(first, part, name) for part in value)
    if isinstance(default, tuple):
        raise UsageError(f"{name} takes a tuple such as {_spell(default)}, got {_spell(value)}.")
    if isinstance(default, bool) is not isinstance(value, bool) and default is not None:
        wanted = "true or false" if isinstance(default, bool) else "a number"
        raise UsageError(f"{name} takes {wanted}, got {_spell(value)}.")
    if isinstance(default, int | float) and not isinstance(value, int | float):
        raise UsageError(f"{name} takes a number, got {_spell(value)}.")
    return float(value) if isinstance(default, float) else value


def _spell(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_spell, value))})"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
