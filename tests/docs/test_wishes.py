"""Every wish has an answer, every answer a test that exists, and the page's code runs."""

import ast
import re
from pathlib import Path

import pytest
import torch
from torch.nn.functional import softplus

import minimax as mm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wishes.md").read_text()
ROWS = [
    [cell.strip() for cell in row.strip("|").split(" | ")] for row in re.findall(r"^\| \d.*\|$", PAGE, re.MULTILINE)
]


def test_twenty_five_wishes_with_threads_and_tests_that_exist() -> None:
    assert [row[0] for row in ROWS] == [str(k) for k in range(1, 26)]
    for _, wish, threads, answer, tests in ROWS:
        assert wish and answer and re.fullmatch(r"[\w.\-/]+#\d+(, [\w.\-/]+#\d+)*", threads)
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named and len(named) == tests.count("`tests/")
        for path, name in named:
            source = ast.parse((ROOT / path).read_text())
            assert name in {node.name for node in source.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


@pytest.mark.parametrize("heading", ["From a torch loop", "With torch's schedulers"])
def test_the_page_runs(heading: str) -> None:
    (code,) = re.findall(rf"## {heading}.*?```python\n(.*?)```", PAGE, re.DOTALL)[:1]
    G, D = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
    before, batches = G.weight.clone(), [{"real": torch.randn(8, 2), "noise": torch.randn(8, 3)} for _ in range(2)]

    def loss_g(g: torch.nn.Module, d: torch.nn.Module, b: dict[str, torch.Tensor]) -> torch.Tensor:
        return softplus(-d(g(b["noise"]))).mean()

    trainer = mm.bind(
        mm.Game(loss_g, lambda g, d, b: d(b["real"]).square().mean()), (G, D), mm.ExtraGradient(mm.adam(1e-3))
    )
    names = {"mm": mm, "torch": torch, "softplus": softplus, "G": G, "D": D, "batches": batches, "trainer": trainer}
    exec(compile(code, "wishes.md", "exec"), names)
    assert not torch.equal(G.weight, before)
