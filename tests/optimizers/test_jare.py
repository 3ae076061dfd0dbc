"""What JARE's fields are stands in test_identities.py."""

import pytest

import minimax as mm


def test_negative_gamma() -> None:
    with pytest.raises(ValueError, match=r"gamma must be a finite number >= 0, got -1"):
        mm.JARE(mm.sgd(0.1), gamma=-1)
