"""What a results folder holds is data: it comes back as it was, and reading it runs nothing."""

import ast
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import benchmarks
from benchmarks import tensors
from benchmarks.record import DamagedError

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.complex64, torch.int64, torch.uint8, torch.bool)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(
        lambda shape, kind, flip: (t := (9 * torch.randn(shape)).to(kind), t.T if flip and t.dim() == 2 else t)[1],
        st.lists(st.integers(0, 3), max_size=2),
        st.sampled_from(DTYPES),
        st.booleans(),
    )
)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


@given(plain)
def test_plain_containers_of_tensors_come_back_as_they_were(value):
    assert same(value, tensors.loaded(tensors.dumped(value)))


def test_names_that_meet_and_memory_that_is_shared_are_kept_apart():
    both = torch.arange(6.0)
    value = {"a.b": both, "a": {"b": both[1:3]}, "c": both.expand(2, 6)}
    assert same(value, tensors.loaded(tensors.dumped(value)))


def test_what_is_no_plain_container_is_refused_by_its_path():
    with pytest.raises(TypeError, match=r"^memory\.1 is a set: only tensors, numbers, words"):
        tensors.dumped({"memory": [1, {2}]})


def test_what_is_not_ours_is_damaged_and_nothing_is_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "executed",)

    whole = tensors.dumped({"a": torch.ones(2)})
    for data in (pickle.dumps(Hostile()), b"", whole[:-1], whole + b"!", whole.replace(b"dict", b"evil")):
        with pytest.raises(DamagedError):
            tensors.loaded(data)
    assert not (tmp_path / "executed").exists()


def test_nothing_here_unpickles_files():
    """What two processes of one command tell each other may be pickled, and a downloaded data set by its own reader."""
    (root,) = benchmarks.__path__
    allowed = {"data/decoding.py", "runner/process.py", "runner/engines/processes.py", "runner/engines/rays.py"}
    found = set()
    for path in Path(root).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            names += [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
            if {"torch.load", "torch.save", "pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(
                names
            ):
                found.add(path.relative_to(root).as_posix())
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False"
    assert found <= allowed
