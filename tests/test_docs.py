"""README.md says what is so."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

import minimax as mm

ROOT = Path(__file__).parent.parent


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_optimizers_is_current() -> None:
    page = (ROOT / "README.md").read_text()
    assert tables().written(page) == page, "run python docs/tables.py"


@pytest.mark.parametrize("name", mm.optimizers.BY_NAME)
def test_every_optimizer_states_its_cost_and_source(name: str) -> None:
    text = mm.optimizers.BY_NAME[name].__doc__ or ""
    assert "Cost per step" in text and "Source:" in text and ">>>" in text


def test_the_first_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"print\(\w+\.status\)\s+# (.*)", code)
    assert printed[:2] == promised


def test_the_gan_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    g, d = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
    before = g.weight.clone()
    batches = [{"real": torch.randn(8, 2), "noise": torch.randn(8, 3)} for _ in range(3)]
    exec(compile(code, "README.md", "exec"), {"mm": mm, "torch": torch, "G": g, "D": d, "batches": batches})
    assert not torch.equal(g.weight, before)
    torch.load(tmp_path / "run.pt", weights_only=True)
