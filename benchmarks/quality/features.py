"""Domain classifiers whose features image scores live in: one small seeded network per data set, trained once, hashed.

A score's unit is the name of its features (`digits64`), and scores of features with different `digest` do not
compare. `prepare` trains in the parent; a worker only calls `load`. On another machine rounding makes another network
of the same recipe, so those of `digits` and `mini-sprites` lie in `networks/`, as they came out once: `python -m
benchmarks.quality.features digits mini-sprites` trains them anew, for a recipe that has changed.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import data, record, tensors
from benchmarks.data import store
from benchmarks.networks import seeded


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: Adam on images warped at random, the rate rising for a tenth of the steps."""

    epochs: int = 4
    batch: int = 128
    rate: float = 3e-3
    width: int = 16
    dim: int = 64
    turn: float = 0.15  # radians
    zoom: float = 0.1
    shift: float = 0.06  # of a side


SEEDS = {0: "", 1: "b"}
"""What the name of a feature space ends in, by the seed of its classifier."""
RECIPES = {
    "digits": Recipe(epochs=30, batch=64, rate=2e-3, width=32),
    "mini-sprites": Recipe(epochs=12, batch=32, turn=0, zoom=0),  # whose turns and sizes are all there
}
SHIPPED = Path(__file__).with_name("networks")


class Classifier(nn.Module):
    """Three convolutions and two linear layers: images to features (batch, dim) and logits (batch, classes).

    No normalisation layer: the features of an image must not depend on its batch.
    """

    scale: Tensor

    def __init__(self, channels: int, size: int, classes: int, width: int = 16, dim: int = 64) -> None:
        super().__init__()
        side = (size + 3) // 4
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * width * side**2, dim),
            nn.LeakyReLU(0.1),  # a rectifier left a third of the features at 0 on every image of MNIST
        )
        self.head = nn.Linear(dim, classes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return features / self.scale, self.head(features)


@dataclass(frozen=True, eq=False)
class Features:
    """A trained classifier as a feature map: `name` is the unit of its scores, `digest` that of the weights."""

    name: str
    digest: str
    accuracy: float
    size: int
    dim: int
    net: Classifier

    @property
    def classes(self) -> int:
        """How many classes it tells."""
        return self.net.head.out_features

    @torch.no_grad()
    def read(self, images: Tensor, batch: int = 1000) -> tuple[Tensor, Tensor]:
        """Features (n, dim) and class probabilities (n, classes) of images of any size, in [-1, 1]."""
        features, logits = _evaluate(self.net, data.resize(images.to(self.net.head.weight), self.size), batch)
        return features, logits.softmax(dim=1)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features alone, (n, dim)."""
        return self.read(images)[0]


def prepare(spec: str) -> list[Path]:
    """Put the classifiers of a prepared image set into the cache, unless some for these very images lie there.

    There are two, which differ in nothing but their seed: what one has by chance the other has not. A set without
    classes keeps random features, the advice of Naeem et al. 2020 for an unknown domain: `random64`.
    """
    return [_prepared(data.base(spec), seed) for seed in SEEDS]


def _prepared(spec: str, seed: int) -> Path:
    images = data.load(spec)
    path, source = _file(spec, seed), _sha(images.train, images.train_labels)
    if store.whole(path) and _content(spec, seed)["source"] == source:
        return path
    shipped = SHIPPED / path.name
    content = record.read_sealed(shipped) if shipped.is_file() else b""
    fits = content and tensors.loaded(content)["source"] == source
    store.write(path, content if fits else _trained(spec, seed, source))
    return path


def _trained(spec: str, seed: int, source: str) -> bytes:
    """The file of a network, trained."""
    images, recipe = data.load(spec), _recipe(spec)
    known = images.classes > 1
    net = train(images, recipe, seed) if known else _build(images, recipe, seed)
    net.scale.copy_(_evaluate(net, images.train)[0].square().mean().sqrt())
    return tensors.dumped(
        {
            "source": source,
            "name": f"{images.name if known else 'random'}{recipe.dim}{SEEDS[seed]}",
            "shape": (images.channels, images.size, images.classes, recipe.width, recipe.dim),
            "accuracy": accuracy(net, images.test, images.test_labels) if known else math.nan,
            "state": dict(net.state_dict()),
        }
    )


def main(specs: list[str]) -> None:
    """Train the networks that are shipped."""
    for spec in specs:
        data.prepare(spec)
        images = data.load(spec)
        for seed in SEEDS:
            content = _trained(spec, seed, _sha(images.train, images.train_labels))
            record.write_sealed(SHIPPED / _file(spec, seed).name, content)


def load(spec: str, device: data.Device = "cpu", seed: int = 0) -> Features:
    """Read the feature network of `spec` that was trained from a seed, 0 or 1; a set for tuning has that of its whole.

    Raises:
        DataError: `prepare(spec)` has not run, or its file is damaged.
    """
    content = _content(data.base(spec), seed)
    net = Classifier(*content["shape"])
    net.load_state_dict(content["state"])
    digest = _sha(*net.state_dict().values())
    size, dim = content["shape"][1], content["shape"][-1]
    return Features(content["name"], digest, content["accuracy"], size, dim, net.to(device).requires_grad_(False))


def train(images: data.Images, recipe: Recipe, seed: int = 0) -> Classifier:
    """Train a classifier of labelled images by the recipe; the same weights every time on one machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the number of threads decides the order of sums, hence the last bits and the digest
    try:
        return _fit(_build(images, recipe, seed), images, recipe, seed)
    finally:
        torch.set_num_threads(threads)


def accuracy(net: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images that the classifier labels right."""
    return float((_evaluate(net, images)[1].argmax(1) == labels).double().mean())


def _fit(net: Classifier, images: data.Images, recipe: Recipe, seed: int) -> Classifier:
    optimizer = torch.optim.Adam(net.parameters(), recipe.rate)
    steps = recipe.epochs * math.ceil(len(images.train) / recipe.batch)
    warm = math.ceil(steps / 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm + 1))
    )
    for epoch in range(recipe.epochs):
        generator = data.stream(seed, epoch)
        order = torch.randperm(len(images.train), generator=generator).to(images.train.device)
        for index in order.split(recipe.batch):
            x = _warp(images.train[index], recipe, generator)
            loss = F.cross_entropy(net(x)[1], images.train_labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net


def _warp(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    u = (2 * torch.rand(4, len(images), generator=generator) - 1).to(images)
    angle, zoom, (dx, dy) = recipe.turn * u[0], 1 + recipe.zoom * u[1], 2 * recipe.shift * u[2:]  # the side is 2 long
    c, s = zoom * angle.cos(), zoom * angle.sin()
    maps = torch.stack((c, -s, dx, s, c, dy), dim=1).unflatten(1, (2, 3))
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1  # grid_sample pads with 0: the background is -1


def _build(images: data.Images, recipe: Recipe, seed: int = 0) -> Classifier:
    shape = (images.channels, images.size, images.classes, recipe.width, recipe.dim)
    return seeded(seed, lambda: Classifier(*shape)).to(images.train.device)


@torch.no_grad()
def _evaluate(net: Classifier, images: Tensor, batch: int = 1000) -> tuple[Tensor, Tensor]:
    parts = [net(x) for x in images.split(batch)]
    features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return features, logits


def _recipe(spec: str) -> Recipe:
    return RECIPES.get(spec, Recipe())


def _content(spec: str, seed: int) -> dict[str, Any]:
    missing = f"the feature network of {spec} is not trained: call features.prepare first."
    content: dict[str, Any] = tensors.loaded(store.read(_file(spec, seed), missing).getvalue())
    return content


def _file(spec: str, seed: int) -> Path:
    recipe = sha256(repr(_recipe(spec)).encode()).hexdigest()[:8]
    return store.cache() / f"features-{data.file(spec).stem}{SEEDS[seed]}-{recipe}.safetensors"


def _sha(*tensors: Tensor) -> str:
    total = sha256()
    for tensor in tensors:
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:12]


if __name__ == "__main__":
    main(sys.argv[1:])
