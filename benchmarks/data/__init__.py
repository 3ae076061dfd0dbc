"""Data for the problems: known densities, and images that one process decodes and every worker only reads.

The parent calls ``prepare`` (it may import scikit-learn, torchvision or Pillow); a worker calls ``load``, which needs
torch and numpy alone. Whatever is drawn takes an explicit generator, so a draw is a function of ``stream(seed, draw)``.
"""

from __future__ import annotations

import gzip
import math
import os
import pickle
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from benchmarks import record
from benchmarks.data import decoding, folders
from benchmarks.data.folders import DataError

Device = torch.device | str
Array = NDArray[Any]

MNIST_KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}  # spec -> torchvision's class and folder
IMAGES = ("digits", *MNIST_KINDS, "cifar10")
FOLDER_SIZE = 64  # pixels a side at which ``folder:PATH`` is decoded


def stream(seed: int, draw: int = 0, device: Device = "cpu") -> Generator:
    """Generator of draw number ``draw`` in the stream ``seed``: the same pair gives the same numbers in every process.

    >>> torch.equal(torch.rand(3, generator=stream(1, 5)), torch.rand(3, generator=stream(1, 5)))
    True
    """
    # torch's Mersenne Twister keeps 32 bits of a seed: a hash keeps streams apart, the sum seed + draw would not.
    digest = blake2b(f"{seed}/{draw}".encode(), digest_size=4).digest()
    return Generator(device).manual_seed(int.from_bytes(digest, "little"))


# --- known densities ------------------------------------------------------------------------------------------------


class Density(ABC):
    """A distribution on R^d that can be drawn from and evaluated."""

    @abstractmethod
    def sample(self, generator: Generator, size: int, device: Device | None = None) -> Tensor:
        """Draw ``size x d`` points on the generator's device, then move them to ``device``."""

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """Log density in nats: ``x`` of shape ``N x d`` to ``N``."""


class Mixture(Density):
    """Equal-weight mixture of isotropic Gaussians, p(x) = 1/K sum_k N(x; mean_k, std^2 I)."""

    std: float

    @abstractmethod
    def means(self) -> Tensor:
        """Return the modes, ``K x d``."""

    def sample(self, generator: Generator, size: int, device: Device | None = None) -> Tensor:
        return _draw(self.means(), self.std, generator, size).to(device or generator.device)

    def log_density(self, x: Tensor) -> Tensor:
        return _log_mixture(x, self.means(), self.std)


@dataclass(frozen=True)
class Ring(Mixture):
    """``modes`` distinct Gaussians on a circle: angle 2 pi k / K for k < K, so the end point is not repeated.

    >>> Ring().means().shape, len(Ring().means().round(decimals=4).unique(dim=0))
    (torch.Size([8, 2]), 8)
    """

    modes: int = 8
    radius: float = 2.0
    std: float = 0.02

    def means(self) -> Tensor:
        angle = torch.arange(self.modes) * (2 * math.pi / self.modes)
        return self.radius * torch.stack((angle.cos(), angle.sin()), dim=1)


@dataclass(frozen=True)
class Grid(Mixture):
    """``side x side`` Gaussians on a centred square lattice (VEEGAN, Srivastava et al. 2017, section 4.1)."""

    side: int = 5
    spacing: float = 2.0
    std: float = 0.05

    def means(self) -> Tensor:
        line = (torch.arange(self.side) - (self.side - 1) / 2) * self.spacing
        return torch.cartesian_prod(line, line)


@dataclass(frozen=True)
class Gaussian(Mixture):
    """One isotropic Gaussian N(mean, std^2 I); its dimension is the length of ``mean``."""

    mean: tuple[float, ...] = (0.0,)
    std: float = 1.0

    def means(self) -> Tensor:
        return torch.tensor([self.mean])


@dataclass(frozen=True)
class Moons(Density):
    """Two interleaved half circles, (cos t, sin t) and (1 - cos t, 1/2 - sin t), t in [0, pi], plus N(0, std^2 I)."""

    std: float = 0.05

    def curve(self, t: Tensor) -> Tensor:
        """Points of the upper moon, then of the lower one, at the angles ``t``: ``N`` to ``2N x 2``."""
        upper = torch.stack((t.cos(), t.sin()), dim=1)
        return torch.cat((upper, upper.new_tensor([1.0, 0.5]) - upper))

    def sample(self, generator: Generator, size: int, device: Device | None = None) -> Tensor:
        t = math.pi * torch.rand(size, generator=generator, device=generator.device)
        lower = torch.randint(2, (size,), generator=generator, device=generator.device)
        noise = torch.randn(size, 2, generator=generator, device=generator.device)
        index = torch.arange(size, device=generator.device) + size * lower
        return (self.curve(t)[index] + self.std * noise).to(device or generator.device)

    def log_density(self, x: Tensor) -> Tensor:
        nodes = max(64, math.ceil(8 / self.std))  # midpoint rule with steps well below the noise
        t = (torch.arange(nodes, dtype=x.dtype) + 0.5) * (math.pi / nodes)
        return _log_mixture(x, self.curve(t), self.std)


DENSITIES: dict[str, Density] = {"ring-8": Ring(), "grid-25": Grid(), "gaussian": Gaussian(), "moons": Moons()}


def _draw(means: Tensor, std: float, generator: Generator, size: int) -> Tensor:
    device = generator.device
    index = torch.randint(len(means), (size,), generator=generator, device=device)
    noise = torch.randn(size, means.shape[1], generator=generator, device=device)
    return means.to(device)[index] + std * noise


def _log_mixture(x: Tensor, means: Tensor, std: float) -> Tensor:
    square = (x[:, None] - means.to(x)).square().sum(-1)  # N x K
    constant = math.log(len(means)) + means.shape[1] / 2 * math.log(2 * math.pi * std**2)
    return torch.logsumexp(-square / (2 * std**2), dim=1) - constant


# --- images ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Images:
    """A labelled image set: ``N x C x size x size`` float32 in [-1, 1], labels ``N`` in 0 .. classes - 1."""

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int

    @property
    def channels(self) -> int:
        return self.train.shape[1]

    @property
    def size(self) -> int:
        return self.train.shape[2]

    def batch(self, generator: Generator, size: int) -> tuple[Tensor, Tensor]:
        """Draw ``size`` training images and their labels with replacement, a function of the generator alone."""
        index = torch.randint(len(self.train), (size,), generator=generator, device=generator.device)
        index = index.to(self.train.device)
        return self.train[index], self.train_labels[index]

    def to(self, device: Device) -> Images:
        """Move all four tensors to ``device``."""
        names = ("train", "train_labels", "test", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def resize(images: Tensor, size: int) -> Tensor:
    """Resize ``N x C x H x W`` to ``size x size``, bilinear, antialiased where it shrinks.

    >>> resize(torch.zeros(2, 1, 8, 8), 16).shape
    torch.Size([2, 1, 16, 16])
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def cache() -> Path:
    """Folder of decoded data and feature networks: ``MINIMAX_CACHE``, else ``minimax-games`` in the user's cache."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MINIMAX_CACHE") or user / "minimax-games")


def prepare(spec: str, root: Path | str | None = None, download: bool = False) -> Path:
    """Decode the image set ``spec`` into the cache once and return the file; call it in the parent only.

    ``spec`` is ``digits``, ``mnist``, ``fashion-mnist``, ``cifar10`` or ``folder:PATH`` (labels are the first level of
    subfolders), whose stem is then a name for what the folder holds now. ``root`` is a data root in torchvision's
    layout, by default ``data`` in the cache folder.

    Raises:
        DataError: the data are missing, in one sentence with the option that brings them.
    """
    path = file(spec)
    if whole(path):
        return path
    if spec.startswith("folder:"):
        arrays = _folder(folders.located(spec))
        if file(spec) != path:
            raise DataError(f"--data {spec} changed while it was read: run it again when it is at rest.")
    elif spec.startswith(folders.PREFIX):
        raise DataError(f"{spec} is not prepared: name the folder that holds it with --data folder:PATH.")
    elif spec == "digits":
        arrays = _digits()
    else:
        arrays = _torchvision(spec, Path(root).expanduser() if root else cache() / "data", download)
    record.sweep(cache())
    content = BytesIO()
    np.savez(content, **arrays)
    record.write_sealed(path, content.getvalue())
    return path


def whole(path: Path) -> bool:
    """Whether a file of the cache is there and as it was written; one that is not is to be made again."""
    try:
        record.read_sealed(path)
    except (FileNotFoundError, record.DamagedError):
        return False
    return True


def read(path: Path, missing: str) -> BytesIO:
    """The content of a file of the cache.

    Raises:
        DataError: it is missing, in the words given, or damaged.
    """
    try:
        return BytesIO(record.read_sealed(path))
    except FileNotFoundError:
        raise DataError(missing) from None
    except record.DamagedError as error:
        raise DataError(f"{error}: the next run makes it anew, or delete it.") from None


def load(spec: str, size: int | None = None, device: Device = "cpu") -> Images:
    """Read a prepared image set, resized to ``size`` pixels a side where given; needs torch and numpy only.

    Raises:
        DataError: ``prepare(spec)`` has not run, or its file is damaged.
    """
    path = file(spec)
    missing = f"{spec} is not prepared: run it with --data-root DIR or --download, or call data.prepare first."
    with np.load(read(path, missing), allow_pickle=False) as arrays:
        pixels = {name: torch.from_numpy(arrays[name]).to(device) for name in ("train", "test")}
        labels = {name: torch.from_numpy(arrays[name]).to(device) for name in ("train_labels", "test_labels")}
        top, classes = int(arrays["top"]), int(arrays["classes"])
    unit = {name: x.float().div_(top).mul_(2).sub_(1) for name, x in pixels.items()}
    images = {name: resize(x, size) if size else x for name, x in unit.items()}
    return Images(path.stem, **images, **labels, classes=classes)


def file(spec: str) -> Path:
    """Where the decoded image set ``spec`` lies in the cache; its stem is the name of the set.

    Raises:
        DataError: there is no such set, or no such folder.
    """
    if spec.startswith("folder:"):
        return cache() / f"{folders.name(folders.located(spec))}.npz"
    if spec not in IMAGES and not spec.startswith(folders.PREFIX):
        raise DataError(f"--data {spec} is unknown: choose one of {', '.join(IMAGES)} or folder:PATH.")
    return cache() / f"{spec}.npz"


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
        pixels = np.stack([decoding.picture(name, FOLDER_SIZE) for name in files]).transpose(0, 3, 1, 2)
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
