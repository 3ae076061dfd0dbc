"""The problems, one file each, found by walking this folder; and those in a user's own files."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

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
    for source in (*own, *dict.fromkeys(map(located, files))):
        for kind in _problems(_module(source)):
            if kind.name in found:
                raise UsageError(f"two problems are named {kind.name}: {found[kind.name].source} and {source}.")
            found[kind.name] = Found(kind, source)
    return found


def located(file: str) -> str:
    """The full path of a user's file.

    Raises:
        UsageError: there is none, or it is no Python file.
    """
    path = Path(os.path.expanduser(file))
    if path.suffix != ".py" or not os.path.isfile(path):
        raise UsageError(f"--import {file!r} is no Python file: name one, such as problems.py.")
    return str(path.resolve())


def load(source: str, name: str) -> type[Problem]:
    """The class of one problem, without a look at the others.

    Raises:
        UsageError: it is not there.
    """
    for kind in _problems(_module(source)):
        if kind.name == name:
            return kind
    raise UsageError(f"{source} has no problem named {name}.")


def _problems(module: ModuleType) -> list[type[Problem]]:
    return [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Problem)
        and kind.__module__ == module.__name__
        and "name" in vars(kind)
        and not inspect.isabstract(kind)
    ]


def _module(source: str) -> ModuleType:
    try:
        return _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # whatever the file raises is its author's to read
        what = " ".join(str(error).split())
        raise UsageError(f"{source} cannot be imported: {type(error).__name__}: {what}") from error


def _from_file(path: Path) -> ModuleType:
    name = f"imported_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
