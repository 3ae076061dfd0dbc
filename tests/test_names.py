"""What is public, under one name each: modules that can be imported, functions that hide none, lists that are whole."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import minimax as mm
from minimax.optimizers import BY_NAME

MODULES = sorted(name for _, name, _ in pkgutil.walk_packages(mm.__path__, "minimax."))
LISTED = ["minimax", "minimax.optimizers", "minimax.diagnostics", "minimax.testing", "minimax.transforms"]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_what_its_name_gives(name: str) -> None:
    """`import minimax.a.b` leaves the module itself in `minimax.a.b`, not a function of that name."""
    module = importlib.import_module(name)
    package, _, last = name.rpartition(".")
    assert isinstance(module, ModuleType) and getattr(importlib.import_module(package), last) is module


def test_dir_tells_the_public_names_and_nothing_twice() -> None:
    names = dir(mm)
    assert names == sorted(set(mm.__all__)) and len(mm.__all__) == len(names)
    assert {kind.__name__ for kind in BY_NAME.values()} <= set(names)
    assert not {"tree", "admission", "optimizer", "BY_NAME", "annotations"} & set(names)


@pytest.mark.parametrize("name", LISTED)
def test_listed_names_exist_and_say_what_they_are(name: str) -> None:
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__)
    for public in package.__all__:
        assert getattr(package, public).__doc__, public


def test_optimizers_differ_by_more_than_capitals_and_dashes() -> None:
    plain = [name.replace("-", "").lower() for name in (*BY_NAME, *(kind.__name__ for kind in BY_NAME.values()))]
    of_classes = plain[len(BY_NAME) :]
    assert len(set(of_classes)) == len(BY_NAME) == len(set(plain[: len(BY_NAME)]))
