"""What problems take for labels, and what they refuse."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.data import DataError, Images
from benchmarks.problem import Problem
from benchmarks.problems import discover
from benchmarks.problems._labels import Labelled, admit
from benchmarks.problems.conditional import sgan
from benchmarks.problems.vaes import m2

NEED = (
    "m2",
    "m2-all",
    "siddharth",
    "mog-classifier",
    "mog-clustering",
    "sgan",
    "aae-semi",
    "aae-supervised",
    "aae-clustering",
    "aae-2d",
)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    m2.M2.prepare(None, None, download=False)


def labelled(train: list[int], test: tuple[int, ...] = (0, 1), classes: int = 2) -> Images:
    x, y = torch.zeros(len(train), 1, 8, 8), torch.zeros(len(test), 1, 8, 8)
    return Images("mine", x, torch.tensor(train), y, torch.tensor(test), classes)


def test_what_is_fit_is_taken() -> None:
    admit(labelled([0, 1, 1, 0]), "m2", 2)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (labelled([0, 0], (0,), 1), r"m2 needs images with classes, and --data mine has 1: .*a subfolder for each"),
        (labelled([0, 1, 2, 1]), r"--data mine: the label 2 is outside 0 to 1; mend the labels, or"),
        (labelled([0, 1], (0, -1)), r"--data mine: the label -1 is outside 0 to 1; mend"),
        (
            labelled([0, 0, 1]),
            r"m2 takes 2 labelled images of each class, and class 1 of --data mine has 1 to train on",
        ),
        (labelled([0, 0]), r"m2 takes 2 .* class 1 of --data mine has 0 to train on: add some, or choose another set"),
    ],
)
def test_what_is_not_is_refused_in_one_sentence(images: Images, sentence: str) -> None:
    with pytest.raises(DataError, match=f"^{sentence}[^\n]*$"):
        admit(images, "m2", 2)


@pytest.mark.parametrize("name", NEED)
def test_a_folder_without_classes_is_refused_before_anything_is_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "flat"
    folder.mkdir()
    for k in range(60):
        Image.new("L", (8, 8), k).save(folder / f"{k}.png")
    kind: type[Problem] = discover()[name].kind
    with pytest.raises(DataError, match=rf"^{name} needs images with classes, and --data folder-flat-\w+ has 1: "):
        kind.prepare(f"folder:{folder}", None, download=False)
    assert not list((tmp_path / "cache").glob("features-*"))


def test_a_folder_with_too_few_of_a_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    for k in range(70):
        folder = tmp_path / "two" / ("a" if k < 65 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), k).save(folder / f"{k}.png")
    with pytest.raises(
        DataError, match=r"^m2 takes 10 labelled images of each class, and class 1 of --data folder-two"
    ):
        m2.M2.prepare(f"folder:{tmp_path / 'two'}", None, download=False)


@pytest.mark.parametrize(("kind", "each"), [(m2.M2, 10), (m2.M2Of20, 2), (m2.M2Of50, 5), (sgan.SemiSupervisedGAN, 10)])
def test_the_seed_says_which_images_tell_their_class(kind: type[Labelled], each: int) -> None:
    it = kind("smoke")
    (x, y), (other, _) = it.known(100), it.known(101)
    assert y.bincount().tolist() == [each] * 10 and not torch.equal(x, other)
    assert torch.equal(x, kind("smoke").known(100)[0])
    for image, label in zip(x, y, strict=True):
        same = (it.images.train == image).flatten(1).all(1)
        assert same.any() and (it.images.train_labels[same] == label).all()


def test_all_images_tell_it_where_none_is_chosen() -> None:
    it = m2.M2OfAll("smoke")
    x, y = it.known(3)
    assert torch.equal(x, it.images.train) and torch.equal(y, it.images.train_labels)


def test_simple_models_are_fitted_to_the_labels_of_the_run() -> None:
    it = m2.M2("cpu")
    assert all(0.85 < it.linear(seed) < 0.95 and 0.8 < it.nearest(seed) < 0.95 for seed in (100, 101))
    assert it.linear(100) != it.linear(101)
    assert m2.M2OfAll("cpu").linear(100) > 0.95 and it.linear(100) > m2.M2Of20("cpu").linear(100)
