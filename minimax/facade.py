"""A bound game as torch's tools see it: a `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.admission import mismatch
from minimax.compiling import Compiled
from minimax.errors import GameError
from minimax.groups import Part, joined, numbers, parts, ruled, with_rules, written
from minimax.info import Info
from minimax.optimizer import GameOptimizer
from minimax.playing import entries
from minimax.rules import Rule, now
from minimax.rules.rule import zero

if TYPE_CHECKING:
    from minimax.modules import Trainer

Options = dict[str, Any]


class TorchOptimizer(torch.optim.Optimizer):
    """A trainer as a torch optimizer, `trainer.optimizer`: for schedulers, hooks, Lightning and accelerate.

    One parameter group per player, and per part of `rules.split`, which names its `player` and holds what its rule has:
    `lr`, `betas`, `momentum`, `weight_decay`, `norm`, ... What is written there, by a scheduler or by hand, counts from
    the next step on; compiled, without compiling again, if this was made before the first step (a number that is 0 in
    the rule, and not a rate, is left out of the graph, and costs a compilation once it is another).

    `step(closure)` is one step of the game, of all players together. The closure gives the *batch* (or a list of them,
    if a step draws several), as the losses are the game's and an extragradient evaluates them twice:

        optimizer.step(lambda: batch)        # which trainer.step(batch) is too: hooks run and are counted either way

    Gradients never pass through `parameter.grad`: what clips or inspects it, `clip_grad_norm_` or a `GradScaler`, finds
    nothing there. Clip by the rule (`clipped`, each player by its own), scale losses by `LossScaled`.
    `state_dict` and `load_state_dict` are the trainer's.

    Raises:
        GameError: an optimizer without rules; `add_param_group`; at a step, a closure that returned a loss, an option
            that the rule follows a schedule of its own for, or one that would need another memory.
        ValueError: at a step, an option out of its range.

    Example:
        >>> import torch, minimax as mm
        >>> x, y = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> game = mm.zero_sum(lambda x, y, b: (x(b) * y(b)).sum())
        >>> trainer = mm.bind(game, (x, y), mm.ExtraGradient((mm.sgd(0.5), mm.sgd(0.1))))
        >>> halving = torch.optim.lr_scheduler.ExponentialLR(trainer.optimizer, gamma=0.5)
        >>> info = trainer.step(torch.ones(1, 1)); halving.step()
        >>> [group["lr"] for group in trainer.optimizer.param_groups]
        [0.25, 0.05]
    """

    def __init__(self, trainer: Trainer[Any], play: Callable[[Any], Info]) -> None:
        self._trainer, self._play = trainer, play
        self._whole: list[tuple[Rule, list[Part]]] = []
        self._built: GameOptimizer = trainer.method
        self._seen: list[Options] = []
        self._taken = False
        self._rows = [_Row(part, trainer.state["step"]) for part in self._parts()]
        common = set.intersection(*(set(row.own) for row in self._rows))  # what torch may take for granted everywhere
        groups = [{"params": self._params(row.part), "player": self._key(row.part)} | row.shown for row in self._rows]
        super().__init__(groups, {name: value for name, value in groups[0].items() if name in common})
        self._taken = True
        self._renew()

    # -------------------------------------------------------------------------------------------- what torch asks for

    def step(self, closure: Callable[[], Any] | None = None) -> Info:  # type: ignore[override]
        """One step of the game on the batch that the closure returns, or on none.

        Raises:
            GameError: a closure that returned a loss; options that cannot be (see the class).
        """
        drawn = None if closure is None else closure()
        if isinstance(drawn, Tensor) and drawn.requires_grad:
            raise GameError(
                "the closure of trainer.optimizer.step returned a loss, but the losses are the game's: return the "
                "batch, optimizer.step(lambda: batch)."
            )
        return self._play(drawn)

    def add_param_group(self, param_group: Options) -> None:
        """Takes the players' groups when this is made, and no other.

        Raises:
            GameError: a group more.
        """
        if self._taken:
            raise GameError(
                "trainer.optimizer takes no further group, as its groups are the players: bind the game anew, or give "
                "some leaves a rule of their own by rules.split."
            )
        super().add_param_group(param_group)

    def state_dict(self) -> Options:
        """The trainer's."""
        return self._trainer.state_dict()

    def load_state_dict(self, state_dict: Options) -> None:
        """The trainer's."""
        self._trainer.load_state_dict(state_dict)

    def __getstate__(self) -> Options:
        return dict(self.__dict__)

    # ----------------------------------------------------------------------------------------- what the trainer asks

    def now(self) -> GameOptimizer:
        """The trainer's optimizer with the numbers that the groups hold."""
        values = [row.read(group) for row, group in zip(self._rows, self.param_groups, strict=True)]
        if all(map(_same, values, self._seen)):
            return self._built
        for row, value in zip(self._rows, values, strict=True):
            row.check(value)
        if not isinstance(self._built, Compiled):
            self._built = self._with(values)
        else:
            fits = [row.fill(value) for row, value in zip(self._rows, values, strict=True)]
            if not all(fits):
                self._built = self._with([row.cells for row in self._rows])
        self._seen = values
        return self._built

    def follow(self) -> None:
        """After a step: show where schedules stand, and players of plain tensors, which are new ones every time."""
        for row, group in zip(self._rows, self.param_groups, strict=True):
            group["params"][:] = self._params(row.part)
            row.look(self._trainer.state["step"])
            group.update({name: row.shown[name] for name in row.scheduled})

    def rebound(self) -> None:
        """Go on with the modules as they are now.

        Raises:
            GameError: another number of groups.
        """
        rows = [_Row(part, self._trainer.state["step"]) for part in self._parts()]
        if len(rows) != len(self._rows):
            raise GameError(
                f"there were {len(self._rows)} parameter groups, and are {len(rows)} now: bind the game anew, and make "
                "its schedulers anew."
            )
        self._rows = rows
        self._renew()
        self.follow()

    def saved(self) -> tuple[Options, ...]:
        """What was written into the groups, in numbers; a tuple, which torch.distributed.checkpoint saves as one."""
        rows = []
        for row, group in zip(self._rows, self.param_groups, strict=True):
            mine = {name: _plain(value) for name, value in group.items() if name not in ("params", "player")}
            own = {name: _plain(value) for name, value in row.shown.items()}
            rows.append({name: value for name, value in mine.items() if name not in own or value != own[name]})
        return tuple(rows)

    def load(self, saved: Sequence[Options]) -> None:
        """Go on with what was written into the groups of a saved trainer."""
        for row, group, values in zip(self._rows, self.param_groups, saved or [{}] * len(self._rows), strict=True):
            for name, value in (row.shown | values).items():
                if isinstance(group.get(name), Tensor):
                    group[name].fill_(value)
                else:
                    group[name] = value
        self.follow()

    # ------------------------------------------------------------------------------------------- players and parts

    def _parts(self) -> list[Part]:
        """What moves apart, player by player; what moves nothing is no group."""
        players, self._whole = entries(self._trainer.players), []
        rules = ruled(self._trainer.method).rules(len(players))
        for i, (rule, player) in enumerate(zip(rules, players, strict=True)):
            leaves, spec = tree.flatten(player)
            self._whole.append((rule, parts(i, rule, leaves, tree.names(spec))))
        return [part for _, divided in self._whole for part in divided if part.leaves]

    def _renew(self) -> None:
        """Start from the numbers of the rules, in tensors where the step is compiled."""
        self._built, self._seen = self._trainer.method, [dict(row.own) for row in self._rows]
        if isinstance(self._built, Compiled):
            self._built = self._with([row.cells for row in self._rows])

    def _with(self, values: list[Options]) -> GameOptimizer:
        """The optimizer with these numbers, one dict per row."""
        given, rules = iter(values), []
        for rule, divided in self._whole:
            new = [written(part.rule, next(given)) if part.leaves else part.rule for part in divided]
            rules.append(joined(rule, iter(new)))
        return with_rules(self._trainer.method, tuple(rules))

    def _key(self, part: Part) -> Any:
        players = self._trainer.players
        return list(players)[part.player] if isinstance(players, dict) else part.player

    def _params(self, part: Part) -> list[Tensor]:
        """The tensors of a part: a module's own parameters, or the player's leaves as they stand."""
        modules = self._trainer.game.modules
        if modules is not None and modules.modules[part.player] is not None:
            leaves = [tensor for _, tensor in modules.originals(part.player)]
        else:
            leaves = tree.flatten(entries(self._trainer.players)[part.player])[0]
        return [leaves[k] for k in part.leaves]


class _Row:
    """The numbers of one group: as its rule has them, as they are shown, and as a compiled step reads them."""

    def __init__(self, part: Part, step: Tensor) -> None:
        self.part, self.own = part, numbers(part.rule)
        self.scheduled = [name for name, value in self.own.items() if _any(callable, value)]
        self.shown: Options = {name: _copied(value) for name, value in self.own.items()}
        self.look(step)
        self.cells, self.device = dict(self.own), step.device
        for name, value in self.own.items():
            if name not in self.scheduled and (name == "lr" or not zero(value)):
                self.cells[name] = self.cell(value)

    def look(self, step: Tensor) -> None:
        """Show where the schedules stand."""
        for name in self.scheduled:
            self.shown[name] = pytree.tree_map(lambda value: float(now(value, step)), self.own[name])

    def read(self, group: Options) -> Options:
        """What the group holds of it; of schedules the rule's own.

        Raises:
            GameError: a number in the place of a schedule.
        """
        for name in self.scheduled:
            if group[name] != self.shown[name]:
                raise GameError(
                    f"{name} of parameter group {group['player']!r} was set to {group[name]!r}, but its rule follows a "
                    "schedule already: bind the rule with a number, or leave it to the schedule."
                )
        return {name: own if name in self.scheduled else group[name] for name, own in self.own.items()}

    def check(self, values: Options) -> None:
        """Refuse numbers that the rule cannot go on with.

        Raises:
            ValueError: a number out of its range.
            GameError: one that the rule would remember something else for.
        """
        rule = written(self.part.rule, values)
        for name, value in values.items():
            if zero(value) != zero(self.own[name]):  # what is 0 may be left out, and its memory too
                leaf, names = [torch.zeros(1)], ["0"]
                if wrong := mismatch(self.part.rule.init(leaf, names), rule.init(leaf, names), "memory", more=True):
                    raise GameError(
                        f"{name} was set to {value!r} in a parameter group, which needs another memory than at "
                        f"{self.own[name]!r} ({wrong}): bind the rule with it."
                    )

    def cell(self, value: Any) -> Any:
        """Tensors to read a number from, so that it may change without another graph."""
        return pytree.tree_map(lambda x: torch.as_tensor(x, dtype=torch.float64, device=self.device).clone(), value)

    def fill(self, values: Options) -> bool:
        """Let the compiled step read these numbers; False if it has to be another one for that."""
        fits = True
        for name, value in values.items():
            if name in self.scheduled:
                continue
            if _any(torch.is_tensor, self.cells[name]):
                pytree.tree_map(lambda cell, number: cell.copy_(torch.as_tensor(number)), self.cells[name], value)
            elif not zero(value):
                self.cells[name], fits = self.cell(value), False
        return fits


def _any(test: Callable[[Any], bool], value: Any) -> bool:
    return any(map(test, value)) if isinstance(value, tuple) else test(value)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _plain(value: Any) -> Any:
    """Numbers instead of tensors, and tuples instead of lists."""
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, Tensor) else value


def _same(one: Any, other: Any) -> bool:
    """Whether two options are the same number; tensors never are, as what is in them may have changed."""
    if isinstance(one, dict):
        return all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return not (torch.is_tensor(one) or torch.is_tensor(other)) and (one is other or bool(one == other))
