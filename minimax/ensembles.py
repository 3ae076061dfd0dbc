"""Many runs at once: the same game and optimizer over seeds and hyperparameters, in one vmapped step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.compiling import Compiled, one_graph
from minimax.composite import CompositeBatchNorm
from minimax.errors import GameError, refused
from minimax.game import Game, modules_among
from minimax.info import unrest
from minimax.inspection import inspect
from minimax.optimizer import GameOptimizer, State
from minimax.oracle import Players
from minimax.playing import Batches, check_budget, check_playable, draws, summary, written
from minimax.recording import Traced
from minimax.rules import Rule
from minimax.status import (
    Limits,
    Seen,
    Standing,
    Status,
    judged,
    played_out,
    standing_of,
    start_of,
    statuses,
    worst_missed,
)
from minimax.validation import flag, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """What `ensemble` found, member by member.

    Args:
        players: every leaf with a leading dimension of members. Members that diverged stand where they last were within
            the limits, members that converged where they did.
        answer: what the optimizer says its answer is, for most `players` themselves; shaped like these.
        statuses: how each member's run ended.
        records: `step`, shape (records,); `loss_i`, `norm` (the residual) and `verdict`, shape (records, members):
            tensors on the CPU. Once a member has stopped (verdict 1 converged, 2 not finite, 3 too large) its rows
            repeat where it stands.
        held: buffers and frozen parameters of players that are modules, with a leading dimension of members.
    """

    players: Players
    answer: Players
    statuses: tuple[Status, ...]
    records: dict[str, Tensor]
    held: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.statuses)

    def __repr__(self) -> str:
        kinds = Counter(status.kind for status in self.statuses)
        ends = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"Ensemble({len(self)} members: {ends}; each of {summary(self.member(0))})"

    def _repr_html_(self) -> str:
        rows = [f"<tr><th>{k}</th><td>{escape(str(status))}</td></tr>" for k, status in enumerate(self.statuses[:20])]
        more = f"<p>and {len(self) - 20} more</p>" * (len(self) > 20)
        return f"<table>{''.join(rows)}</table>{more}"

    @property
    def diverged(self) -> Tensor:
        """Which members diverged, shape (members,)."""
        return torch.tensor([status.kind == "diverged" for status in self.statuses])

    def member(self, k: int, into: Players | None = None) -> Any:
        """The players of member k.

        Args:
            into: players some of which are modules; these are overwritten with the member's parameters and buffers, and
                returned.
        """
        players, held = pytree.tree_map(lambda leaf: leaf[k], (self.players, self.held))
        if into is None:
            return players
        modules = modules_among(into)
        if modules is not None:
            modules.commit(held)
        return written(into, players)

    @property
    def history(self) -> pd.DataFrame:
        """One row per recorded step and member: losses, residual, and how the member stood. Needs pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("history needs pandas: pip install pandas, or read ensemble.records.") from error
        step, size = self.records["step"], len(self)
        columns: dict[str, Any] = {
            "step": step.repeat_interleave(size).numpy(),
            "member": torch.arange(size).repeat(len(step)).numpy(),
        }
        columns |= {name: value.reshape(-1).numpy() for name, value in self.records.items() if name != "step"}
        kinds = ("running", "converged", "diverged", "diverged")
        return pd.DataFrame(columns | {"verdict": [kinds[code] for code in columns["verdict"]]})


def ensemble(
    game: Game,
    optimizer: GameOptimizer,
    members: Sequence[Players],
    batches: Batches = None,
    *,
    steps: int = 1000,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    every: int = 1,
    own_batches: bool = False,
    compile: bool = False,
) -> Ensemble:
    """Play the same optimizer from many starts and with many hyperparameters at once, one vmapped step for all.

    Hyperparameters that are tensors with a first dimension of members hold one value each: `sgd(torch.linspace(0.1, 1,
    5))` is five step sizes. Every member plays as it would in `solve`, but the members stop one by one: who diverges or
    converges is frozen and marked, the others play on. Nothing is read off the device before the end.

    Costs per step and member what the optimizer costs.

    Args:
        game: the losses; must work under `torch.vmap` (no `.item()`, no branches on values). They see the layers of the
            first member's modules, with every member's own parameters, frozen ones too, and buffers.
        optimizer: the algorithm, with native rules (not `from_torch`).
        members: where each member starts, as `solve` takes it; `[z] * 5` for one start under five rates. Modules are
            only read, and must be built alike; see `Ensemble.member`.
        batches: as for `iterate`, the same for all members.
        steps: the budget.
        limits: when a member has converged or diverged; judged after every step.
        every: record every so many steps.
        own_batches: every leaf of a batch has a leading dimension of members, one batch each.
        compile: compile the step, as `compiled` does.

    Raises:
        ValueError: no members, steps or every below 1, members of different structures or shapes, batches of members of
            another number, or a hyperparameter of another length than members.
        TypeError: members that are no list of players; and as for `iterate`.
        GameError: players that cannot be played, or losses that `inspect` refuses.

    Example:
        >>> import torch, minimax as mm
        >>> z = (torch.tensor(1.0), torch.tensor(1.0))
        >>> rates = mm.sgd(torch.tensor([0.1, 0.5, 1.5]))
        >>> found = ensemble(mm.zero_sum(lambda x, y: x * y), mm.ExtraGradient(rates), [z] * 3, steps=100)
        >>> [status.kind for status in found.statuses]
        ['budget', 'budget', 'diverged']
    """
    check_playable(game, optimizer)
    check_budget(steps, every, limits, compile)
    flag("own_batches", own_batches)
    if isinstance(optimizer, Compiled):
        optimizer, compile = optimizer.inner, True
    game, players, held = stacked(game, members)
    hyper = _values(optimizer, len(members))
    first = optimizer.init(game, pytree.tree_map(lambda leaf: leaf[0], players))  # refuses what vmap would not see
    averages = optimizer.average(first) is not None
    state: State = torch.vmap(lambda z, h: _with(optimizer, h).init(game, z))(players, hyper)
    state = pytree.tree_map(lambda leaf: leaf.contiguous(), state)  # as every later one is: no second compilation
    play = torch.vmap(_stepper(game, optimizer), in_dims=(0, 0, 0, 0, 0 if own_batches else None))

    def step(players: Players, held: Any, state: State, standing: Standing, reach: Tensor, drawn: Any) -> Any:
        moved, left, later, seen, size, finite = play(players, held, state, hyper, drawn)
        plays, standing = judged(standing, limits, reach, seen.unrest, size, finite)
        kept = _where(plays, [moved, left], [players, held])
        if averages:  # the average that is the answer belongs to the players that are kept
            later = _where(plays, later, state)
        return *kept, later, standing, seen

    advance = one_graph(step) if compile else Traced(step)
    zero = torch.vmap(_norm)(players)
    standing, reach = standing_of(zero), limits.growth * torch.where(zero < 1, torch.inf, zero)
    rows: list[tuple[int, Seen, Tensor]] = []
    k, seen = 0, None
    for drawn in islice(draws(batches, optimizer.draws, 0), steps):
        if own_batches:
            _check_batch(drawn, len(members))
        if k == 0:
            _inspect(game, players, held, drawn, optimizer.draws, own_batches)
        try:
            with torch.no_grad():  # a step takes its own gradients; what a loss holds beside the players wants none
                players, held, state, standing, seen = advance(players, held, state, standing, reach, drawn)
        except RuntimeError as error:
            raise refused(error) from None
        k += 1
        if k == 1:
            reach = limits.growth * start_of(zero, torch.vmap(_norm)(players))
        if k % every == 0 or k == steps:
            rows.append((k, seen, standing.verdict))
    if seen is not None and k % every and k < steps:
        rows.append((k, seen, standing.verdict))
    last = played_out(k, steps, optimizer.draws)
    ends = statuses(standing, limits, game.constraints, last, worst_missed(rows, standing))
    answer = torch.vmap(optimizer.answer)(players, state) if averages else players
    return Ensemble(players, answer, ends, _records(rows), held)


def _records(rows: list[tuple[int, Seen, Tensor]]) -> dict[str, Tensor]:
    """The history, on the CPU: read off the device here, once."""
    if not rows:
        return {"step": torch.empty(0, dtype=torch.int64)}
    steps, seen, verdicts = zip(*rows, strict=True)
    losses = zip(*(each.losses for each in seen), strict=True)
    columns = {f"loss_{i}": torch.stack(column).cpu() for i, column in enumerate(losses)}
    ends = {"norm": torch.stack([each.norm for each in seen]).cpu(), "verdict": torch.stack(verdicts).cpu()}
    return {"step": torch.tensor(steps), **columns, **ends}


def _stepper(game: Game, optimizer: GameOptimizer) -> Callable[..., Any]:
    def step(players: Players, held: dict[str, Tensor], state: State, hyper: list[Tensor], drawn: Any) -> Any:
        with CompositeBatchNorm():
            players, state, info = _with(optimizer, hyper).step(game.holding(held), players, state, drawn)
        field, size = _norm(info.gradients), _norm(players)
        norm = field if info.constraints is None else _norm(info.natural)
        missing = [info.extra[name] for name in ("missed", "bent") if name in info.extra]
        finite = size + field + tree.total(info.losses)
        return players, info.buffers, state, Seen(info.losses, norm, unrest(norm, info.extra), missing), size, finite

    return step


def _norm(z: Any) -> Tensor:
    """|z| by squares: under vmap, on 8192 numbers, a tenth of the time that norms of norms take."""
    return tree.total([torch.sum(leaf * leaf) for leaf in pytree.tree_leaves(z)]).sqrt()


def stacked(game: Game, members: Sequence[Players]) -> tuple[Game, Players, dict[str, Tensor]]:
    """The game on tensors; the members' players, and what else their modules hold, with a dimension of members."""
    _check_members(members)
    functional = [game.functional(players) for players in members]
    _check_alike([players for _, players in functional])
    modules = [of.modules for of, _ in functional if of.modules is not None]
    for k, each in enumerate(modules):
        if each.built() != modules[0].built():
            raise ValueError(
                f"the modules of members[{k}] are built unlike those of members[0] (layers, their options, training or "
                "evaluation mode), whose layers all members would run: build them alike, or play them with solve."
            )
    held = [each.read({**each.buffers, **each.frozen}) for each in modules]
    stack = lambda *leaves: torch.stack(leaves)  # noqa: E731
    players = pytree.tree_map(stack, *(z for _, z in functional))
    return functional[0][0], players, pytree.tree_map(stack, *held) if held else {}


def _inspect(game: Game, players: Players, held: Any, drawn: Any, draws: int, own_batches: bool) -> None:
    """Look at the losses once, outside of vmap, where nothing can be seen of graphs."""
    batch = drawn[0] if draws > 1 and drawn is not None else drawn
    players, held = pytree.tree_map(lambda leaf: leaf[0], (players, held))
    first = game.holding(held)
    inspect(first, players, pytree.tree_map(lambda leaf: leaf[0], batch) if own_batches else batch)


def _check_members(members: Sequence[Players]) -> None:
    if not isinstance(members, list | tuple):
        raise TypeError(f"members must be a list of players, got {shown(members)}: pass [players] * 5, say.")
    if not members:
        raise ValueError("the number of members must be at least 1, got 0.")
    for k, member in enumerate(members):
        if not isinstance(member, tuple | list | Mapping):
            raise TypeError(
                f"members[{k}] must be a tuple or dict of players, got {shown(member)}: members is a list of players, "
                "[players] * 5, say."
            )


def _check_alike(members: list[Players]) -> None:
    """Refuse members that cannot be stacked."""
    first = _leaves(members[0])
    for k, member in enumerate(members):
        leaves = _leaves(member)
        if list(leaves) != list(first):
            raise ValueError(
                f"members[{k}] holds {', '.join(leaves) or 'nothing'} where members[0] holds "
                f"{', '.join(first) or 'nothing'}: members of one ensemble have the same structure."
            )
        for name, leaf in leaves.items():
            if not isinstance(leaf, Tensor):
                raise GameError(f"members[{k}]: {name} holds a {type(leaf).__name__}; players hold tensors only.")
            kind, usual = _kind(leaf), _kind(first[name])
            if kind != usual:
                raise ValueError(
                    f"{name} of members[{k}] has {kind} where members[0] has {usual}: members of one ensemble have the "
                    "same shapes, types and devices; play others with solve."
                )


def _leaves(players: Players) -> dict[str, Any]:
    return {f"players{pytree.keystr(path)}": leaf for path, leaf in pytree.tree_flatten_with_path(players)[0]}


def _kind(leaf: Tensor) -> str:
    return f"shape {tuple(leaf.shape)}, {leaf.dtype} on {leaf.device}"


def _check_batch(drawn: Any, members: int) -> None:
    for leaf in pytree.tree_leaves(drawn):
        if not isinstance(leaf, Tensor) or not leaf.dim() or len(leaf) != members:
            raise ValueError(
                f"own_batches needs batches of tensors with a first dimension of {members} members, got {shown(leaf)}."
            )


def _where(members: Tensor, new: Any, old: Any) -> Any:
    """The new values of these members, and the old ones of the others."""
    return pytree.tree_map(lambda a, b: torch.where(_like(members, a), a, b), new, old)


def _like(mask: Tensor, leaf: Tensor) -> Tensor:
    return mask.reshape(mask.shape + (1,) * (leaf.dim() - 1))


# ------------------------------------------------------------------------------------ hyperparameters of all members


def _values(optimizer: GameOptimizer, members: int) -> list[Tensor]:
    """The optimizer's tensors that hold one value per member."""
    values: list[Tensor] = []

    def seen(value: Tensor) -> Tensor:
        values.append(value)
        return value

    _mapped(optimizer, seen)
    for value in values:
        if len(value) != members:
            raise ValueError(f"a hyperparameter holds {len(value)} values for {members} members: give one each.")
    return values


def _with(optimizer: GameOptimizer, values: list[Tensor]) -> GameOptimizer:
    """The optimizer with other tensors in their places."""
    rest = iter(values)
    return _mapped(optimizer, lambda _: next(rest)) if values else optimizer


def _mapped(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The part with its tensors of at least one dimension changed; the part itself if it holds none."""
    if not _holds(part):
        return part
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, tuple):
        return tuple([_mapped(value, change) for value in part])
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return replace(part, **{name: _mapped(value, change) for name, value in values.items() if _holds(value)})


def _holds(part: Any) -> bool:
    """Whether the part has values for each member."""
    if isinstance(part, Tensor):
        return part.dim() > 0
    if isinstance(part, GameOptimizer | Rule):
        return any(_holds(getattr(part, field.name)) for field in fields(part))
    return isinstance(part, tuple) and any(_holds(value) for value in part)
