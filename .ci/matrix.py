"""The tests in a fresh environment for each promised version of PyTorch: `make matrix`.

`lowest` takes every direct dependency at the lowest version that pyproject.toml promises, a number pins torch alone,
`newest` pins nothing. `lowest` is played by the lowest Python that is promised and found here, the others by the newest
one found, unless --python names one. One environment at a time (6 GB in the folder for temporary files), deleted when
its tests end.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("lowest", "2.14.1", "newest")


class Row(NamedTuple):
    """How one environment fared."""

    asked: str
    python: str
    torch: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def lowest() -> list[str]:
    """The lower bounds in pyproject.toml as pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    bounds = [re.match(r"([\w-]+)>=([\w.]+)", each) for each in sum(extras, project["dependencies"])]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


def pins(asked: str) -> list[str]:
    """What pip may not choose."""
    return {"lowest": lowest(), "newest": []}.get(asked, [f"torch=={asked}"])


def pythons() -> list[str]:
    """The interpreters on the path that pyproject.toml promises, from the lowest on; this one if there is none."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first = int(promised.removeprefix(">=3."))
    named = [path for minor in range(first, first + 20) if (path := shutil.which(f"python3.{minor}"))]
    return [path for path in named if starts(path)] or [sys.executable]


def starts(interpreter: str) -> bool:
    """Whether it is one, and not a shim for one that is not installed."""
    return subprocess.run([interpreter, "-c", ""], capture_output=True).returncode == 0


def play(asked: str, interpreter: str, options: list[str]) -> Row:
    """The tests in one environment.

    Raises:
        subprocess.CalledProcessError: an environment that cannot be made.
    """
    with TemporaryDirectory(prefix="minimax-matrix-") as folder:
        start, home = time.monotonic(), Path(folder)
        python, report, constraint = str(home / "bin" / "python"), home / "report.xml", home / "pins.txt"
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        constraint.write_text("\n".join(pins(asked)))
        # In pip's own variable the pins take the place of constraints that the machine sets.
        variables = os.environ | {"PIP_CONSTRAINT": str(constraint), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        install = [python, "-m", "pip", "install", "--quiet", "--progress-bar", "off", "--editable", ".[test]"]
        subprocess.run(install, cwd=ROOT, env=variables, check=True)
        ask = "import platform, torch; print(platform.python_version(), torch.__version__)"
        versions = subprocess.check_output([python, "-c", ask], text=True).split()
        print("Python {}, torch {}".format(*versions), f"({asked})", flush=True)
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
        code = subprocess.run(tests, cwd=ROOT, env=variables).returncode
        return Row(asked, *versions, *counts(report, code), time.monotonic() - start)


def counts(report: Path, code: int) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped by a junit report; a run without one that counts has failed."""
    suite = ElementTree.parse(report).find("testsuite") if report.is_file() else None
    if suite is None:
        return 0, 1, 0
    tests, failures, errors, skipped = (int(suite.attrib[k]) for k in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return tests - failed - skipped, failed or int(code != 0), skipped


def main() -> int:
    """Play the versions one after another; 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="lowest, newest, or a version of torch")
    parser.add_argument("--python", help="the interpreter of all environments")
    parser.add_argument("--pytest", default="", help="options and paths for pytest, in one string")
    options = parser.parse_args()
    found = [options.python] if options.python else pythons()
    words = options.pytest.split()
    rows = [play(asked, found[0 if asked == "lowest" else -1], words) for asked in options.versions]
    print(f"\n{'asked':>8}  {'Python':<9}{'torch':<14}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>8}")
    for row in rows:
        print("{:>8}  {:<9}{:<14}{:>7}{:>7}{:>8}{:>8.0f}".format(*row))
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
