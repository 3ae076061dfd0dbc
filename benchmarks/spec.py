"""Optimizer specs: `extragradient[lr=1e-3,3e-4;fresh=true]` and a problem's recipe in, game optimizers out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from itertools import product
from typing import Any

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from minimax.optimizers import BY_NAME

RULES: dict[str, type[mm.Rule]] = {"sgd": mm.sgd, "rmsprop": mm.rmsprop, "adam": mm.adam}
WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Spec:
    """One optimizer with the parameters that were given for it."""

    optimizer: str
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Setup:
    """Everything that makes the optimizer of a run, but for the number of steps.

    Args:
        optimizer: a name in `minimax.optimizers.BY_NAME`.
        fields: the optimizer's own parameters.
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
        return BY_NAME[self.optimizer].of(rules, **self.fields)


def parse(text: str) -> list[Spec]:
    """The specs that one `--optimizer` argument stands for: the product of all its values.

    >>> [spec.settings for spec in parse("extragradient[lr=1e-3,3e-4;fresh=true]")]
    [(('lr', 0.001), ('fresh', True)), (('lr', 0.0003), ('fresh', True))]

    Raises:
        UsageError: a malformed text, or a name that nothing has.
    """
    match = re.fullmatch(r"\s*([^\[\]]*?)\s*(?:\[([^\[\]]*)\])?\s*", text)
    if match is None or not match[1]:
        raise UsageError(
            f"--optimizer {text!r} is malformed: write NAME or NAME[parameter=value,value;parameter=value]."
        )
    name = choose("optimizer", match[1], BY_NAME)
    settings: dict[str, list[Any]] = {}
    current = None
    for piece in _split(match[2] or "", text):
        key, equals, value = (part.strip() for part in piece.partition("="))
        if equals:
            current = choose(f"parameter of {name}", key, _parameters(name))
            if current in settings:
                raise UsageError(f"--optimizer {text!r} gives {current} twice: separate its values by commas.")
        elif current is None:
            raise UsageError(f"--optimizer {text!r} is malformed: {piece!r} has no parameter name.")
        settings.setdefault(current, []).append(_value(value if equals else key, text))
    return [Spec(name, tuple(zip(settings, values, strict=True))) for values in product(*settings.values())]


def resolve(spec: Spec, recipe: Recipe) -> Setup:
    """The setup of a problem's recipe, overridden by the spec.

    Raises:
        UsageError: a parameter that the problem's rule does not have, or a value that does not fit.
    """
    given = dict(spec.settings)
    rule = choose("rule", str(given.pop("rule", recipe.rule)), RULES)
    known, own = _defaults(RULES[rule]), _defaults(BY_NAME[spec.optimizer])
    # All parameters stand in the setup, defaults too: it identifies the run, and a default may change.
    options = known | {name: value for name, value in recipe.options.items() if rule == recipe.rule or name in known}
    setup = {"lr": recipe.lr, "decay": recipe.decay}
    arguments = dict(own)
    if BY_NAME[spec.optimizer] is mm.AlternatingGDA:
        arguments |= {"steps": recipe.steps, "order": recipe.order}
    for name, value in given.items():
        if name in own:
            arguments[name] = _like(own[name], value, name)
        elif name in known:
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


def _parameters(optimizer: str) -> set[str]:
    own = set(_defaults(BY_NAME[optimizer]))
    return own.union({"rule", "lr", "decay"}, *(_defaults(rule) for rule in RULES.values()))


def _defaults(kind: type) -> dict[str, Any]:
    return {item.name: item.default for item in fields(kind) if item.default is not MISSING}


def _split(text: str, whole: str) -> list[str]:
    """Cut at the commas and semicolons that stand outside parentheses."""
    pieces = re.split(r"[,;](?![^()]*\))", text) if text else []
    if not all(piece.strip() for piece in pieces) or text.count("(") != text.count(")"):
        raise UsageError(f"--optimizer {whole!r} is malformed: a value is missing, or a parenthesis is not closed.")
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
