"""Mutation testing: change one operator, number, comparison or condition at a time, and see whether a test notices.

    python .ci/mutate.py rules optimizers linear statistics --every 4
    python .ci/mutate.py minimax/ema.py --tests tests/transforms tests/test_trainer.py

From the repository's root; prints the mutants that survive. Not part of CI. A small mutator of our own, as mutmut plays
a copy of the sources with trampolines in every function, through which `torch.compile` sees other code, and cosmic-ray
starts an interpreter for every mutant. Here pytest imports and collects once; where it would run the tests, it forks
for every mutant, and in the child the functions of the file get their changed code.
"""

import argparse
import ast
import copy
import gc
import inspect
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.USub: ast.UAdd,
}  # fmt: skip
Function = ast.FunctionDef | ast.Lambda


class Group(NamedTuple):
    """Files, and the tests that are run on a change in one of them."""

    files: str
    tests: list[str]
    named: bool = False  # only those that name the file, its classes, or a file that imports it


ARGUMENTS = ["tests/optimizers/test_arguments.py", "tests/test_admission.py"]
MAPS = "tests/test_linear_maps.py"
GROUPS = {
    "rules": [
        Group(
            "minimax/rules/*[!_].py",
            ["tests/rules", "minimax/rules", "tests/optimizers/test_mirror_prox.py", *ARGUMENTS],
            named=True,
        )
    ],
    "optimizers": [
        Group(
            "minimax/optimizers/*[!_].py",
            ["tests/optimizers", MAPS, "--ignore=tests/optimizers/test_contract.py"],  # slow, and the same for all
            named=True,
        )
    ],
    "linear": [
        Group("minimax/linear.py", ["tests/test_linear.py", "minimax/linear.py"]),
        Group("minimax/linear_maps.py", [MAPS]),
        Group(
            "minimax/linearization.py",
            ["tests/test_linearization.py", "tests/optimizers/test_identities.py", "tests/test_derivatives.py"],
        ),
    ],
    "statistics": [
        Group(file, [f"tests/{tests}/test_statistics.py", file])
        for file, tests in (
            ("benchmarks/statistics.py", "benchmarks"),
            ("benchmarks/reporting/statistics.py", "benchmarks/reporting"),
        )
    ],
}


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node may change: no sentences, types and guards, and of what runs at import the file's assignments."""
    match node:
        case ast.Module():
            yield from (s for s in node.body if isinstance(s, Function | ast.ClassDef | ast.Assign | ast.AnnAssign))
        case ast.ClassDef():
            yield from (s for s in node.body if isinstance(s, Function))
        case ast.FunctionDef():
            yield from node.body
        case ast.Lambda():
            yield node.body
        case ast.AnnAssign():
            yield from [node.value] if node.value else []
        case ast.Raise() | ast.JoinedStr() | ast.keyword(arg="strict"):
            pass
        case _:
            yield from ast.iter_child_nodes(node)


def places(node: ast.AST) -> list[ast.AST]:
    """What can be changed, in the order of the file."""
    found: list[ast.AST] = []
    for child in parts(node):
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


def functions(path: Path) -> list[FunctionType]:
    """Those that were imported from the file, methods included."""
    where, objects = str(path.resolve()), gc.get_objects()
    return [f for f in objects if type(f) is FunctionType and f.__code__.co_filename == where]


def put(path: Path, tree: ast.Module, into: list[FunctionType], changed: ast.AST) -> None:
    """Give functions their code in the tree, and run the changed one of the file's assignments, if it is in one."""
    codes, found = {}, [compile(ast.fix_missing_locations(tree), str(path.resolve()), "exec", dont_inherit=True)]
    for code in found:
        codes[code.co_qualname, code.co_firstlineno] = code
        found += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    for function in into:
        function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and changed in ast.walk(statement):
            exec(ast.unparse(statement), vars(sys.modules[".".join(path.with_suffix("").parts)]))


def classes(path: Path) -> list[str]:
    """The classes in the file, and for a private one those of who imports it."""
    own = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return own + [name for user in users(path) for name in classes(user)]


def users(path: Path) -> list[Path]:
    """The files beside a private one that import it."""
    beside = path.parent.glob("*[!_].py") if path.stem.startswith("_") else []
    return [user for user in beside if f".{path.stem} import" in user.read_text()]


def about(path: Path, tests: list[pytest.Item]) -> list[pytest.Item]:
    """The tests that have the file, a class of it or its users in their names, or a class in what they do."""
    kinds = classes(path)
    called = [file.stem.strip("_") for file in (path, *users(path))] + kinds

    def speaks(test: pytest.Item) -> bool:
        name, text = test.nodeid.replace("-", "_"), inspect.getsource(getattr(test, "function", users))
        return any(word in name for word in called) or any(kind in text for kind in kinds)

    return [test for test in tests if speaks(test)]


class Run(NamedTuple):
    """The seconds that each test took, up to the first that failed or took too long."""

    took: list[float]
    failed: bool


def run(tests: list[pytest.Item], change: Callable[[], None], longest: float) -> Run:
    """The tests after the change, in a child that ends with the first that fails or takes too long."""
    reading, writing = os.pipe()
    if not os.fork():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            change()
            for test, following in zip(tests, [*tests[1:], None], strict=True):
                begun = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, longest)  # of the child's own time; then it dies
                test.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
                if test.session.testsfailed:
                    os.write(writing, b"failed")
                    break
                os.write(writing, f"{time.process_time() - begun} ".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as told:
        *took, last = told.read().split(" ")
    os.wait()
    return Run(list(map(float, took)), last == "failed")


class Mutants:
    """A plugin of pytest: where the tests would run, they run once for every mutant."""

    def __init__(self, files: list[Path], by_name: bool, picks: Callable[[int, int], bool], longest: float) -> None:
        self.files, self.by_name, self.picks, self.longest = files, by_name, picks, longest
        self.took: dict[pytest.Item, float] = {}
        self.tried = self.killed = 0

    def pytest_configure(self) -> None:
        import hypothesis  # only now that pytest can rewrite it
        import scipy.stats  # noqa: F401 # else the first test that wants it is too long

        quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # to shrink what fails takes long
        hypothesis.settings.register_profile("quick", hypothesis.settings.default, phases=quick)
        hypothesis.settings.load_profile("quick")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for path in self.files:
            self.play(path, about(path, session.items) if self.by_name else session.items)
        return True

    def quickest(self, tests: list[pytest.Item], change: Callable[[], None]) -> list[pytest.Item]:
        """Those that are not too long, the quickest first, after a change that is none."""
        while left := [test for test in tests if test not in self.took]:
            took, failed = run(left, change, self.longest)
            if failed:
                sys.exit(f"{left[len(took)].nodeid} fails without any change")
            self.took |= dict(zip(left, [*took, math.inf], strict=False))
        return sorted([test for test in tests if self.took[test] < math.inf], key=self.took.__getitem__)

    def play(self, path: Path, tests: list[pytest.Item]) -> None:
        """The mutants of a file that are picked, by their number and line."""
        tree, into = ast.parse(path.read_text()), functions(path)
        tests = self.quickest(tests, lambda: put(path, tree, into, tree))
        seconds = sum(self.took[test] for test in tests)
        tried, survived = [k for k, node in enumerate(places(tree)) if self.picks(k, node.lineno)], 0
        for k in tried:
            changed = copy.deepcopy(tree)
            node = places(changed)[k]
            before = ast.unparse(node).splitlines()[0]
            mutate(node)
            took, _ = run(tests, partial(put, path, changed, into, node), 3 * self.longest)
            if len(took) == len(tests):
                survived += 1
                print(f"{path}:{node.lineno}: {before}  ->  {ast.unparse(node).splitlines()[0]}", flush=True)
            else:  # what kills one often kills the next
                tests.insert(0, tests.pop(len(took)))
        killed = len(tried) - survived
        print(f"{path}: {killed} of {len(tried)} killed; {len(tests)} tests of {seconds:.1f} s", flush=True)
        self.tried, self.killed = self.tried + len(tried), self.killed + killed


def sessions(what: list[str], tests: list[str] | None) -> Iterator[tuple[list[Path], Group]]:
    """The files that are meant by names of groups or files, those of a group together."""
    asked = {path for pattern in what for path in Path().glob(pattern)}
    if tests:
        yield sorted(asked), Group("", tests)
        return
    for name, groups in GROUPS.items():
        for group in groups:
            if files := [path for path in sorted(Path().glob(group.files)) if name in what or path in asked]:
                yield files, group


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", help=f"of {', '.join(GROUPS)}, files of those, or with --tests any files")
    parser.add_argument("--tests", nargs="+", help="what is run on them; options that are not listed here go to pytest")
    parser.add_argument("--every", type=int, default=1, help="try every k-th mutant of a file only")
    parser.add_argument("--lines", nargs="+", type=int, help="try the mutants of these lines, say once more")
    parser.add_argument("--longest", type=float, default=1, help="leave out tests of more than so many seconds")
    options, more = parser.parse_known_args()
    picks = (lambda k, line: line in options.lines) if options.lines else (lambda k, line: k % options.every == 0)
    plain = ["-s", "-qq", "-m", "not slow", "-p", "no:cacheprovider", "-o", "timeout=0", *more]
    tried = killed = 0
    for files, group in sessions(options.what, options.tests):
        mutants = Mutants(files, group.named, picks, options.longest)
        pytest.main([*plain, *group.tests], [mutants])
        tried, killed = tried + mutants.tried, killed + mutants.killed
    print(f"{killed} of {tried} killed, {killed / max(tried, 1):.0%}")


if __name__ == "__main__":
    main()
