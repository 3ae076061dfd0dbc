"""The library's one exception."""


class GameError(ValueError):
    """A game, its players or its batches cannot be played; the message says which and the way out."""
