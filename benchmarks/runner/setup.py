"""From a problem's recipe and a spec to the optimizer of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

import torch

import minimax as mm
from benchmarks.optimizers import KNOWN
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from benchmarks.runner.spec import SETUP, Spec, choose, defaults, spell
from minimax.rules import BY_RATE as RULES
from minimax.rules import Hyperparameter, Rated

PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    float: ("a number", lambda value: type(value) in (int, float)),
    int: ("a whole number", lambda value: type(value) is int),
    bool: ("true or false", lambda value: type(value) is bool),
    type(None): ("none", lambda value: value is None),
}
"""What a parameter of such a type is called, and whether a value is of it."""
LARGEST = 1000
"""A whole number up to this is taken on the shortest run too; above it, up to the steps of the run."""


@dataclass(frozen=True)
class Setup:
    """Everything that makes the optimizer of a run, but for the number of steps, and what is evaluated beside it.

    Args:
        optimizer: its name, see `benchmarks.optimizers.KNOWN`.
        fields: the optimizer's own parameters; a wrapper's `inner` is {"optimizer": its name, "fields": its own}.
        rule: one for all players, or one each.
        decay: the learning rates fall linearly to zero.
        clip: the norm that each player's gradient is clipped to.
        ema: after how many steps an iterate counts half in the average of the players; a number or a schedule.
    """

    optimizer: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    rule: mm.Rule | tuple[mm.Rule, ...] = mm.adam(1e-3)
    decay: bool = False
    clip: float | None = None
    ema: Hyperparameter | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """All that changes the numbers, in plain containers."""
        return {name: plain(value) for name, value in vars(self).items()}

    @property
    def shape(self) -> dict[str, Any]:
        """Its identity without the numbers, but for whole ones and those that are the same for all of an ensemble."""
        rules = [_blank(plain(rule)) for rule in (self.rule if isinstance(self.rule, tuple) else (self.rule,))]
        alike = rules if any(rule != rules[0] for rule in rules) else rules[:1]
        return _blank({**self.identity, "rule": None, "ema": None}) | {"rule": alike, "ema": plain(self.ema)}

    @property
    def names(self) -> list[str]:
        """The optimizer's name and those of what is inside it, from the outermost in."""
        return _names(self.optimizer, self.fields)

    def build(self, steps: int) -> mm.GameOptimizer:
        """The optimizer of a run of so many steps.

        Raises:
            ValueError: a parameter out of its range.
        """

        def finished(rule: mm.Rule) -> mm.Rule:
            if self.decay:
                rule = changed(rule, lambda one: _updated(one, {"lr": mm.schedules.linear(rate(one), 0.0, steps)}))
            return rule if self.clip is None else mm.clipped(rule, norm=self.clip)

        rules = tuple(map(finished, self.rule)) if isinstance(self.rule, tuple) else finished(self.rule)
        return _maker(self.optimizer, self.fields)(rules)


def _names(optimizer: str, fields: Mapping[str, Any]) -> list[str]:
    inside = [name for value in fields.values() if isinstance(value, Mapping) for name in _names(**value)]
    return [optimizer, *inside]


def resolve(spec: Spec, recipe: Recipe) -> Setup:
    """The setup of a problem's recipe, overridden by the spec.

    Raises:
        UsageError: a parameter that the problem's rules do not have, or a value that does not fit.
    """
    arguments = _arguments(spec, recipe)
    given = {name: value for name, value in spec.settings if name not in arguments}
    setup = {name: fit(SETUP[name], given.pop(name), name) for name in SETUP if name in given and name != "lr"}
    try:
        rule = _overridden(recipe.rule, given)
        if recipe.factors and "lr" not in given and not _alternates(spec):
            rule = _quickened(rule, recipe.factors)
        beside = {"decay": recipe.decay, "clip": recipe.clip, "ema": recipe.ema} | setup
        result = Setup(spec.optimizer, arguments, rule, **beside)
        result.build(1)
    except UsageError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"--optimizer {spec.optimizer}: {' '.join(str(error).split())}") from error
    return result


def _alternates(spec: Spec) -> bool:
    """Whether it is alternating play, or goes around it."""
    inside = [value for _, value in spec.settings if isinstance(value, Spec)]
    return KNOWN[spec.optimizer] is mm.AlternatingGDA or any(map(_alternates, inside))


def _quickened(rule: mm.Rule | tuple[mm.Rule, ...], factors: Sequence[float]) -> tuple[mm.Rule, ...]:
    """One rule each, their rates multiplied by the factors."""

    def times(one: mm.Rule, factor: float) -> mm.Rule:
        return changed(one, lambda inner: _updated(inner, {"lr": factor * rate(inner)}))

    rules = rule if isinstance(rule, tuple) else (rule,) * len(factors)
    return tuple(times(one, factor) for one, factor in zip(rules, factors, strict=True))


def _overridden(rule: mm.Rule | tuple[mm.Rule, ...], given: Mapping[str, Any]) -> mm.Rule | tuple[mm.Rule, ...]:
    """The recipe's rules with what the spec says of them: another kind, other rates, other parameters."""
    given = dict(given)
    rules = rule if isinstance(rule, tuple) else (rule,)
    if "rule" in given:
        kind = RULES[choose("rule", spell(given.pop("rule")), RULES)]
        rules = tuple(_become(kind, one) for one in rules)
    rates = fit(SETUP["lr"], given.pop("lr"), "lr") if "lr" in given else None
    for name, value in given.items():
        owners = [kind for one in rules for kind in map(type, plain_rules(one)) if name in defaults(kind)]
        if not owners:
            kinds = ", ".join(dict.fromkeys(type(one).__name__ for one in rules))
            raise UsageError(f"{name} is no parameter of the rule {kinds}: choose another with rule=adam, say.")
        fitting = {name: fit(get_type_hints(owners[0])[name], value, name)}
        rules = tuple(changed(one, partial(_updated, values=fitting)) for one in rules)
    if isinstance(rates, tuple):
        rules = rules * len(rates) if len(rules) == 1 else rules
        pairs = zip(rules, rates, strict=True)
        return tuple(changed(one, partial(_updated, values={"lr": rate})) for one, rate in pairs)
    if rates is not None:
        rules = tuple(changed(one, partial(_updated, values={"lr": rates})) for one in rules)
    return rules if isinstance(rule, tuple) else rules[0]


def _become(kind: type[mm.Rule], rule: mm.Rule) -> mm.Rule:
    """A rule of this kind, with the rate and whatever else the old one calls the same."""
    (first, *_) = plain_rules(rule)
    return kind(**{item.name: getattr(first, item.name) for item in fields(kind) if item.name in vars(first)})


def _updated(rule: mm.Rule, values: Mapping[str, Any]) -> mm.Rule:
    return replace(rule, **{name: value for name, value in values.items() if name in vars(rule)})


def changed(rule: mm.Rule, change: Callable[[mm.Rule], mm.Rule]) -> mm.Rule:
    """The rule with a change made to it, or to all rules inside where it goes around others."""
    inside = {name: value for name, value in vars(rule).items() if isinstance(value, mm.Rule)}
    if not inside:
        return change(rule)
    return replace(rule, **{name: changed(value, change) for name, value in inside.items()})


def plain_rules(rule: mm.Rule) -> list[mm.Rule]:
    """The rule, or those inside where it goes around others."""
    inside = [value for value in vars(rule).values() if isinstance(value, mm.Rule)]
    return [found for one in inside for found in plain_rules(one)] if inside else [rule]


def rate(rule: mm.Rule) -> float:
    """The learning rate of a rule, if that is a number.

    Raises:
        ValueError: it is a schedule, or there is none.
    """
    if not isinstance(rule, Rated) or not isinstance(rule.lr, float | int):
        raise ValueError(f"a rate that is lowered or multiplied has to be a number, got {rule}: leave decay out.")
    return rule.lr


def plain(value: Any) -> Any:
    """A parameter in plain containers: rules and schedules by name with their parameters, functions by name.

    >>> plain(mm.sgd(0.1))
    {'sgd': {'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'weight_decay': 0.0}}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {name: plain(inner) for name, inner in vars(value).items()}}
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value if isinstance(value, bool | int | float | str | None) else value.__qualname__


def _blank(value: Any) -> Any:
    """Plain containers with every number that is not whole left out."""
    if isinstance(value, Mapping):
        return {name: _blank(inner) for name, inner in value.items()}
    return list(map(_blank, value)) if isinstance(value, list) else "float" if isinstance(value, float) else value


def check(spec: Spec, steps: int, players: Callable[[], int | None]) -> None:
    """Make sure that a spec fits a run.

    Args:
        spec: the optimizer.
        steps: the run's.
        players: says how many there are, None if that is not known yet; asked where a parameter has a value for each.

    Raises:
        UsageError: a whole number that the run cannot hold, or a tuple that does not match the players.
    """
    hints, most = get_type_hints(KNOWN[spec.optimizer]) | SETUP, max(LARGEST, steps)
    for name, value in spec.settings:
        each = value if isinstance(value, tuple) else (value,)
        shown = f"--optimizer {spec.optimizer}: {name}={spell(value)}"
        if isinstance(value, Spec):
            check(value, steps, players)
        elif _counts(hints.get(name)) and any(type(x) is int and x > most for x in each):
            raise UsageError(f"{shown} is more than the {steps} steps of the run: choose {most} at most.")
        elif isinstance(value, tuple) and _for_each_player(hints.get(name)) and players() not in (None, len(value)):
            count = f"{players()} player{'s' if players() != 1 else ''}"
            raise UsageError(f"{shown} does not fit {count}: give one value for all, or other problems with -p.")


def _arguments(spec: Spec, recipe: Recipe) -> dict[str, Any]:
    """An optimizer's own parameters, all of them, and those of the one inside: by the spec, the recipe, the default."""
    kind, given = KNOWN[spec.optimizer], dict(spec.settings)
    own = defaults(kind)
    arguments = dict(own)
    if kind is mm.AlternatingGDA:
        arguments |= {"steps": recipe.steps, "order": recipe.order}
    hints = get_type_hints(kind)
    arguments |= {name: fit(hints[name], given[name], f"{name} of {spec.optimizer}") for name in given if name in own}
    if issubclass(kind, mm.Wrapper):
        inner = given.get("inner", Spec(kind.usual.name))
        arguments["inner"] = {"optimizer": inner.optimizer, "fields": _arguments(inner, recipe)}
    return arguments


def _maker(optimizer: str, fields: Mapping[str, Any]) -> Callable[[mm.Rule | tuple[mm.Rule, ...]], mm.GameOptimizer]:
    """From a rule, or one per player, to the optimizer, with what is inside it."""
    inside = {name: _maker(**value) for name, value in fields.items() if isinstance(value, Mapping)}
    return partial(KNOWN[optimizer].of, **{**fields, **inside})


def fit(hint: Any, value: Any, name: str) -> Any:
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
                return tuple(fit(parts[0], part, name) for part in value)
            wanted.append("a tuple, one value a player" if parts[-1] is ... else f"a tuple of {len(parts)}")
    raise UsageError(f"{name} takes {' or '.join(wanted)}, got {spell(value)}.")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a hint allows."""
    return get_args(hint) if get_args(hint) and get_origin(hint) is not tuple else (hint,)


def _counts(hint: Any) -> bool:
    """Whether a parameter is a whole number: of steps, batches, iterations, players."""
    return any(int in (kind, *get_args(kind)) for kind in _alternatives(hint))


def _for_each_player(hint: Any) -> bool:
    """Whether a parameter takes a tuple with a value for each player."""
    return any(get_origin(kind) is tuple and get_args(kind)[-1] is ... for kind in _alternatives(hint))
