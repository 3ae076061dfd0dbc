"""The stateful shell for people with `nn.Module`s: `bind` keeps their parameters updated in place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.compiled import compiled
from minimax.game import Game, Players
from minimax.optimizer import GameOptimizer, Info, State
from minimax.solve import written


class EMA:
    r"""An exponential moving average of the players: z̄ ← β z̄ + (1-β) z, starting at the first z.

    Args:
        players: where the average starts.
        decay: β in [0, 1).

    Raises:
        ValueError: a decay outside [0, 1).

    Example:
        >>> import torch
        >>> ema = EMA((torch.tensor(0.0),), decay=0.9)
        >>> ema.update((torch.tensor(1.0),))
        >>> ema.players
        (tensor(0.1000),)
    """

    def __init__(self, players: Players, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}.")
        self.decay = decay
        leaves, self._spec = tree.flatten(players)
        self._mean = [leaf.detach().clone() for leaf in leaves]

    def update(self, players: Players) -> None:
        """Take the players of one more step into the average."""
        self._mean = tree.lerp(self._mean, tree.flatten(players)[0], 1 - self.decay)

    @property
    def players(self) -> Players:
        """The average, shaped like the players."""
        return tree.unflatten(self._mean, self._spec)

    def load(self, players: Players) -> None:
        """Go on from a saved average."""
        self._mean = [leaf.clone() for leaf in tree.flatten(players)[0]]


class Trainer:
    """Modules, their game and an optimizer, stepped in place. Made by `bind`.

    `info = trainer.step(batch)` moves every module; `trainer.state_dict()` is a plain dict of tensors that
    `torch.load(..., weights_only=True)` reads back, and `load_state_dict` continues bit for bit.
    """

    def __init__(self, game: Game, modules: Players, optimizer: GameOptimizer, ema: float | None = None) -> None:
        self.modules, self.optimizer = modules, optimizer
        self.game, self.players = game.functional(modules)
        self.state: State = optimizer.init(self.game, self.players)
        self.ema = None if ema is None else EMA(self.players, ema)
        self._places = _places(modules, self.players)

    def step(self, *batches: Any) -> Info:
        """One step of the optimizer on `optimizer.draws` batches; the modules' parameters are updated in place."""
        drawn = batches[0] if len(batches) == 1 else list(batches) or None
        self.players, self.state, info = self.optimizer.step(self.game, self.players, self.state, drawn)
        self.game.commit(info.buffers)
        self._write(self.players)
        if self.ema is not None:
            self.ema.update(self.players)
        return info

    def averaged(self) -> Players:
        """Copies of the modules that hold the moving average of their parameters.

        Raises:
            ValueError: bind was called without `ema`.
        """
        if self.ema is None:
            raise ValueError("there is no moving average: pass ema=0.999 to bind.")
        modules = copy.deepcopy(self.modules)
        return written(modules, self.ema.players)

    def state_dict(self) -> dict[str, Any]:
        """Players, optimizer state, buffers and moving average as tensors in plain containers, copied."""
        saved = {"players": self.players, "state": self.state, "buffers": self._buffers()}
        if self.ema is not None:
            saved["ema"] = self.ema.players
        copied: dict[str, Any] = pytree.tree_map(lambda x: x.detach().clone() if isinstance(x, Tensor) else x, saved)
        return copied

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: players of another structure, the state of another optimizer or rule, or an average saved by
                one trainer and unknown to the other. Nothing is loaded then.
        """
        if set(saved) != {"players", "state", "buffers"} | ({"ema"} if self.ema is not None else set()):
            raise ValueError(
                f"the saved state has entries {sorted(saved)}, which do not fit this trainer (is ema the same?)."
            )
        if _shapes(saved["players"]) != _shapes(self.players):
            raise ValueError("the saved players differ in structure or shape from the modules bound here.")
        if not _fits(saved["state"], self.state):
            raise ValueError(f"the saved state is no state of {self.optimizer}: bind the optimizer that was saved.")
        saved = pytree.tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, saved)
        self.players, self.state = saved["players"], saved["state"]
        self.game.commit(saved["buffers"])
        if self.ema is not None:
            self.ema.load(saved["ema"])
        self._write(self.players)

    def _buffers(self) -> dict[str, Tensor]:
        return {} if self.game._modules is None else self.game._modules.state()

    @torch.no_grad()
    def _write(self, players: Players) -> None:
        for key, parameters in self._places:
            torch._foreach_copy_(parameters, list(players[key].values()))


def _places(modules: Players, players: Players) -> list[tuple[Any, list[Tensor]]]:
    """Which parameters each player that is a module is written to, looked up once."""
    keys = list(modules) if isinstance(modules, dict) else range(len(modules))
    return [
        (key, [modules[key].get_parameter(name) for name in players[key]])
        for key in keys
        if isinstance(modules[key], nn.Module)
    ]


def _shapes(players: Players) -> tuple[list[torch.Size], Any]:
    leaves, spec = pytree.tree_flatten(players)
    return [leaf.shape for leaf in leaves], spec


def _fits(saved: Any, state: Any) -> bool:
    """Whether a state has the structure and shapes of another one."""
    if isinstance(state, dict) and isinstance(saved, dict):
        if state.keys() == saved.keys() == {"state"}:  # of a torch optimizer, which fills it at its first step
            return True
        return state.keys() == saved.keys() and all(_fits(saved[key], state[key]) for key in state)
    if isinstance(state, list | tuple) and isinstance(saved, list | tuple):
        return len(state) == len(saved) and all(map(_fits, saved, state))
    if isinstance(state, Tensor) and isinstance(saved, Tensor):
        return state.shape == saved.shape
    return type(state) is type(saved)


def bind(
    game: Game, modules: Players, optimizer: GameOptimizer, *, ema: float | None = None, compile: bool = False
) -> Trainer:
    """Tie modules to a game and an optimizer, so that `trainer.step(batch)` moves them in place.

    Args:
        game: the losses; they receive the modules.
        modules: a tuple or dict of players, each an `nn.Module` (or plain tensors, found in
            `trainer.players`).
        optimizer: the algorithm.
        ema: the decay of a moving average of all players (`trainer.averaged()`), or None.
        compile: compile the step (see `compiled`).

    Raises:
        GameError: players that the optimizer cannot move.

    Example:
        >>> import torch, minimax as mm
        >>> x, y = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> trainer = bind(mm.zero_sum(lambda x, y, b: (x(b) * y(b)).sum()), (x, y), mm.ExtraGradient(mm.sgd(0.5)))
        >>> for _ in range(200): info = trainer.step(torch.ones(1, 1))
        >>> bool(x.weight.abs() < 1e-6)
        True
    """
    return Trainer(game, modules, compiled(optimizer) if compile else optimizer, ema)
