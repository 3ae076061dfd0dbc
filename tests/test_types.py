"""The types that users see: a small client under mypy's strictest rules; what mypy should refuse, it has to refuse."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parent.parent


def test_a_client_gets_out_what_it_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`assert_type` says what is seen; an ignored error that mypy no longer finds is an error itself."""
    monkeypatch.chdir(ROOT)
    said, errors, status = api.run(["--strict", "tests/typed_client.py"])
    assert status == 0, said + errors
