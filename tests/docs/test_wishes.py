"""Every wish has an answer, every answer a test that exists, and the page's code runs."""

import ast
import re
from pathlib import Path

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
