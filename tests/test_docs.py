"""The table of optimizers says what is so."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import minimax as mm

ROOT = Path(__file__).parent.parent


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_optimizers_is_current() -> None:
    page = (ROOT / "docs" / "optimizers.md").read_text()
    assert tables().written(page) == page, "run python docs/tables.py"


@pytest.mark.parametrize("name", mm.optimizers.BY_NAME)
def test_every_optimizer_states_its_cost_and_source(name: str) -> None:
    text = mm.optimizers.BY_NAME[name].__doc__ or ""
    assert "Cost per step" in text and "Source:" in text and ">>>" in text
