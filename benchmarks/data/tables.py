"""Tables that ship with scikit-learn, decoded by the parent and read by every worker."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import store
from benchmarks.data.streams import Device

TABLES = {
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "digits-rows": "load_digits",
}  # name -> scikit-learn's loader


@dataclass(frozen=True, eq=False)
class Table:
    """Rows in their order of old: features (rows, features) in floating point, and integer labels (rows,)."""

    x: Tensor
    y: Tensor


def prepare_table(name: str) -> Path:
    """Decode a table into the cache once and return the file; call it in the parent only."""
    path = store.cache() / f"table-{name}.npz"
    if not store.whole(path):
        found = getattr(import_module("sklearn.datasets"), TABLES[name])()
        content = BytesIO()
        np.savez(content, x=found.data, y=found.target)
        store.write(path, content.getvalue())
    return path


def load_table(name: str, device: Device = "cpu", dtype: torch.dtype | None = None) -> Table:
    """Read a prepared table, its features in a precision of choice, else in the default one.

    Raises:
        DataError: `prepare_table(name)` has not run, or its file is damaged.
    """
    missing = f"the table {name} is not prepared: call data.prepare_table first."
    with np.load(store.read(store.cache() / f"table-{name}.npz", missing), allow_pickle=False) as arrays:
        x, y = (torch.from_numpy(arrays[k]).to(device) for k in ("x", "y"))
    return Table(x.to(dtype or torch.get_default_dtype()), y.long())
