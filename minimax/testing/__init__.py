"""The contracts as tests that ship: `check_optimizer` for who writes an optimizer, `check_game` for who writes a game.

Both are plain functions, of use in any test framework: they return None or raise with a sentence. `CHECKS` holds the
parts of `check_optimizer` by name, say for `pytest.mark.parametrize`.
"""

from minimax.testing._games import check_game as check_game
from minimax.testing._optimizers import CHECKS as CHECKS
from minimax.testing._optimizers import check_optimizer as check_optimizer

__all__ = ["check_game", "check_optimizer", "CHECKS"]
