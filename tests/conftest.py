"""What all tests share: one thread, fixed seeds, a cache folder of their own, and the way to real data."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

# Same examples on every run, and no verdict that depends on how busy the machine is.
hypothesis.settings.register_profile(
    "minimax",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("minimax")

torch.set_num_threads(1)

collect_ignore = ["typed_client.py"]  # which is checked for its types, and cannot be run
_cache = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment here, not in a fixture: doctests and child processes have to see it too."""
    if hasattr(config, "workerinput"):  # an xdist worker inherits all of it, and so shares the cache
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("MPLBACKEND", "Agg")
    config.stash[_cache] = os.environ["MINIMAX_CACHE"] = tempfile.mkdtemp(prefix="minimax-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_cache, None):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def reproducible() -> Iterator[None]:
    """Seed torch's global generator before each test, and put its default dtype back afterwards."""
    dtype = torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(dtype)


@pytest.fixture
def float64() -> torch.dtype:
    """Make double precision the default of this test: `pytestmark = pytest.mark.usefixtures("float64")`."""
    torch.set_default_dtype(torch.float64)
    return torch.float64


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """`torch.compile` that traces and generates no code; the options of every call."""
    torch._dynamo.reset()
    calls: list[dict[str, Any]] = []
    real = torch.compile

    def traced(function: Any, **options: Any) -> Any:
        calls.append(options)
        return real(function, **options | {"backend": "eager"})

    monkeypatch.setattr(torch, "compile", traced)
    return calls


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache folder of this test run, one for all workers."""
    return Path(os.environ["MINIMAX_CACHE"])


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data sets, in torchvision's layout."""
    if named := os.environ.get("MINIMAX_DATA_ROOT"):
        if not Path(named).is_dir():
            pytest.fail(f"MINIMAX_DATA_ROOT names no folder: {named}")
        return Path(named)
    shared = REPOSITORY.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip("no data sets here: name their folder with MINIMAX_DATA_ROOT")
    return shared
