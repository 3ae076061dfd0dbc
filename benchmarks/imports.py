"""Python files by path or module name: how a user's own problems and optimizers come in."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from benchmarks.record import UsageError

T = TypeVar("T")


def located(file: str) -> str:
    """The full path of a user's file.

    Raises:
        UsageError: there is none, or it is no Python file.
    """
    path = Path(os.path.expanduser(file))
    if path.suffix != ".py" or not os.path.isfile(path):
        raise UsageError(f"--import {file!r} is no Python file: name one, such as problems.py.")
    return str(path.resolve())


def module(source: str) -> ModuleType:
    """The module of a name or of a file.

    Raises:
        UsageError: it fails to import.
    """
    try:
        return _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # whatever the file raises is its author's to read
        what = " ".join(str(error).split())
        raise UsageError(f"{source} cannot be imported: {type(error).__name__}: {what}") from error


def classes(module: ModuleType, base: type[T]) -> list[type[T]]:
    """The classes of a kind that a module itself defines, without abstract ones."""
    defined = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    return [kind for kind in defined if issubclass(kind, base) and not inspect.isabstract(kind)]


def _from_file(path: Path) -> ModuleType:
    name = f"imported_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    try:
        spec.loader.exec_module(found)
    except BaseException:
        del sys.modules[name]
        raise
    return found
