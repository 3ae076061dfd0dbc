"""A pool of past fakes, half of which a critic is shown in place of present ones (Shrivastava et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.problem import Batch
from benchmarks.problems.translation._aligned import Domains

POOL = 50


def empty(images: Tensor) -> dict[str, Tensor]:
    """A pool for images like these, of either domain, with the count of those it was offered."""
    shape = (POOL, *images.shape[1:])
    pools = {k: torch.zeros(shape, device=images.device) for k in "ab"}
    return {**pools, "count": torch.zeros((), dtype=torch.int64)}


def drawn(memory: dict[str, Tensor], stream: torch.Generator, size: int) -> dict[str, Batch]:
    """What is in so many slots, which of it is shown, and which slots take the present fake."""
    device = memory["a"].device
    coin = torch.rand(size, generator=stream, device=device) < 0.5
    slot = torch.randint(POOL, (size,), generator=stream, device=device)
    count = int(memory["count"])
    if count < POOL:  # a pool that has not filled up yet takes every fake and shows none
        coin, slot = torch.zeros_like(coin), (count + torch.arange(size, device=device)) % POOL
    return {
        "past": {k: memory[k][slot] for k in "ab"},
        "slot": slot,
        "use_past": coin,
        "store": coin if count >= POOL else ~coin,
    }


def shown(batch: Batch, fake: Domains, k: str) -> Tensor:
    """What the critic of domain k is shown: past fakes or present ones."""
    return torch.where(batch["use_past"][:, None, None, None], batch["past"][k], fake[k])


def filled(memory: dict[str, Tensor], batch: Batch, fake: Domains) -> dict[str, Tensor]:
    """The pool with the fakes that it takes."""
    store = batch["store"]
    new = {k: memory[k].index_put((batch["slot"][store],), fake[k][store]) for k in "ab"}
    return {**new, "count": memory["count"] + len(store)}
