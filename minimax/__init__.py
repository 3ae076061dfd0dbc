"""Game optimizers for PyTorch: min over u, max over v, and every general-sum game of differentiable losses."""

from typing import TYPE_CHECKING

from minimax import diagnostics, games, optimizers, penalties, projections, rules, schedules, testing, transforms
from minimax.citing import citation
from minimax.compiling import compiled
from minimax.ema import EMA
from minimax.ensembles import Ensemble, ensemble
from minimax.errors import GameError
from minimax.game import Game, cooperative, zero_sum
from minimax.info import Cost, Info
from minimax.loss_scaling import LossScaled
from minimax.modules import Trainer, bind
from minimax.optimizer import GameOptimizer, Ruled, Wrapper
from minimax.optimizers import *  # noqa: F403 - an optimizer's one export line is there
from minimax.playing import Iterate, Solution, iterate, solve
from minimax.rules import *  # noqa: F403 - a rule's one export line is there
from minimax.status import Limits, Status

__version__ = "0.1.0"
__all__ = ["Game", "zero_sum", "cooperative", "GameError"]
__all__ += ["solve", "Solution", "iterate", "Iterate", "Limits", "Status", "ensemble", "Ensemble", "compiled"]
__all__ += ["LossScaled"]
__all__ += ["bind", "Trainer", "EMA"]
__all__ += ["citation"]
__all__ += ["GameOptimizer", "Ruled", "Wrapper", "Info", "Cost"]
__all__ += ["diagnostics", "games", "optimizers", "penalties", "projections", "rules"]
__all__ += ["schedules", "testing", "transforms"]
if not TYPE_CHECKING:  # type checkers read only lists that are spelled out, and else what is imported as itself
    __all__ += [*rules.__all__, *optimizers.__all__]


def __dir__() -> list[str]:
    return sorted(__all__)
