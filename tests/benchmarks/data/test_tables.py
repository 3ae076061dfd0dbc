from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from benchmarks import data


def test_rows_are_in_their_order_of_old() -> None:
    data.prepare_table("digits-rows")
    table, digits = data.load_table("digits-rows"), load_digits()
    assert torch.equal(table.x, torch.from_numpy(digits.data).float())
    assert table.y.tolist() == digits.target.tolist()


def test_what_is_not_prepared_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path))
    with pytest.raises(data.DataError, match=r"^the table digits-rows is not prepared: [^\n]*\.$"):
        data.load_table("digits-rows")
    path = data.prepare_table("digits-rows")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(data.DataError, match="is damaged"):
        data.load_table("digits-rows")
    assert data.prepare_table("digits-rows") == path and len(data.load_table("digits-rows").x) == 1797
