"""The library's one exception."""


class GameError(ValueError):
    """A game, its players or its batches cannot be played; the message says which and the way out."""


class Reentrant(GameError):
    """Derivatives through a reentrant checkpoint that it does not have."""

    def __init__(self) -> None:
        super().__init__(
            "a loss holds a checkpoint with use_reentrant=True, through which nothing has second derivatives: pass "
            "use_reentrant=False to torch.utils.checkpoint.checkpoint, or play an optimizer without second derivatives."
        )
