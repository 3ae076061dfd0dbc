"""The players of a run that has ended, as the modules they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from benchmarks import problems, record, tensors
from benchmarks.problem import Preset, Problem
from benchmarks.record import DamagedError, Folder, UsageError
from minimax.playing import write


class Trained(NamedTuple):
    """A run that has ended.

    Args:
        problem: at the sizes of the run.
        players: as the problem makes them: modules with their parameters and buffers, or tensors.
        seed: of the run.
    """

    problem: Problem
    players: tuple[Any, ...]
    seed: int


def trained(
    cell: Path | str,
    iterate: str = "last",
    files: Sequence[str] = (),
    root: str | None = None,
    device: str = "cpu",
) -> Trained:
    """Load the players that a cell of a results folder ended with.

    Args:
        cell: the folder of the run, results/<suite>/cells/<run id>.
        iterate: last, ema where the recipe averages, or average where the optimizer does.
        files: with the problem, where it is no problem of this project.
        root: folder with real data sets, where those of the problem are not prepared yet.
        device: where to put them.

    Raises:
        UsageError: there is no run that has ended, no such problem, or no such iterate.

    Example:
        `trained("results/gans/cells/nsgan-digits-alternating-s0-1c2d3e4f").players[0]` is its generator.
    """
    folder = Folder(Path(cell))
    told = record.read_json(folder.cell)
    if told is None or record.read_json(folder.status) is None:
        raise UsageError(f"{folder.path} holds no run that has ended: name a folder of results/<suite>/cells.")
    identity = told["identity"]
    name, data, (seed,) = identity["problem"], identity["data"], identity["seeds"]
    found = problems.discover(files)
    if name not in found:
        raise UsageError(f"{folder.path} was played on {name}, which is not known here: name its file.")
    kind = found[name].kind
    if identity["version"] != kind.version:
        raise UsageError(
            f"{folder.path} was played on version {identity['version']} of {name}, this is {kind.version}."
        )
    try:
        kept = tensors.loaded(folder.players.read_bytes(), device)
    except (OSError, DamagedError) as error:
        raise UsageError(f"{folder.players} cannot be read, play the cell again: {error}") from error
    if iterate not in kept:
        known = ", ".join(sorted(kept.keys() - {"run_id", "step", "buffers"}))
        raise UsageError(f"iterate = {iterate!r} was not kept of {folder.path.name}: there is {known}.")
    kind.prepare(data, root, False)
    problem = kind(told["preset"], data, device)
    problem.preset = Preset(**identity["sizes"])
    modules = problem.players(seed)
    refill(modules, kept["buffers"])
    return Trained(problem, shown(modules, kept[iterate]), seed)


def shown(modules: Sequence[Any], players: Sequence[Any]) -> tuple[Any, ...]:
    """Players as the problem made them: parameters are written into its modules."""
    pairs = list(zip(modules, players, strict=True))
    for module, player in pairs:
        if isinstance(module, nn.Module):
            write(module, player)
    return tuple(module if isinstance(module, nn.Module) else player for module, player in pairs)


def refill(modules: Sequence[Any], buffers: Sequence[Mapping[str, Tensor]]) -> None:
    """Write saved buffers into the modules among the players."""
    for module, found in zip(modules, buffers, strict=True):
        for name, value in found.items():
            module.get_buffer(name).copy_(value)
