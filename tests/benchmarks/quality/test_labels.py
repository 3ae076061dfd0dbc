import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data
from benchmarks.data import stream
from benchmarks.quality import labels

DIRECTIONS = st.integers(0, 10_000)  # a seed that hypothesis can shrink


@given(st.permutations(range(6)), DIRECTIONS)
def test_code_accuracy_finds_the_permutation(order: list[int], seed: int) -> None:
    codes = torch.randint(6, (300,), generator=stream(seed))
    classes = torch.tensor(order)[codes]
    assert labels.code_accuracy(codes, classes, 6) == 1
    wrong = classes.clone()
    wrong[:30] = (wrong[:30] + 1) % 6
    assert labels.code_accuracy(codes, wrong, 6) == pytest.approx(0.9)


def test_code_accuracy_is_no_greedy_matching() -> None:
    """Greedy takes the 6 and is left with 0; the best matching takes 5 + 5."""
    codes = torch.tensor([0] * 11 + [1] * 5)
    classes = torch.tensor([0] * 6 + [1] * 5 + [0] * 5)
    assert labels.code_accuracy(codes, classes, 2) == pytest.approx(10 / 16)


def test_one_class_for_all_codes_scores_one_code() -> None:
    codes = torch.arange(100) % 10
    assert labels.code_accuracy(codes, torch.zeros(100)) == pytest.approx(0.1)


def test_train_on_generated_learns_from_the_labels_given() -> None:
    data.prepare("digits")
    real = data.load("digits")
    x, y = real.train[:400], real.train_labels[:400]
    honest = labels.train_on_generated(x, y, real, epochs=12)
    assert honest > 0.85
    assert labels.train_on_generated(x, (y + 1) % 10, real, epochs=3) < 0.1
