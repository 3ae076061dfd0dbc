from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import Applied, seeded
from benchmarks.pictures import Picture
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._codes import COMMITMENT, averaged, counts, missed, moving, nearest, perplexity, straight
from benchmarks.problems._gaussian import LOG_2PI
from benchmarks.problems._images import EVALUATION, PICTURES, ImageProblem, compared, grid, presets
from benchmarks.problems.vaes import _writer
from benchmarks.quality.reference import k_means_of_patches

SIZE = 8  # numbers in a vector of the codebook
DEVIATION = 0.2  # of p(x|z), a tenth of the way from black to white
CHUNK = 256  # images whose words are looked up at a time


class VQVAE(ImageProblem):
    """Vector-quantised autoencoder: images as words of a codebook, one for each place of a small grid; three players.

    The encoder says vectors z, of which each is replaced by the nearest vector e of the codebook, and p(x|e) is
    N(Dec(e), .2² I), pixels in [-1, 1]. In nats an image, the encoder minimises -log p(x|e) + .25 |z - e|², of which
    the first term is taken to first order around e, at z: its gradient is passed straight through. The codebook
    minimises |z - e|², the decoder -log p(x|e).

    `sse`: of test images with pixels in [0, 1], Σ(x - Dec(e))² an image. `bits` a pixel of what a code of this kind
    takes: the words, by a prior fitted to those of the training images (`words_nll`, in nats an image), and then the
    errors of Dec(e) in grey values, by how often each occurs at that pixel in training images. `perplexity` of the
    words in all training images; `dead` are those that none of them has, and here nothing brings them back. The other
    scores are of samples: words by that prior, decoded.

    Source: van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, 2017; the prior there is a
    PixelCNN.
    """

    name = "vq-vae"
    datasets = ("digits", "mnist", "fashion-mnist", "cifar10")
    presets: ClassVar[Mapping[str, Preset]] = presets(
        1500, width=(8, 32, 64, 128), words=(8, 32, 128, 512), halvings=(1, 1, 2, 2)
    )
    # The source's rate is 2e-4 for all. A codebook that does not keep up with the encoder has words that nobody says.
    recipe: ClassVar[Recipe] = Recipe((mm.adam(2e-3), mm.adam(3e-2), mm.adam(2e-3)), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"sse": 0.555}

    # ------------------------------------------------------------------------------------------------------- the game

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.channels, self.option["width"], self.option["halvings"])
        built = seeded(seed, lambda: (Encoder(*shape), Decoder(*shape)))
        encoder, decoder = (module.to(self.device) for module in built)
        with torch.no_grad():  # words that nothing is near to would never be said
            stream, words = self.generator(seed, EVALUATION), self.option["words"]
            real, _ = self.images.batch(stream, words)
            z = encoder(real.to(next(encoder.parameters()).dtype)).flatten(0, 2)
            said = z[torch.randperm(len(z), generator=stream, device=self.device)[:words]]
        return encoder, self.book(said), decoder

    def book(self, vectors: Tensor) -> Any:
        """The player that stands for a codebook of these vectors."""
        return vectors

    def vectors(self, book: Any) -> Tensor:
        """The codebook that a player stands for."""
        return book

    def game(self) -> mm.Game:
        return mm.Game(self.encoder_loss, self.codebook_loss, self.decoder_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        return {"real": self.images.batch(self.generator(seed, draw), self.preset.batch)[0]}

    def encoder_loss(self, encoder: nn.Module, book: Any, decoder: nn.Module, batch: Batch) -> Tensor:
        """-log p(x|e) to first order around e, at z, + .25 E|z - e|²."""
        z, codebook = encoder(batch["real"]), self.vectors(book)
        e = codebook[nearest(z, codebook)]
        return straight(lambda e: surprise(batch["real"], decoder(e)), z, e) + COMMITMENT * missed(z, codebook)

    def codebook_loss(self, encoder: nn.Module, book: Any, decoder: nn.Module, batch: Batch) -> Tensor:
        """E|z - e|²."""
        return missed(encoder(batch["real"]), self.vectors(book))

    def decoder_loss(self, encoder: nn.Module, book: Any, decoder: nn.Module, batch: Batch) -> Tensor:
        """-log p(x|e)."""
        codebook = self.vectors(book)
        return surprise(batch["real"], decoder(codebook[nearest(encoder(batch["real"]), codebook)]))

    # ------------------------------------------------------------------------------------------------- the evaluation

    @property
    def metrics(self) -> Sequence[Metric]:
        words, positive = self.option["words"], (0, math.inf)
        return self.aimed(
            Metric("sse", range=positive, headline=True),
            Metric("bits", unit="bits a pixel", range=positive),
            Metric("words_nll", unit="nats", range=positive),
            Metric("perplexity", "higher", "words", (1, words)),
            Metric("dead", unit="words", range=(0, words)),
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        train, test = (self.words(view, images) for images in (self.images.train, self.images.test))
        writer, total = _writer.fitted(train, self.option["words"]), self.option["words"]
        back = self.decoded(view, test)
        known, asked = self.errors(self.images.train, self.decoded(view, train)), self.errors(self.images.test, back)
        pixels, told = coded(known, asked, self.top), float(writer.nll(test).mean())
        samples = writer.written(self.samples, self.generator(view.seed, EVALUATION))
        return {
            "sse": float((self.images.test - back).flatten(1).square().sum(1).mean()) / 4,
            "bits": (pixels + told) / self.images.test[0].numel() / math.log(2),
            "words_nll": told,
            "perplexity": perplexity(train, total),
            "dead": float((counts(train.flatten(), total) == 0).sum()),
            **self.score(self.decoded(view, samples)),
        }

    def words(self, view: View, images: Tensor) -> Tensor:
        """Images in words, (n, side, side)."""
        encoder, codebook = view.players[0], self.vectors(view.players[1])
        return torch.cat([nearest(encoder(x), codebook) for x in images.split(CHUNK)])

    def decoded(self, view: View, words: Tensor) -> Tensor:
        """The means of the images that words (n, side, side) tell."""
        codebook, decoder = self.vectors(view.players[1]), view.players[2]
        return torch.cat([decoder(codebook[part]).clamp(-1, 1) for part in words.split(CHUNK)])

    def errors(self, x: Tensor, back: Tensor) -> Tensor:
        """By how many grey values images are brighter than what they are decoded to, (n, pixels)."""
        return ((x + 1) / 2 * self.top).round().sub(((back + 1) / 2 * self.top).round()).flatten(1)

    @cached_property
    def top(self) -> int:
        """The greatest grey value."""
        return round(2 / float(self.images.train.unique().diff().min()))

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test, side = self.images.train, self.images.test, 2 ** self.option["halvings"]
        back = {"mean": train.mean(0), "k-means": k_means_of_patches(train, test, side, self.option["words"])}
        for what, images in back.items():
            yield Floor("sse", what, float((test - images).square().sum()) / len(test) / 4)
        known, asked = (self.errors(x, torch.full_like(x, -1)) for x in (train, test))
        nats = coded(known, asked, self.top)
        yield Floor("bits", "independent-pixels", nats / test[0].numel() / math.log(2))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        x = self.images.test[:32]
        both = compared(
            {"image": x, "decoded": self.decoded(view, self.words(view, x))}, "test images encoded and decoded"
        )
        train = self.words(view, self.images.train)
        writer = _writer.fitted(train, self.option["words"])
        samples = self.decoded(view, writer.written(64, self.generator(view.seed, PICTURES)))
        return {"samples": grid(samples), "reconstructions": both, "words": self.shown(view, train)}

    def shown(self, view: View, words: Tensor) -> Picture:
        """What the 64 words that are said most look like, each all over an image, most frequent first."""
        often = counts(words.flatten(), self.option["words"]).argsort(descending=True)[:64]
        count = len(often) // 8 * 8
        everywhere = often[:count, None, None].expand(-1, *words.shape[1:])
        return Picture(
            grid(self.decoded(view, everywhere)), about="a word all over an image each, the most frequent first"
        )

    def truths(self) -> Pictures:
        return {"samples": grid(self.images.batch(self.generator(0, PICTURES), 64)[0])}


class VQVAEMoving(VQVAE):
    """VQ-VAE with a codebook of moving averages, in which words that nobody says start afresh.

    The codebook is a player that holds how often each word is said, N, and the sum of the vectors that say it, m; the
    vectors are m / N. Descent of rate 1 - γ on ½ Σ(N - n)² + ½ Σ|m - s|², n and s those of the batch, is the moving
    average, γ = .95 at first and, as rates decay, 1 at the end; .99 in the source. A word whose N fell below
    .1 (1 - γ), a tenth of what one vector adds to it, starts at a vector of the next batch; at first all are on that
    brink. Any method plays this, as losses only read what is averaged.

    Source: van den Oord, Vinyals & Kavukcuoglu, 2017, appendix A; restarts: Dhariwal et al., Jukebox, 2020.
    """

    name = "vq-vae-ema"
    keep: ClassVar[float] = 0.95
    recipe: ClassVar[Recipe] = Recipe((mm.adam(2e-3), mm.sgd(1 - keep), mm.adam(2e-3)), decay=True)

    def book(self, vectors: Tensor) -> Any:
        count = torch.full_like(vectors[:, 0], self.least)
        return {"count": count, "sum": count[:, None] * vectors}

    def vectors(self, book: Any) -> Tensor:
        return averaged(book, self.least)

    @property
    def least(self) -> float:
        """The N below which a word is dead: a tenth of what one vector adds to it."""
        return 0.1 * (1 - self.keep)

    def memory(self, seed: int) -> Memory:
        return {"dead": torch.zeros(self.option["words"], dtype=torch.bool, device=self.device)}

    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Batch) -> Memory:
        return {"dead": players[1]["count"] < self.least}

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        assert memory is not None
        stream, size = self.generator(seed, draw), self.preset.batch
        real, _ = self.images.batch(stream, size)
        places = (self.images.size // 2 ** self.option["halvings"]) ** 2
        order = torch.randperm(size * places, generator=stream, device=self.device)
        return {"real": real, "dead": memory["dead"], "order": order}

    def codebook_loss(self, encoder: nn.Module, book: Any, decoder: nn.Module, batch: Batch) -> Tensor:
        """½ Σ(N - n)² + ½ Σ|m - s|²."""
        z = encoder(batch["real"])
        return moving(book, z, nearest(z, self.vectors(book)), batch["dead"], batch["order"])


class Encoder(nn.Sequential):
    """Convolutions, images to vectors (batch, side, side, SIZE), the side halved so many times."""

    def __init__(self, channels: int, width: int, halvings: int) -> None:
        widths = (channels, *halvings * (width,))
        down = [layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.ReLU())]
        last = nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, SIZE, 1)
        super().__init__(*down, *last, Applied(lambda z: z.movedim(1, -1)))


class Decoder(nn.Sequential):
    """Convolutions, vectors (batch, side, side, SIZE) to images."""

    def __init__(self, channels: int, width: int, halvings: int) -> None:
        widths = (*halvings * (width,), channels)
        up = [layer for a, b in pairwise(widths) for layer in (nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1))]
        super().__init__(Applied(lambda e: e.movedim(-1, 1)), nn.Conv2d(SIZE, width, 3, 1, 1), *up)


def surprise(x: Tensor, back: Tensor) -> Tensor:
    """-E log N(x; back, .2² I), in nats an image."""
    nats = ((x - back) / DEVIATION).square() + LOG_2PI + 2 * math.log(DEVIATION)
    return nats.flatten(1).sum(1).mean() / 2


def coded(known: Tensor, errors: Tensor, top: int) -> float:
    """What errors (n, pixels) in -top .. top take in nats an image, by how often each is among the known ones there.

    One error more than the known ones is spread evenly over all that there can be.

    >>> round(coded(torch.zeros(99, 1), torch.zeros(5, 1), 1), 4) == round(-math.log((99 + 1 / 3) / 100), 4)
    True
    """
    if not bool(known.isfinite().all() and errors.isfinite().all()):
        return math.nan
    bins, pixels = 2 * top + 1, known.shape[1]
    place = torch.arange(pixels, device=known.device) * bins + top
    often = counts((known.long() + place).flatten(), bins * pixels)
    shares = (often + 1 / bins) / (len(known) + 1)
    return -float(shares[errors.long() + place].log().sum(1).mean())
