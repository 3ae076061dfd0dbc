"""The game optimizers, one file per algorithm. A new one is its file and its line here."""

from minimax.optimizer import GameOptimizer
from minimax.optimizers.alternating import AlternatingGDA as AlternatingGDA
from minimax.optimizers.consensus import ConsensusOptimization as ConsensusOptimization
from minimax.optimizers.extragradient import ExtraGradient as ExtraGradient
from minimax.optimizers.optimistic import OptimisticGDA as OptimisticGDA
from minimax.optimizers.past_extragradient import PastExtraGradient as PastExtraGradient
from minimax.optimizers.simultaneous import SimultaneousGDA as SimultaneousGDA

BY_NAME: dict[str, type[GameOptimizer]] = {
    value.name: value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, GameOptimizer) and value is not GameOptimizer
}
"""Every optimizer by its name, as `python -m benchmarks.run --optimizer NAME` spells it."""
