from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn.functional import linear

import minimax as mm
from benchmarks.networks import MLP, MLPCritic, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Recipe, View
from benchmarks.problems._codes import COMMITMENT, chain, counts, missed, nearest, perplexity, straight
from benchmarks.problems._images import EVALUATION, PICTURES, ImageProblem, compared, grid, presets
from benchmarks.problems._principal import principal
from benchmarks.problems.hybrids._aae import distance, fooled, verdict

SIZE = 4  # numbers in a vector of the codebook
SHARE = 0.8  # how long the critic's push at the decoder's last layer is beside that of the reconstruction
SMALL = 1e-4  # what keeps the weight finite where the critic does not push


class Tokeniser(ImageProblem):
    """Adversarial tokeniser: images as a few words of a codebook, decoded to what a critic takes for images.

    The encoder says vectors z, of which each is replaced by the nearest vector e of the codebook. With
    R(e) = ½E|x - Dec(e)|² five players minimise: the encoder what R is to first order around e, at z, and
    .25 E|z - e|²; the codebook E|z - e|²; the decoder R + .8 w E softplus(-D(Dec(e))); the critic
    E softplus(-D(x)) + E softplus(D(Dec(e))); and the weight ½(w - |∇R|/(|∇S| + 1e-4))², S the decoder's other term
    and ∇ the gradient in its last layer's matrix, so that one step of rate 1 brings it there. The decoder listens to
    the critic from a quarter of the run on; the critic plays from the start.

    `reconstruction`: of test images, E|x - Dec(e)|² a pixel; `perplexity` of the words in them; `dead` are those that
    none of them has. The other scores are of samples: words by a Markov chain along the positions of an image, fitted
    to those of the training images.

    Differs from the source in its networks, which are MLPs; in its distance, which knows no features; and in that the
    encoder and the codebook do not hear the critic.

    Source: Esser, Rombach & Ommer, Taming Transformers for High-Resolution Image Synthesis, 2021; van den Oord, Vinyals
    & Kavukcuoglu, Neural Discrete Representation Learning, 2017.
    """

    name = "tokeniser"
    silent_until: ClassVar[float] = 0.25
    """The share of the run during which the decoder does not listen to the critic."""
    presets = presets(1500, words=(8, 32, 128, 512), positions=(2, 8, 16, 32))
    # Every step of the weight goes all the way, and comes before that of the decoder.
    recipe: ClassVar[Recipe] = Recipe(
        (*4 * (mm.adam(1e-3, betas=(0.5, 0.999)),), mm.sgd(1.0)),
        order=(0, 1, 4, 2, 3),
    )

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width = (self.images.channels, self.images.size), self.option["width"]
        words, positions = self.option["words"], self.option["positions"]

        def build() -> tuple[nn.Module, ...]:
            encoder, decoder = Encoder(*shape, width, positions), Decoder(*shape, width, positions)
            return encoder, decoder, MLPCritic(*shape, width)

        encoder, decoder, critic = (module.to(self.device) for module in seeded(seed, build))
        with torch.no_grad():  # words that nothing is near to would never be said
            real, _ = self.images.batch(self.generator(seed, EVALUATION), words)
            said = encoder(real.to(next(encoder.parameters()).dtype))[:, 0]
        return encoder, said, decoder, critic, torch.zeros((), device=self.device)

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, codebook_loss, decoder_loss, critic_loss, weight_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        real, _ = self.images.batch(self.generator(seed, draw), self.preset.batch)
        heard = float(draw >= self.silent_until * self.preset.steps)
        return {"real": real, "heard": torch.tensor(heard, device=self.device)}

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("reconstruction", range=(0, 4), headline=True)
        words = self.option["words"]
        varied, dead = Metric("perplexity", "higher", "words", (1, words)), Metric("dead", "lower", "words", (0, words))
        return self.aimed(leading, varied, dead, *self.scored())

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, codebook, decoder = view.players[:3]
        x = self.images.test
        words = nearest(encoder(x), codebook)
        return {
            "reconstruction": float((x - decoder(codebook[words])).square().mean()),
            "perplexity": perplexity(words, len(codebook)),
            "dead": float((counts(words.flatten(), len(codebook)) == 0).sum()),
            **self.score(decoder(codebook[self.written(view, EVALUATION, self.samples)])),
        }

    def written(self, view: View, draw: int, count: int) -> Tensor:
        """So many images in words, (count, positions), by the Markov chain of those of the training images."""
        encoder, codebook = view.players[:2]
        words, stream = nearest(encoder(self.images.train), codebook), self.generator(view.seed, draw)
        return chain(words, len(codebook), count, stream)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.images.test
        yield Floor("reconstruction", "mean", float((test - train.mean(0)).square().mean()))
        axes = min(self.option["positions"], train[0].numel())
        yield Floor("reconstruction", "pca", float((test - principal(train, test, axes)).square().mean()))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        encoder, codebook, decoder = view.players[:3]
        x = self.images.test[:32]
        back = decoder(codebook[nearest(encoder(x), codebook)])
        both = compared({"image": x, "decoded": back}, "test images encoded and decoded")
        return {"samples": grid(decoder(codebook[self.written(view, PICTURES, 64)])), "reconstructions": both}


class TokeniserPlain(Tokeniser):
    """The same without a critic that is listened to: what the tokeniser is to be read beside."""

    name = "tokeniser-plain"
    silent_until = math.inf


class Encoder(nn.Module):
    """Two hidden layers, images to vectors (batch, positions, SIZE)."""

    def __init__(self, channels: int, size: int, width: int, positions: int) -> None:
        super().__init__()
        self.net = MLP((channels * size**2, width, width, positions * SIZE))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1)).unflatten(1, (-1, SIZE))


class Decoder(nn.Module):
    """Two hidden layers, vectors (batch, positions, SIZE) to images."""

    def __init__(self, channels: int, size: int, width: int, positions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), MLP((positions * SIZE, width, width)), nn.ReLU())
        self.last = nn.Linear(width, channels * size**2)
        self.shape = (channels, size, size)

    def drawn(self, hidden: Tensor, matrix: Tensor) -> Tensor:
        """Images from what the last layer, with this matrix, is given."""
        return linear(hidden, matrix, self.last.bias).tanh().unflatten(1, self.shape)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.drawn(self.body(vectors), self.last.weight)


def encoder_loss(enc: nn.Module, book: Tensor, dec: nn.Module, d: nn.Module, w: Tensor, batch: Batch) -> Tensor:
    """R(e) + ⟨∇R(e), z - e⟩ + .25 E|z - e|², of which the slope in z is ∇R(e) + .5 (z - e).

    So much is the straight-through estimate: at e the slope of R is taken, and z moves along it.
    """
    z = enc(batch["real"])
    e = book[nearest(z, book)]
    return straight(lambda e: distance(batch["real"], dec(e)), z, e) + COMMITMENT * missed(z, book)


def codebook_loss(enc: nn.Module, book: Tensor, dec: nn.Module, d: nn.Module, w: Tensor, batch: Batch) -> Tensor:
    """E|z - e|²."""
    return missed(enc(batch["real"]), book)


def decoder_loss(enc: nn.Module, book: Tensor, dec: nn.Module, d: nn.Module, w: Tensor, batch: Batch) -> Tensor:
    """½E|x - Dec(e)|² + .8 w E softplus(-D(Dec(e))), the latter once the critic is heard."""
    back = dec(book[nearest(enc(batch["real"]), book)])
    return distance(batch["real"], back) + SHARE * batch["heard"] * w * fooled(d, back)


def critic_loss(enc: nn.Module, book: Tensor, dec: nn.Module, d: nn.Module, w: Tensor, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(Dec(e)))."""
    return verdict(d, batch["real"], dec(book[nearest(enc(batch["real"]), book)]))


def weight_loss(enc: nn.Module, book: Tensor, dec: Decoder, d: nn.Module, w: Tensor, batch: Batch) -> Tensor:
    """½(w - |∇R|/(|∇S| + 1e-4))², the gradients in the matrix of the decoder's last layer."""
    hidden = dec.body(book[nearest(enc(batch["real"]), book)])

    def length(loss: Any) -> Tensor:
        return grad(lambda matrix: loss(dec.drawn(hidden, matrix)))(dec.last.weight).norm()

    ratio = length(lambda back: distance(batch["real"], back)) / (length(lambda back: fooled(d, back)) + SMALL)
    return (w - ratio).square() / 2
