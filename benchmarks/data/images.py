"""Image sets, which one process decodes and every worker only reads.

The parent calls `prepare` (it may import scikit-learn, torchvision or Pillow); a worker calls `load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from benchmarks.data import decoding, folders, store
from benchmarks.data.store import DataError
from benchmarks.data.streams import Device

IMAGES = (*decoding.DRAWN, *decoding.MNIST_KINDS, "cifar10")
TUNING = "-tuning"
"""How the name of a set ends whose test images are some of the training images: choices must not see the others."""


@dataclass(frozen=True, eq=False)
class Images:
    """A labelled image set: (n, channels, size, size) float32 in [-1, 1], labels (n,) in 0 .. classes - 1."""

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
        """Draw `size` training images and their labels with replacement, a function of the generator alone."""
        index = torch.randint(len(self.train), (size,), generator=generator, device=generator.device)
        index = index.to(self.train.device)
        return self.train[index], self.train_labels[index]

    def examples(self, labels: Tensor) -> Tensor:
        """Training images of these classes, of each class the first ones in order."""
        out = self.train.new_empty(len(labels), *self.train.shape[1:])
        for label in labels.unique():
            asked, known = labels == label, self.train[self.train_labels == label]
            out[asked] = known[torch.arange(int(asked.sum())) % len(known)]
        return out

    def binarised(self) -> Images:
        """The images as ±1: the upper half of the grey values is 1, on digits value > 8 of 16."""
        return replace(self, train=sign(self.train), test=sign(self.test))

    def unit(self) -> Images:
        """The images with pixels in [0, 1]."""
        return replace(self, train=(self.train + 1) / 2, test=(self.test + 1) / 2)


def sign(x: Tensor) -> Tensor:
    """1 where x > 0, else -1."""
    return 2 * x.gt(0).to(x) - 1


def resize(images: Tensor, size: int) -> Tensor:
    """Resize (n, channels, height, width) to `size` pixels a side, bilinear, antialiased where it shrinks.

    >>> resize(torch.zeros(2, 1, 8, 8), 16).shape
    torch.Size([2, 1, 16, 16])
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def among(spec: str | None, known: Sequence[str], who: str) -> str:
    """The data set of a problem that is stated for some data sets alone, the first of them by default.

    Raises:
        DataError: it is another one.
    """
    if spec is not None and base(spec) not in known:
        raise DataError(f"--data {spec} does not fit {who}: choose {' or '.join(known)}, or leave it out.")
    return spec or known[0]


def prepare(spec: str, root: Path | str | None = None, download: bool = False) -> Path:
    """Decode the image set `spec` into the cache once and return the file; call it in the parent only.

    `spec` is `digits`, `mini-sprites` (labels are the shapes), `mnist`, `fashion-mnist`, `cifar10` or `folder:PATH`
    (labels are the first level of subfolders), whose stem is then a name for what the folder holds now. `root` is a
    data root in torchvision's layout, by default `data` in the cache folder.

    Raises:
        DataError: the data are missing, in one sentence with the option that brings them.
    """
    spec = base(spec)
    path = file(spec)
    if store.whole(path):
        return path
    if spec.startswith(folders.PREFIX):
        raise DataError(f"{spec} is not prepared: name the folder that holds it with --data folder:PATH.")
    arrays = decoding.decoded(spec, Path(root).expanduser() if root else store.cache() / "data", download)
    if file(spec) != path:
        raise DataError(f"--data {spec} changed while it was read: run it again when it is at rest.")
    content = BytesIO()
    np.savez(content, **arrays)
    store.write(path, content.getvalue())
    return path


def load(spec: str, size: int | None = None, device: Device = "cpu") -> Images:
    """Read a prepared image set, resized to `size` pixels a side where given; needs torch and numpy only.

    Raises:
        DataError: `prepare(spec)` has not run, or its file is damaged.
    """
    path = file(spec)
    missing = f"{spec} is not prepared: run it with --data-root DIR or --download, or call data.prepare first."
    with np.load(store.read(path, missing), allow_pickle=False) as arrays:
        pixels = {name: torch.from_numpy(arrays[name]).to(device) for name in ("train", "test")}
        labels = {name: torch.from_numpy(arrays[name]).to(device) for name in ("train_labels", "test_labels")}
        top, classes = int(arrays["top"]), int(arrays["classes"])
    unit = {name: x.float().div_(top).mul_(2).sub_(1) for name, x in pixels.items()}
    images = {name: resize(x, size) if size else x for name, x in unit.items()}
    whole = Images(path.stem, **images, **labels, classes=classes)
    return held_out(whole) if spec.endswith(TUNING) else whole


def base(spec: str) -> str:
    """The set that one for tuning is a part of; any other is its own.

    >>> base("digits-tuning"), base("mnist")
    ('digits', 'mnist')
    """
    return spec.removesuffix(TUNING)


def held_out(images: Images) -> Images:
    """The set for tuning: a quarter of the training images, at most as many as there were, are its test images."""
    order = torch.randperm(len(images.train), generator=torch.Generator().manual_seed(0)).to(images.train.device)
    test, train = order.tensor_split([min(len(images.test), len(order) // 4)])
    x, labels = images.train, images.train_labels
    return Images(images.name + TUNING, x[train], labels[train], x[test], labels[test], images.classes)


def file(spec: str) -> Path:
    """Where the decoded image set `spec` lies in the cache; its stem is the name of the set.

    Raises:
        DataError: there is no such set, or no such folder.
    """
    spec = base(spec)
    if spec.startswith("folder:"):
        return store.cache() / f"{folders.name(folders.located(spec))}.npz"
    if spec not in IMAGES and not spec.startswith(folders.PREFIX):
        raise DataError(f"--data {spec} is unknown: choose one of {', '.join(IMAGES)} or folder:PATH.")
    return store.cache() / f"{spec}.npz"
