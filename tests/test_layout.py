"""The house: imports point one way, and no file knows of one that stands above it."""

import ast
import functools
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def modules(package):
    """Every module of a package by its dotted name."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(path):
    """What a file imports when it runs, wherever in the file, as pairs of a module and a name in it, if any."""
    tree = ast.parse(path.read_text())
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {(node.module, alias.name) for alias in node.names}
    return found


def imported(path, known):
    """The known modules that a file imports when it runs; not those for types alone."""
    whole = ((module, f"{module}.{name}") for module, name in imports(path))
    return {name if name in known else module for module, name in whole} & known.keys()


@pytest.mark.parametrize("package", ["minimax", "benchmarks"])
def test_no_import_goes_in_a_circle(package):
    known = modules(package)
    graph = {name: imported(path, known) - {name} for name, path in known.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(known)


@pytest.mark.parametrize(
    "below, above",
    [
        ("minimax", ["benchmarks"]),
        ("benchmarks.problems", ["benchmarks.runner", "benchmarks.reporting", "benchmarks.studies"]),
        ("benchmarks.quality", ["benchmarks.problems", "benchmarks.runner", "benchmarks.reporting"]),
        ("benchmarks.networks", ["benchmarks.problems", "benchmarks.quality", "benchmarks.runner"]),
        ("benchmarks.data", ["benchmarks.problems", "benchmarks.quality", "benchmarks.networks", "benchmarks.runner"]),
        ("benchmarks.runner", ["benchmarks.reporting", "benchmarks.studies", "benchmarks.run", "benchmarks.report"]),
        ("benchmarks.reporting", ["benchmarks.runner", "benchmarks.problem", "benchmarks.problems", "benchmarks.data"]),
    ],
)
def test_what_is_below_knows_nothing_of_what_is_above(below, above):
    known = modules("minimax") | modules("benchmarks")
    under = {name: path for name, path in known.items() if f"{name}.".startswith(f"{below}.")}
    assert under
    for name, path in under.items():
        for other in imported(path, known):
            assert not any(f"{other}.".startswith(f"{one}.") for one in above), f"{name} imports {other}"


def test_the_library_needs_no_package_of_the_benchmarks_and_loads_scipy_when_asked():
    heavy = {"pandas", "seaborn", "sklearn", "rich", "PIL", "scipy"}
    code = f"import sys, minimax; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
