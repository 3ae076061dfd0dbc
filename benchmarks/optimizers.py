"""The optimizers by name: the library's, and those of a user's own files."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks import imports
from benchmarks.record import UsageError
from minimax.optimizer import GameOptimizer
from minimax.optimizers import BY_NAME

KNOWN: dict[str, type[GameOptimizer]] = dict(BY_NAME)
"""What `--optimizer NAME` may name in this process."""


def register(files: Iterable[str]) -> None:
    """Make the optimizers of these files known, those with a `name`; what is known already stays.

    Raises:
        UsageError: a file that is not there or fails to import, or a name that another optimizer has.
    """
    for source in dict.fromkeys(map(imports.located, files)):
        for kind in imports.classes(imports.module(source), GameOptimizer):  # type: ignore[type-abstract]
            if "name" in vars(kind) and KNOWN.setdefault(kind.name, kind) is not kind:
                raise UsageError(f"two optimizers are named {kind.name}: one of {source}, and one of elsewhere.")
