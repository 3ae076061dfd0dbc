"""What is public, and where the reference tells of it."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = {
    "rules": "rules",
    "penalties": "penalties",
    "projections": "projections",
    "schedules": "schedules",
    "transforms": "transforms",
    "closed-form": "games",
    "diagnostics": "diagnostics",
    "testing": "testing",
}
"""The page of the reference that each public module below `minimax` has; the optimizers have one each."""
TOPICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "game": ("Games", ("Game", "zero_sum", "cooperative", "GameError")),
    "playing": ("Playing a game", ("solve", "Solution", "iterate", "Iterate", "Limits", "Status")),
    "modules": ("Modules in a training loop", ("bind", "Trainer", "EMA", "LossScaled")),
    "ensembles": ("Many runs at once, compiled steps", ("ensemble", "Ensemble", "compiled")),
    "optimizer": ("What an optimizer is", ("GameOptimizer", "Ruled", "Wrapper", "Info", "Cost")),
    "citing": ("The papers behind a method", ("citation",)),
}
"""The pages of what `minimax` itself holds, beside its optimizers and rules."""
WRITERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "oracle": (
        "What an optimizer sees",
        "What `GameOptimizer.update` and the transforms of games are given: an oracle on the game during one step.",
        ("minimax.oracle.Oracle", "minimax.linearization.Linearization"),
    ),
    "problem": (
        "What a benchmark problem is",
        "What a problem of your own derives from and yields, and the contract as a test.",
        (
            *(f"benchmarks.problem.{name}" for name in ("Problem", "Metric", "Floor", "Preset", "Recipe", "View")),
            "benchmarks.testing.check_problem",
        ),
    ),
}
"""Pages for those who write optimizers, transforms or problems: title, what it is about, full names."""


@dataclass(frozen=True)
class Entry:
    """A public object.

    Args:
        name: the name that the reference gives it, such as minimax.sgd.
        value: the object.
    """

    name: str
    value: Any

    @property
    def documented(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.value) or ""


def exported(module: ModuleType) -> list[str]:
    """What a module gives to others: `__all__`, `import X as X`, and of a file whatever it defines without `_`."""
    names = list(getattr(module, "__all__", ()))
    path = Path(str(module.__file__))
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names if alias.asname == alias.name]
    if path.name != "__init__.py":
        names += [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    kept = (name for name in dict.fromkeys(names) if not name.startswith("_"))
    return [name for name in kept if not isinstance(getattr(module, name), ModuleType)]


def objects(module: ModuleType) -> dict[str, Any]:
    """Its public classes and functions by name; type aliases and tables are told of in the prose."""
    found = {name: getattr(module, name) for name in exported(module)}
    return {name: value for name, value in found.items() if inspect.isclass(value) or inspect.isroutine(value)}


@cache
def pages() -> dict[str, list[Entry]]:
    """Every page of the reference, by its path below `api`, and what stands on it.

    Raises:
        ValueError: a public name that no page tells of.
    """
    top = importlib.import_module("minimax")
    own = objects(top)
    listed: dict[str, list[Entry]] = {}
    for page, (_, names) in TOPICS.items():
        listed[page] = [Entry(f"minimax.{name}", own[name]) for name in names]
    for kind in objects(importlib.import_module("minimax.optimizers")).values():
        listed[f"optimizers/{kind.name}"] = [Entry(f"minimax.{kind.__name__}", kind)]
    for page, short in PACKAGES.items():
        module = importlib.import_module(f"minimax.{short}")
        listed[page] = [
            Entry(f"minimax.{name}" if own.get(name) is value else f"{module.__name__}.{name}", value)
            for name, value in objects(module).items()
        ]
    told = {id(entry.value) for entries in listed.values() for entry in entries}
    if missing := [name for name, value in own.items() if id(value) not in told]:
        raise ValueError(f"the API reference lacks {', '.join(missing)}: name them in TOPICS of {__file__}.")
    for page, (_, _, names) in WRITERS.items():
        listed[page] = [_entry(name) for name in names]
    return listed


def _entry(name: str) -> Entry:
    module, _, last = name.rpartition(".")
    return Entry(name, getattr(importlib.import_module(module), last))


@cache
def links() -> dict[str, str]:
    """What prose may call a public object, or a method of one, and the full name that it then links to."""
    found: dict[str, set[str]] = {}
    for entry in (entry for entries in pages().values() for entry in entries):
        parts = entry.name.split(".")
        ways = [".".join(parts[k:]) for k in range(len(parts))]
        ways += [way.replace("minimax.", "mm.", 1) for way in ways if way.startswith("minimax.")]
        for way in ways:
            found.setdefault(way, set()).add(entry.name)
            for member in members(entry.value):
                found.setdefault(f"{way}.{member}", set()).add(f"{entry.name}.{member}")
    return {way: next(iter(names)) for way, names in found.items() if len(names) == 1}


def members(value: Any) -> list[str]:
    """What of a class its page tells: its documented methods and properties, less those of an optimizer's contract."""
    if not inspect.isclass(value) or (hasattr(value, "linearised") and "name" in vars(value)):
        return []
    kinds = (property, staticmethod, classmethod)
    own = {name: item for name, item in vars(value).items() if not name.startswith("_")}
    shown = {name: item for name, item in own.items() if inspect.isroutine(item) or isinstance(item, kinds)}
    shown |= {name: item for name, item in own.items() if type(item).__name__ == "cached_property"}
    return [name for name, item in shown.items() if inspect.getdoc(getattr(item, "func", item))]
