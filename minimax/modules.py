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
from minimax.errors import GameError
from minimax.game import Game
from minimax.inspection import inspect, refuse_cuts
from minimax.optimizer import GameOptimizer, Hyperparameter, Info
from minimax.playing import check_playable, copied, entries, like
from minimax.rules import now
from minimax.saving import described, expected
from minimax.types import P, Players, State


class EMA:
    r"""An exponential moving average of the players: z̄ ← β z̄ + (1-β) z, starting at the first z.

    Args:
        players: where the average starts.
        decay: β in [0, 1), a float, a tensor or a schedule step -> float: `lambda k: min(0.999, (k + 1) / (k + 10))`
            forgets the start sooner.

    Raises:
        ValueError: a decay outside [0, 1), or one per member of an ensemble.

    Example:
        >>> import torch
        >>> ema = EMA((torch.tensor(0.0),), decay=0.9)
        >>> ema.update((torch.tensor(1.0),))
        >>> ema.players
        (tensor(0.1000),)
    """

    def __init__(self, players: Players, decay: Hyperparameter = 0.999) -> None:
        validation.hyperparameter("decay", decay, at_least=0, below=1)
        if isinstance(decay, Tensor) and decay.dim():
            raise ValueError(f"decay must be one number for all players, got {validation.shown(decay)}.")
        self.decay = decay
        leaves, self._spec = tree.flatten(players)
        self._mean = [leaf.detach().clone() for leaf in leaves]

    def update(self, players: Players, step: Tensor | None = None) -> None:
        """Take the players of one more step into the average.

        Args:
            players: shaped like the first ones.
            step: which step that was, from 0 on, as `state["step"]` was before it; for a decay that is a schedule.

        Raises:
            ValueError: no step, where the decay is a schedule.
        """
        if step is None and callable(self.decay):
            raise ValueError("the decay is a schedule: say which step it was, ema.update(players, step).")
        decay = now(self.decay, torch.tensor(0) if step is None else step)
        self._mean = tree.lerp(self._mean, tree.flatten(players)[0], 1 - decay)

    @property
    def players(self) -> Players:
        """The average, shaped like the players."""
        mean: Players = tree.unflatten(self._mean, self._spec)
        return mean

    def load(self, players: Players) -> None:
        """Go on from a saved average."""
        self._mean = [leaf.clone() for leaf in tree.flatten(players)[0]]


class Trainer(Generic[P]):
    """Modules, their game and an optimizer, stepped in place. Made by `bind`.

    `info = trainer.step(batch)` moves every module; `trainer.state_dict()` is a plain dict of tensors that
    `torch.load(..., weights_only=True)` reads back, and `load_state_dict` continues bit for bit.

    The modules are the truth: a step starts from their parameters as they stand, so that `load_state_dict`, clipping by
    hand or another trainer count. `steps` counts the steps taken, each of all players together, and `skipped` those
    that were passed over; give it to loggers that count steps of torch optimizers, as there are none here.
    """

    def __init__(
        self,
        game: Game,
        modules: P,
        optimizer: GameOptimizer,
        ema: Hyperparameter | None = None,
        skips: int | None = 0,
        check: bool = True,
    ) -> None:
        self.modules, self.optimizer, self.skips = modules, optimizer, skips
        self.steps = self.skipped = self._in_a_row = 0
        self._unbound, self._decay, self._check = game, ema, check
        self.rebind()

    def rebind(self) -> None:
        """Play on with the modules as they are now: other layers, dtype, device, or frozen parameters.

        The optimizer's state and the moving average start anew.

        Raises:
            GameError: modules that cannot be played.
        """
        self.game, players = self._unbound.functional(self.modules)
        self.state: State = self.optimizer.init(self.game, players)
        self.ema = None if self._decay is None else EMA(players, self._decay)
        self._tensors = self._besides(players)
        self._unseen = True

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
        """One step of the optimizer on `optimizer.draws` batches; the modules' parameters are updated in place.

        Args:
            batches: one argument per batch: `step(batch)`, or `step(first, second)` if a step draws two.

        Raises:
            GameError: another number of batches; modules that have changed since they were bound (see `rebind`); at the
                first step, what `minimax.inspection.inspect` refuses; or a step that is not finite. Modules, state and
                average are then as they were before the step.
        """
        if self.game.modules is not None:
            self.game.modules.check()
        players, drawn = self.players, self._drawn(batches)
        first = batches[0] if batches else None
        if self._unseen and self._check:
            inspect(self.game, players, first)
        new, state, info = self.optimizer.step(self.game, players, self.state, drawn)
        if self._unseen:
            if self._check and info.cost.hvps:
                refuse_cuts(self.game, players, first)
            _refuse_aliases(state, players)
            self._unseen = False
        if self.skips is None or self._finite(new, info):
            if self.ema is not None:
                self.ema.update(new, self.state["step"])
            self.state = state
            self.game.commit(info.buffers)
            self._write(new)
            self.steps += 1
        return info

    def answer(self) -> P:
        """What the optimizer says its answer is: the modules as they stand, or copies that hold an average of them."""
        players = self.players
        answer = self.optimizer.answer(players, self.state)
        return self.modules if answer is players else copied(self.modules, answer)

    def averaged(self) -> P:
        """Copies of the modules that hold an average: the moving one of `ema`, or else the optimizer's `answer`.

        Raises:
            ValueError: bind was called without `ema`, and the optimizer averages nothing.
        """
        if self.ema is not None:
            return copied(self.modules, self.ema.players)
        answer = self.answer()
        if answer is self.modules:
            raise ValueError("there is no moving average: pass ema=0.999 to bind, or bind Averaging(...).")
        return answer

    # ------------------------------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Which optimizer it was; players, state, buffers and frozen parameters, average: tensors in plain containers.

        All are copies.
        """
        copied: dict[str, Any] = pytree.tree_map(
            lambda x: x.detach().clone() if isinstance(x, Tensor) else x, self._saved()
        )
        return {"optimizer": described(self.optimizer), **copied}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: anything that does not fit: another optimizer or rule, another structure, shape or dtype, an
                average that only one of the two has. Nothing is loaded then.
        """
        optimizer = described(self.optimizer)
        if not isinstance(saved, Mapping) or set(saved) != {"optimizer", *self._saved()}:
            got = sorted(map(str, saved)) if isinstance(saved, Mapping) else type(saved).__name__
            raise ValueError(
                f"the saved state has the entries {got}, which do not fit this trainer (is ema the same?)."
            )
        if saved["optimizer"] != optimizer:
            raise ValueError(
                f"the state was saved by {saved['optimizer']}, and this is {optimizer}: bind the same one."
            )
        mine = self._saved()
        mine["state"] = self.optimizer.init(self.game, self.players)
        if mismatch(saved["state"], mine["state"], "state"):  # torch's optimizers make their memory at the first step
            mine["state"] = expected(self.optimizer, self.game, self.players)
        if wrong := next(filter(None, (mismatch(saved[key], mine[key], key) for key in mine)), ""):
            raise ValueError(f"the saved state does not fit what is bound here: {wrong}. Nothing was loaded.")
        saved = pytree.tree_map(_placed, {key: saved[key] for key in mine}, mine)
        self.state, self.steps = saved["state"], saved["counts"]["steps"]
        self.skipped = saved["counts"]["skipped"]
        self.game.commit(saved["held"])
        if self.ema is not None:
            self.ema.load(saved["ema"])
        self._write(saved["players"])

    def _saved(self) -> dict[str, Any]:
        modules = self.game.modules
        held = {} if modules is None else modules.read({**modules.buffers, **modules.frozen})
        saved = {"players": self.players, "state": self.state, "held": held}
        saved["counts"] = {"steps": self.steps, "skipped": self.skipped}
        return saved if self.ema is None else saved | {"ema": self.ema.players}

    # ----------------------------------------------------------------------------------------------------- steps

    def _drawn(self, batches: tuple[Any, ...]) -> Any:
        draws = self.optimizer.draws
        if batches and len(batches) != draws:
            raise GameError(
                f"a step of {self.optimizer.name} takes {draws} batches, each an argument of its own, got "
                f"{len(batches)}: trainer.step({', '.join(['batch'] * draws)})."
            )
        return None if not batches else batches[0] if draws == 1 else list(batches)

    def _finite(self, new: Players, info: Info) -> bool:
        """Whether the step is worth keeping. Reads one number off the device.

        Raises:
            GameError: it is not, and neither were the `skips` before it.
        """
        leaves = [leaf for value in entries(new) for leaf in tree.flatten(value)[0]]
        if any(map(tree.sharded, leaves)):  # on all ranks alike
            leaves = [tree.gathered(tree.norm(leaves))]
        seen = [*info.losses, *(leaf.contiguous() for leaf in leaves)]  # it writes, which no expanded tensor allows
        found, one = (seen[-1].new_full((), k, dtype=torch.float32) for k in (0, 1))
        torch._amp_foreach_non_finite_check_and_unscale_(seen, found, one)  # what GradScaler asks with: one pass
        if not found.item():
            self._in_a_row = 0
            return True
        self.skipped, self._in_a_row = self.skipped + 1, self._in_a_row + 1
        if self._in_a_row > (self.skips or 0):
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
        modules, keys = self.game.modules, list(new) if isinstance(new, Mapping) else range(len(new))
        for i, key in enumerate(keys):
            if modules is not None and modules.modules[i] is not None:
                modules.write(i, new[key])
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


def _placed(saved: Any, mine: Any) -> Any:
    """A copy of a saved value, where mine lies."""
    return saved.to(mine.device, copy=True) if isinstance(saved, Tensor) else saved


def bind(
    game: Game,
    modules: P,
    optimizer: GameOptimizer,
    *,
    ema: Hyperparameter | None = None,
    skips: int | None = 0,
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
            schedule.
        skips: how many steps in a row may be passed over because a loss, a gradient or a new value is not finite,
            before one is an error. Finding out reads one number off the device per step; None does not look.
        check: look once, at the first step, for what would be silently wrong (see `minimax.inspection.inspect`); costs
            one forward pass of every loss, two for optimizers that take second derivatives.
        compile: compile the step (see `compiled`).

    Raises:
        TypeError: a game or an optimizer that is none.
        ValueError: a decay outside [0, 1), or skips below 0.
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
    for name, value in (("check", check), ("compile", compile)):
        validation.flag(name, value)
    if skips is not None:
        validation.whole("skips", skips, at_least=0)
    return Trainer(game, modules, compiled(optimizer) if compile else optimizer, ema, skips, check)
