"""Game optimizers for PyTorch: min over u, max over v, and every general-sum game of differentiable losses."""

from minimax import diagnostics as diagnostics
from minimax import games as games
from minimax import penalties as penalties
from minimax import projections as projections
from minimax import rules as rules
from minimax import schedules as schedules
from minimax import testing as testing
from minimax import transforms as transforms
from minimax.compiled import compiled as compiled
from minimax.ensemble import Ensemble as Ensemble
from minimax.ensemble import ensemble as ensemble
from minimax.errors import GameError as GameError
from minimax.game import Game as Game
from minimax.game import cooperative as cooperative
from minimax.game import zero_sum as zero_sum
from minimax.modules import EMA as EMA
from minimax.modules import Trainer as Trainer
from minimax.modules import bind as bind
from minimax.optimizer import Cost as Cost
from minimax.optimizer import GameOptimizer as GameOptimizer
from minimax.optimizer import Info as Info
from minimax.optimizer import Ruled as Ruled
from minimax.optimizer import Wrapper as Wrapper
from minimax.optimizers import *  # noqa: F403 - an optimizer's one export line is there
from minimax.rules import Rule as Rule
from minimax.rules import adam as adam
from minimax.rules import adamw as adamw
from minimax.rules import entropic as entropic
from minimax.rules import from_torch as from_torch
from minimax.rules import rmsprop as rmsprop
from minimax.rules import sgd as sgd
from minimax.solve import Iterate as Iterate
from minimax.solve import Solution as Solution
from minimax.solve import iterate as iterate
from minimax.solve import solve as solve
from minimax.status import Limits as Limits
from minimax.status import Status as Status

__version__ = "0.1.0"
