"""A prior of the words of images: each given the one to its left and the one above it, fitted in a moment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

KNOWN = 2000  # images that a prior is fitted to
ROUNDS = 60


@dataclass(frozen=True, eq=False)
class Writer:
    """p(words) = Π p(word | left, above, place), of which the logits are a sum of one table each.

    Where there is nothing to the left or above stands a word of its own, the last row of its table.

    Args:
        place: (side, side, words).
        left: (words + 1, words).
        above: (words + 1, words).
    """

    place: Tensor
    left: Tensor
    above: Tensor

    def logits(self, words: Tensor) -> Tensor:
        """Of every word at every place, given those before it, (n, side, side) to (n, side, side, words)."""
        before, over = neighbours(words, self.place.shape[-1])
        return self.place + self.left[before] + self.above[over]

    def nll(self, words: Tensor) -> Tensor:
        """-log p of each image's words (n, side, side), in nats, (n,)."""
        log = self.logits(words).log_softmax(-1)
        return -log.gather(-1, words[..., None]).flatten(1).sum(1)

    def written(self, count: int, stream: torch.Generator) -> Tensor:
        """So many images in words, drawn, (count, side, side)."""
        side = len(self.place)
        words = torch.zeros(count, side, side, dtype=torch.long, device=self.place.device)
        for row in range(side):
            for column in range(side):
                shares = self.logits(words)[:, row, column].softmax(-1)
                words[:, row, column] = torch.multinomial(shares, 1, generator=stream)[:, 0]
        return words


def neighbours(words: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """The words to the left and above, `total` where there is none.

    >>> neighbours(torch.tensor([[[0, 1], [2, 3]]]), 4)
    (tensor([[[4, 0], [4, 2]]]), tensor([[[4, 4], [0, 1]]]))
    """
    return pad(words[..., :-1], (1, 0), value=total), pad(words[:, :-1], (0, 0, 1, 0), value=total)


def fitted(words: Tensor, total: int) -> Writer:
    """The writer that suits words (n, side, side) best, with the penalty ½|table|² beside the summed loss."""
    words, side = words[:KNOWN], words.shape[1]
    shapes = (side, side, total), (total + 1, total), (total + 1, total)
    tables = [torch.zeros(shape, device=words.device, requires_grad=True) for shape in shapes]
    optimizer = torch.optim.LBFGS(tables, max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = Writer(*tables).nll(words).sum() + sum(table.square().sum() for table in tables) / 2
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return Writer(*(table.detach() for table in tables))
