"""What transforms refuse of their arguments."""

from __future__ import annotations

from typing import Any

from minimax.errors import GameError
from minimax.game import Game
from minimax.validation import shown


def checked_game(name: str, game: Any) -> None:
    """Refuse what is no game, in the words of the transform or argument of this name."""
    if isinstance(game, Game):
        return
    if name == "game":
        raise TypeError(f"game must be a Game, got {shown(game)}: zero_sum(payoff) or Game(loss, loss) makes one.")
    raise TypeError(f"{name} goes around a game, got {shown(game)}: {name}(mm.Game(...)), say.")


def check_player(player: int, players: int) -> None:
    """Refuse the index of a player that there is not."""
    if not 0 <= player < players:
        raise GameError(f"player {player} does not exist: the game has the players 0 to {players - 1}.")
