"""The problems, one file each, found by walking this folder; and those in a user's own files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from benchmarks import imports
from benchmarks.problem import Problem
from benchmarks.record import UsageError

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Found:
    """A problem's class, and the module name or file that `load` finds it in."""

    kind: type[Problem]
    source: str


def discover(files: Iterable[str] = ()) -> dict[str, Found]:
    """Every problem by its name: those in this folder, and those in the given files.

    Raises:
        UsageError: a file that is not there or fails to import, or a name that two problems have.
    """
    parts = (path.relative_to(ROOT).with_suffix("").parts for path in sorted(ROOT.rglob("*.py")))
    own = [".".join((__name__, *names)) for names in parts if not names[-1].startswith("_")]
    found: dict[str, Found] = {}
    for source in (*own, *dict.fromkeys(map(imports.located, files))):
        for kind in _problems(imports.module(source)):
            if kind.name in found:
                raise UsageError(f"two problems are named {kind.name}: {found[kind.name].source} and {source}.")
            found[kind.name] = Found(kind, source)
    return found


def load(source: str, name: str) -> type[Problem]:
    """The class of one problem, without a look at the others.

    Raises:
        UsageError: it is not there.
    """
    for kind in _problems(imports.module(source)):
        if kind.name == name:
            return kind
    raise UsageError(f"{source} has no problem named {name}.")


def _problems(module: ModuleType) -> list[type[Problem]]:
    return [kind for kind in imports.classes(module, Problem) if "name" in vars(kind)]  # type: ignore[type-abstract]
