"""Wheel and sdist into `dist/`, and what has to be so of them before anybody uploads them: `make dist`.

Built from the sdist, as a package index builds it. The packages hold the library as git knows it and nothing else, the
description has no link or picture that an index could not follow, and the wheel plays a game from an empty folder, with
the dependencies of this environment: nothing is fetched but what builds it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
BESIDE = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
GAME = """
import pathlib, minimax as mm, torch
assert pathlib.Path(mm.__file__).is_relative_to(pathlib.Path.cwd()), mm.__file__
start = (torch.tensor(1.0), torch.tensor(1.0))
limits = mm.Limits(tolerance=1e-6)
print(mm.solve(mm.zero_sum(lambda x, y: x * y), start, mm.ExtraGradient(mm.sgd(0.5)), limits=limits).status)
"""


def python(*words: str, cwd: Path = ROOT) -> None:
    """Run this interpreter; it must succeed."""
    subprocess.run([sys.executable, *words], cwd=cwd, check=True)


def tracked() -> set[str]:
    """The files of the library that git knows."""
    return set(subprocess.check_output(["git", "ls-files", "minimax"], cwd=ROOT, text=True).split())


def same(what: str, found: set[str], expected: set[str]) -> None:
    """Fail unless a package holds what it should."""
    if found != expected:
        sys.exit(f"{what}: too much {sorted(found - expected)}, missing {sorted(expected - found)}")


def check_sdist(path: Path) -> None:
    """The library, and what says whose it is and how it is built."""
    with tarfile.open(path) as archive:
        names = {str(PurePosixPath(*PurePosixPath(one.name).parts[1:])) for one in archive if one.isfile()}
    same(path.name, names, tracked() | BESIDE)


def check_wheel(path: Path) -> None:
    """The library with its mark of types, its licence, and a description that an index can show."""
    with zipfile.ZipFile(path) as archive:
        about = {PurePosixPath(name).name: archive.read(name) for name in archive.namelist() if ".dist-info/" in name}
        same(path.name, {name for name in archive.namelist() if ".dist-info/" not in name}, tracked())
    same(f"{path.name}, about itself", set(about), {"METADATA", "WHEEL", "RECORD", "LICENSE"})
    description = message_from_bytes(about["METADATA"]).get_payload()
    relative = re.findall(r"\]\((?!https?:)[^)]*\)", str(description))
    if relative or "minimax/py.typed" not in tracked():
        sys.exit(f"{path.name}: links that an index cannot follow {relative}, or no minimax/py.typed")


def main() -> None:
    """Build, check, install, play."""
    shutil.rmtree(DIST, ignore_errors=True)
    python("-m", "build", "--outdir", str(DIST))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    python("-m", "twine", "check", "--strict", str(sdist), str(wheel))
    check_sdist(sdist)
    check_wheel(wheel)
    with TemporaryDirectory() as folder:
        python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, str(wheel))
        python("-c", GAME, cwd=Path(folder))


if __name__ == "__main__":
    main()
