"""Mutation testing: change one operator, number, comparison or condition at a time, and see whether a test notices.

    python .ci/mutate.py minimax/linear.py --tests tests/test_linear.py --every 3

From the repository's root; prints the mutants that survive. Not part of CI. A small mutator of our own, as mutmut plays
a copy of the sources with trampolines in every function, through which `torch.compile` sees other code, and cosmic-ray
starts an interpreter for every mutant, which imports torch for seconds: here each is a fork of one that has done so.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
from pathlib import Path

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
LEFT_ALONE = (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.arg)  # sentences, types


def places(node: ast.AST) -> list[ast.AST]:
    """What can be changed, in the order of the file."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, LEFT_ALONE):
            continue
        operator = getattr(child, "op", None) or (child.ops[0] if isinstance(child, ast.Compare) else None)
        number = isinstance(child, ast.Constant) and type(child.value) in (int, float, bool)
        if number or isinstance(child, ast.IfExp | ast.If) or type(operator) in SWAPS:
            found.append(child)
        found += places(child)
    return found


def mutate(node: ast.AST) -> None:
    """Change the node in place."""
    if isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.IfExp | ast.If):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()
    else:
        node.op = SWAPS[type(node.op)]()  # type: ignore[attr-defined]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = ".".join(path.with_suffix("").parts), path, tree

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def exec_module(self, module):
        exec(compile(self.tree, str(self.path), "exec"), vars(module))


def survives(path: Path, tree: ast.Module, tests: list[str], seconds: int) -> bool:
    """Whether the tests pass on the changed file, in a child."""
    if not (child := os.fork()):
        signal.alarm(seconds)  # a mutant that never ends is killed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.meta_path.insert(0, Changed(path, tree))
        import pytest

        os._exit(int(pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider"])))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True, help="files, or options of pytest")
    parser.add_argument("--every", type=int, default=1, help="try every k-th mutant only")
    parser.add_argument("--seconds", type=int, default=120, help="the longest that one mutant's tests may take")
    options = parser.parse_args()
    import hypothesis  # noqa: F401 # what takes long, once, before the forks
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    tree = ast.parse(options.file.read_text())
    if not survives(options.file, tree, options.tests, options.seconds):
        sys.exit("the tests fail, or take too long, without any change")
    tried = range(0, len(places(tree)), options.every)
    killed = 0
    for k in tried:
        changed = copy.deepcopy(tree)
        node = places(changed)[k]
        before = ast.unparse(node).splitlines()[0]
        mutate(node)
        if survives(options.file, ast.fix_missing_locations(changed), options.tests, options.seconds):
            print(f"{options.file}:{node.lineno}: {before}  ->  {ast.unparse(node).splitlines()[0]}", flush=True)
        else:
            killed += 1
    print(f"{options.file}: {killed} of {len(tried)} killed, {killed / len(tried):.0%}")


if __name__ == "__main__":
    main()
