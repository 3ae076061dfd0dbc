"""Image sets become arrays. In the parent only: it needs scikit-learn for digits and Pillow for folders.

To download it needs torchvision.
"""

from __future__ import annotations

import gzip
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import folders, sprites
from benchmarks.data.store import DataError

Array: TypeAlias = NDArray[Any]

MNIST_KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}  # spec -> torchvision's class and folder
FOLDER_SIZE = 64  # pixels a side at which `folder:PATH` is decoded


def decoded(spec: str, root: Path, download: bool) -> dict[str, Any]:
    """The arrays of an image set: pixels and labels of both splits, the largest pixel value, the number of classes.

    Raises:
        DataError: the data are missing or damaged.
    """
    if spec.startswith("folder:"):
        return _folder(folders.located(spec))
    if spec in DRAWN:
        return DRAWN[spec]()
    return _torchvision(spec, root, download)


def picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Its pixels, `size x size x 3`: 16 bits of grey are scaled to 8, and what is transparent lies on white.

    Raises:
        ValueError: it cannot be read.
        ImportError: Pillow is not installed.
    """
    image, ops = import_module("PIL.Image"), import_module("PIL.ImageOps")
    try:
        with image.open(path) as file:
            whole = file
            if file.mode.startswith("I"):  # 16 bits of grey, which convert would clip
                grey = np.asarray(file)
                grey = np.where(grey == file.info.get("transparency", -1), 65535, grey)
                whole = image.fromarray((grey / 257).round().astype(np.uint8))
            if whole.has_transparency_data:
                layer = whole.convert("RGBA")
                whole = image.alpha_composite(image.new("RGBA", layer.size, "white"), layer)
            return np.asarray(ops.fit(whole.convert("RGB"), (size, size)))
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ValueError(f"{path} is no readable image") from error


def _split(pixels: Array, labels: Array, train: int, top: int, classes: int) -> dict[str, Any]:
    order = np.random.RandomState(0).permutation(len(pixels))  # numpy froze this legacy stream: the split never changes
    one, two = order[:train], order[train:]
    return _arrays(pixels[one], labels[one], pixels[two], labels[two], top, classes)


def _arrays(
    train: Array, train_labels: Array, test: Array, test_labels: Array, top: int = 255, classes: int = 10
) -> dict[str, Any]:
    pixels = {"train": train.astype(np.uint8), "test": test.astype(np.uint8)}
    labels = {"train_labels": train_labels.astype(np.int64), "test_labels": test_labels.astype(np.int64)}
    return {**pixels, **labels, "top": top, "classes": classes}


def _digits() -> dict[str, Any]:
    digits = import_module("sklearn.datasets").load_digits()
    return _split(digits.images[:, None], digits.target, train=1200, top=16, classes=10)


def _sprites() -> dict[str, Any]:
    values = sprites.factors()
    pixels, shapes = sprites.drawn(values).numpy(), values[:, list(sprites.FACTORS).index("shape")].numpy()
    return _split(pixels, shapes, train=3 * len(pixels) // 4, top=sprites.TOP, classes=sprites.FACTORS["shape"])


DRAWN = {"digits": _digits, "mini-sprites": _sprites}
"""What needs no files."""


def _torchvision(spec: str, root: Path, download: bool) -> dict[str, Any]:
    kind = MNIST_KINDS.get(spec, "CIFAR10")
    folder = root / "cifar-10-batches-py" if spec == "cifar10" else root / kind / "raw"
    try:
        return _cifar(folder) if spec == "cifar10" else _mnist(folder)
    except FileNotFoundError as error:
        if download:
            _download(kind, root)
            return _torchvision(spec, root, download=False)
        hint = "name the root that holds it with --data-root DIR, or fetch it with --download."
        raise DataError(f"{spec} is not in {folder}: {hint}") from error
    except (ValueError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{spec} in {folder} is damaged ({error}): name another copy with --data-root DIR.") from error


def _download(kind: str, root: Path) -> None:
    try:
        getattr(import_module("torchvision.datasets"), kind)(str(root), download=True)
    except ImportError as error:
        raise DataError("--download needs torchvision: install it, or name the data with --data-root DIR.") from error
    except (OSError, RuntimeError) as error:
        raise DataError(f"--download of {kind} failed ({error}): name a local copy with --data-root DIR.") from error


def _mnist(folder: Path) -> dict[str, Any]:
    train, test = (_idx(folder / f"{split}-images-idx3-ubyte")[:, None] for split in ("train", "t10k"))
    train_labels, test_labels = (_idx(folder / f"{split}-labels-idx1-ubyte") for split in ("train", "t10k"))
    return _arrays(train, train_labels, test, test_labels)


def _idx(path: Path) -> Array:
    """Read an idx file of bytes (LeCun): 0, 0, 8, ndim, then big-endian sizes, then the values."""
    zipped = path.with_name(path.name + ".gz")
    raw = gzip.decompress(zipped.read_bytes()) if zipped.exists() and not path.exists() else path.read_bytes()
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is no idx file")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(tuple(int(n) for n in shape))


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle numpy arrays and plain containers, nothing else: a pickle from a download may name any function."""

    def find_class(self, module: str, name: str) -> Any:
        numpy = module.split(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype"}
        if numpy or (module, name) == ("_codecs", "encode"):
            # The files were written by numpy 1, where this module had another name.
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong in a data file")


def _cifar(folder: Path) -> dict[str, Any]:
    def read(name: str) -> dict[str, Any]:
        with (folder / name).open("rb") as opened:
            content: dict[str, Any] = _ArrayUnpickler(opened, encoding="latin1").load()
        return content

    batches, test = [read(f"data_batch_{k}") for k in range(1, 6)], read("test_batch")
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch["labels"] for batch in batches])
    return _arrays(pixels, labels, test["data"].reshape(-1, 3, 32, 32), np.array(test["labels"]))


def _folder(path: Path) -> dict[str, Any]:
    files = folders.images(path)
    try:
        pixels = np.stack([picture(name, FOLDER_SIZE) for name in files]).transpose(0, 3, 1, 2)
    except ImportError as error:
        raise DataError("--data folder:PATH needs Pillow: install it, or choose --data digits.") from error
    except ValueError as error:
        raise DataError(f"{error}: remove it, or name another --data folder:PATH.") from error
    if (pixels == pixels[:, :1]).all():
        pixels = pixels[:, :1]
    groups = [name.relative_to(path).parts[0] if name.parent != path else "" for name in files]
    names = sorted(set(groups))
    labels = np.array([names.index(group) for group in groups])
    return _split(pixels, labels, train=len(files) - len(files) // 10, top=255, classes=len(names))
