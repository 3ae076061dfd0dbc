"""The stateful shell for people with `nn.Module`s: `bind` keeps their parameters updated in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree, validation
from minimax.admission import mismatch
from minimax.compiling import compiled
from minimax.ema import EMA as EMA
from minimax.errors import GameError
from minimax.facade import TorchOptimizer
from minimax.game import Game, modules_among
from minimax.inspection import inspect, refuse_cuts
from minimax.optimizer import GameOptimizer, Hyperparameter, Info
from minimax.playing import check_playable, copied, entries, like
from minimax.saving import described, fitting
from minimax.types import P, Players, State


class Trainer(Generic[P]):
    """Modules, their game and an optimizer, stepped in place. Made by `bind`.

    `info = trainer.step(batch)` moves every module; `trainer.state_dict()` is a plain dict of tensors that
    `torch.load(..., weights_only=True)` reads back, and `load_state_dict` continues bit for bit. With these two it is
    `Stateful` to `torch.distributed.checkpoint`, and `trainer.optimizer` is what torch's schedulers, hooks, Lightning
    and accelerate take for an optimizer (see `minimax.facade.TorchOptimizer`).

    The modules are the truth: a step starts from their parameters as they stand, so that `load_state_dict`, clipping by
    hand or another trainer count. `steps` counts the steps taken, each of all players together, `skipped` those that
    were passed over, and `rollbacks` how often play went back to the last values that were kept. `method` is the game
    optimizer.
    """

    def __init__(
        self,
        game: Game,
        modules: P,
        method: GameOptimizer,
        ema: Hyperparameter | None = None,
        ema_buffers: bool = False,
        skips: int | None = 0,
        rollback: int | None = None,
        check: bool = True,
    ) -> None:
        self.modules, self.method, self.skips, self.rollback = modules, method, skips, rollback
        self.steps = self.skipped = self.rollbacks = self._in_a_row = 0
        self._unbound, self._decay, self._ema_buffers, self._check = game, ema, ema_buffers, check
        self._facade: TorchOptimizer | None = None
        self._kept: dict[str, Any] | None = None
        self._went_back = False
        self.rebind()

    def rebind(self) -> None:
        """Play on with the modules as they are now: other layers, dtype, device, or frozen parameters.

        The optimizer's state and the moving average start anew.

        Raises:
            GameError: modules that cannot be played.
        """
        self.game, players = self._unbound.functional(self.modules)
        self.state: State = self.method.init(self.game, players)
        self._tensors = self._besides(players)
        buffers = self._held(self.game.modules.buffers) if self._ema_buffers and self.game.modules is not None else None
        self.ema = None if self._decay is None else EMA(players, self._decay, buffers)
        self._unseen, self._kept = True, None
        if self._facade is not None:
            self._facade.rebound()

    @property
    def optimizer(self) -> TorchOptimizer:
        """This trainer as a `torch.optim.Optimizer`; ask before the first step if that is compiled.

        Raises:
            GameError: a method that moves by no rule.
        """
        if self._facade is None:
            self._facade = TorchOptimizer(self, self._play)
        return self._facade

    @property
    def players(self) -> Players:
        """The players as they stand; of a module the dict of its trainable parameters, which share its memory."""
        modules = self.game.modules
        return self._tensors if modules is None else self._besides(self._tensors, modules.parameters)

    def _besides(self, players: Players, of_module: Callable[[int], Any] = lambda i: None) -> Players:
        """The players with something else in the places of modules: nothing, as those hold what is theirs."""
        values = entries(players)
        for i, module in enumerate(() if self.game.modules is None else self.game.modules.modules):
            if module is not None:
                values[i] = of_module(i)
        return like(players, values)

    def step(self, *batches: Any) -> Info:
        """One step of the method on `method.draws` batches; the modules' parameters are updated in place.

        Args:
            batches: one argument per batch: `step(batch)`, or `step(first, second)` if a step draws two.

        Raises:
            GameError: another number of batches; modules that have changed since they were bound (see `rebind`); at the
                first step, what `minimax.inspection.inspect` refuses; or a step that is not finite. Modules, state and
                average are then as they were before the step.
        """
        drawn = self._drawn(batches)
        return self._play(drawn) if self._facade is None else self._facade.step(lambda: drawn)

    def _play(self, drawn: Any) -> Info:
        """A step on what it draws: a batch, or a list of several."""
        if self.game.modules is not None:
            self.game.modules.check()
        if self.rollback and (self._kept is None or self.steps - self._kept["counts"]["steps"] >= self.rollback):
            self._kept, self._went_back = _copies(self._saved()), False
        players, method = self.players, self.method if self._facade is None else self._facade.now()
        first = drawn[0] if method.draws > 1 and isinstance(drawn, list | tuple) else drawn
        if self._unseen and self._check:
            inspect(self.game, players, first)
        new, state, info = method.step(self.game, players, self.state, drawn)
        if self._unseen:
            if self._check and info.cost.hvps:
                refuse_cuts(self.game, players, first)
            _refuse_aliases(state, players)
            self._unseen = False
        if "skipped" in info.extra and bool(info.extra["skipped"]):  # the scale of the losses moves, and nothing else
            self.state, self.skipped = state, self.skipped + 1
        elif self.skips is None or self._finite(new, info):
            if self.ema is not None:
                self.ema.update(new, self.state["step"], info.buffers)
            self.state = state
            self.game.commit(info.buffers)
            self._write(new)
            self.steps += 1
        if self._facade is not None:
            self._facade.follow()
        return info

    def answer(self) -> P:
        """What the optimizer says its answer is: the modules as they stand, or copies that hold an average of them."""
        players = self.players
        answer = self.method.answer(players, self.state)
        return self.modules if answer is players else copied(self.modules, answer)

    def averaged(self) -> P:
        """Copies of the modules that hold an average: the moving one of `ema`, or else the optimizer's `answer`.

        Raises:
            ValueError: bind was called without `ema`, and the optimizer averages nothing.
        """
        if self.ema is not None:
            copies = copied(self.modules, self.ema.players)
            if self.ema.buffers and (modules := modules_among(copies)) is not None:
                modules.commit(self.ema.buffers)
            return copies
        answer = self.answer()
        if answer is self.modules:
            raise ValueError("there is no moving average: pass ema=0.999 to bind, or bind Averaging(...).")
        return answer

    # ------------------------------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Which optimizer it was; players, state, buffers and frozen parameters, average: tensors in plain containers.

        All are copies.
        """
        groups = () if self._facade is None else self._facade.saved()
        return {"optimizer": described(self.method), "groups": groups, **_copies(self._saved())}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: anything that does not fit: another optimizer or rule, another structure, shape or dtype, an
                average that only one of the two has. Nothing is loaded then.
        """
        method = described(self.method)
        if not isinstance(saved, Mapping) or set(saved) != {"optimizer", "groups", *self._saved()}:
            got = sorted(map(str, saved)) if isinstance(saved, Mapping) else type(saved).__name__
            raise ValueError(
                f"the saved state has the entries {got}, which do not fit this trainer (is ema the same?)."
            )
        if saved["optimizer"] != method:
            raise ValueError(f"the state was saved by {saved['optimizer']}, and this is {method}: bind the same one.")
        mine = self._saved()
        mine["state"] = fitting(self.method, self.game, self.players, saved["state"])
        if wrong := next(filter(None, (mismatch(saved[key], mine[key], key) for key in mine)), ""):
            raise ValueError(f"the saved state does not fit what is bound here: {wrong}. Nothing was loaded.")
        if saved["groups"] and len(saved["groups"]) != len(self.optimizer.param_groups):
            count = len(self.optimizer.param_groups)
            raise ValueError(
                f"the saved state has {len(saved['groups'])} parameter groups, and there are {count} here."
            )
        self._restore(pytree.tree_map(_placed, {key: saved[key] for key in mine}, mine))
        self.steps, self.skipped, self.rollbacks = (saved["counts"][key] for key in ("steps", "skipped", "rollbacks"))
        self._kept = None
        if self._facade is not None:
            self._facade.load(saved["groups"])

    def _restore(self, saved: dict[str, Any]) -> None:
        self.state, self.steps = saved["state"], saved["counts"]["steps"]
        self.game.commit(saved["held"])
        if self.ema is not None:
            self.ema.load(saved["ema"], saved["ema_buffers"])
        self._write(saved["players"])

    def _held(self, names: Mapping[str, Any]) -> dict[str, Tensor]:
        """Buffers and frozen parameters of the modules as they stand."""
        return {} if self.game.modules is None else self.game.modules.read(names)

    def _saved(self) -> dict[str, Any]:
        modules = self.game.modules
        held = {} if modules is None else self._held({**modules.buffers, **modules.frozen})
        saved = {"players": self.players, "state": self.state, "held": held}
        saved["counts"] = {"steps": self.steps, "skipped": self.skipped, "rollbacks": self.rollbacks}
        return saved if self.ema is None else saved | {"ema": self.ema.players, "ema_buffers": self.ema.buffers}

    # ----------------------------------------------------------------------------------------------------- steps

    def _drawn(self, batches: tuple[Any, ...]) -> Any:
        draws = self.method.draws
        if batches and len(batches) != draws:
            raise GameError(
                f"a step of {self.method.name} takes {draws} batches, each an argument of its own, got "
                f"{len(batches)}: trainer.step({', '.join(['batch'] * draws)})."
            )
        return None if not batches else batches[0] if draws == 1 else list(batches)

    def _finite(self, new: Players, info: Info) -> bool:
        """Whether the step is worth keeping. Reads one number off the device.

        Raises:
            GameError: it is not, and neither were the `skips` before it.
        """
        leaves = [leaf for value in entries(new) for leaf in tree.flatten(value)[0]]
        if tree.any_sharded(leaves):  # on all ranks alike
            leaves = [tree.gathered(tree.norm(leaves))]
        seen = [*info.losses, *[leaf.contiguous() for leaf in leaves]]  # it writes, which no expanded tensor allows
        found, one = [seen[-1].new_full((), k, dtype=torch.float32) for k in (0, 1)]
        torch._amp_foreach_non_finite_check_and_unscale_(seen, found, one)  # what GradScaler asks with: one pass
        if not found.item():
            self._in_a_row = 0
            return True
        self.skipped, self._in_a_row = self.skipped + 1, self._in_a_row + 1
        if self._in_a_row > (self.skips or 0):
            if self._kept is not None and not self._went_back:
                self._restore(_copies(self._kept))
                self._went_back, self._in_a_row, self.rollbacks = True, 0, self.rollbacks + 1
                return False
            raise GameError(
                f"step {self.steps + 1} is not finite: {self._first(new, info)}. The modules hold the last finite "
                "values: lower the rate, clip, or let bind(..., skips=5) pass over up to five such steps in a row."
            )
        return False

    def _first(self, new: Players, info: Info) -> str:
        """The first number that is not finite, by name."""
        keys = list(new) if isinstance(new, Mapping) else range(len(new))
        for key, loss in zip(keys, info.losses, strict=True):
            if not torch.isfinite(loss):
                return f"the loss of players[{key!r}] is {float(loss):g}"
        for what, values in (("gradient", dict(zip(keys, info.gradients, strict=True))), ("next value", new)):
            for key in keys:
                paths = [pytree.keystr(path) for path, _ in pytree.tree_leaves_with_path(new[key])]
                for path, leaf in zip(paths, pytree.tree_leaves(values[key]), strict=True):
                    if not torch.isfinite(tree.norm([leaf])):
                        return f"the {what} of players[{key!r}]{path} is not"
        return "the players together are too large"

    def _write(self, new: Players) -> None:
        if self.game.modules is not None:
            self.game.modules.write(entries(new))
        self._tensors = self._besides(new)


def _refuse_aliases(state: State, players: Players) -> None:
    """A state that holds the modules' own memory would change with them at the next step."""
    theirs = {tree.memory(leaf) for leaf in pytree.tree_leaves(players) if leaf.numel()}
    for path, leaf in pytree.tree_leaves_with_path(state):
        if isinstance(leaf, Tensor) and leaf.numel() and tree.memory(leaf) in theirs:
            raise GameError(
                f"the optimizer keeps a player's own tensor in state{pytree.keystr(path)}, which the next step writes "
                "to: keep a copy (tree.clone)."
            )


def _copies(saved: dict[str, Any]) -> dict[str, Any]:
    copies: dict[str, Any] = pytree.tree_map(lambda x: x.detach().clone() if isinstance(x, Tensor) else x, saved)
    return copies


def _placed(saved: Any, mine: Any) -> Any:
    """A copy of a saved value, where mine lies."""
    return saved.to(mine.device, copy=True) if isinstance(saved, Tensor) else saved


def bind(
    game: Game,
    modules: P,
    optimizer: GameOptimizer,
    *,
    ema: Hyperparameter | None = None,
    ema_buffers: bool = False,
    skips: int | None = 0,
    rollback: int | None = None,
    check: bool = True,
    compile: bool = False,
) -> Trainer[P]:
    """Tie modules to a game and an optimizer, so that `trainer.step(batch)` moves them in place.

    Args:
        game: the losses; they receive the modules.
        modules: a tuple or dict of players, each an `nn.Module` (or plain tensors, found in
            `trainer.players`).
        optimizer: the algorithm.
        ema: the decay of a moving average of all players (`trainer.averaged()`), or None; a float, a tensor or a
            schedule (`schedules.warmed`, `schedules.half_life`).
        ema_buffers: average the modules' buffers as well, BatchNorm's statistics say; else averaged modules have the
            last ones.
        skips: how many steps in a row may be passed over because a loss, a gradient or a new value is not finite,
            before one is an error. Finding out reads one number off the device per step; None does not look.
        rollback: instead of that error go back to a copy of everything (players, state, buffers, average) that is made
            every so many steps, and play on with the batches that come; once a copy, as a second time the same would
            happen. Costs the memory of a checkpoint; what was loaded is the first copy. None for none.
        check: look once, at the first step, for what would be silently wrong (see `minimax.inspection.inspect`); costs
            one forward pass of every loss, two for optimizers that take second derivatives.
        compile: compile the step (see `compiled`).

    From a loop of torch to extragradient it is three lines, as losses may be the closures that stand there already,
    over modules and batch: `game = Game(lambda *_: loss_g(), lambda *_: loss_d())`, `trainer = bind(game, (G, D),
    ExtraGradient(adam(2e-4)))`, and `trainer.step()` instead of zero_grad, backward and step. A bound module holds the
    point that it is asked at, the half step's too.

    Raises:
        TypeError: a game or an optimizer that is none.
        ValueError: a decay outside [0, 1), skips below 0, a rollback below 1; a rollback with skips=None, or averaged
            buffers without an average.
        GameError: players that the optimizer cannot move.

    Example:
        >>> import torch, minimax as mm
        >>> x, y = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> trainer = bind(mm.zero_sum(lambda x, y, b: (x(b) * y(b)).sum()), (x, y), mm.ExtraGradient(mm.sgd(0.5)))
        >>> for _ in range(200): info = trainer.step(torch.ones(1, 1))
        >>> bool(x.weight.abs() < 1e-6)
        True
    """
    check_playable(game, optimizer)
    for name, value in (("ema_buffers", ema_buffers), ("check", check), ("compile", compile)):
        validation.flag(name, value)
    if skips is not None:
        validation.whole("skips", skips, at_least=0)
    if rollback is not None:
        validation.whole("rollback", rollback, at_least=1)
        if skips is None:
            raise ValueError(
                "rollback waits for a step that is not finite, and skips=None does not look: pass skips=0."
            )
    if ema_buffers and ema is None:
        raise ValueError("ema_buffers=True averages buffers beside the players, got ema=None: pass ema=0.999, say.")
    method = compiled(optimizer) if compile else optimizer
    return Trainer(game, modules, method, ema, ema_buffers, skips, rollback, check)
