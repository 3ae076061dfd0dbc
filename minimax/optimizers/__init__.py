"""The game optimizers, one file per algorithm. A new one is its file and its line here."""

from typing import TYPE_CHECKING

from minimax.optimizer import GameOptimizer
from minimax.optimizers.accelerated_reflected import AcceleratedReflectedGradient as AcceleratedReflectedGradient
from minimax.optimizers.alternating import AlternatingGDA as AlternatingGDA
from minimax.optimizers.anderson_mixing import AndersonMixing as AndersonMixing
from minimax.optimizers.averaging import Averaging as Averaging
from minimax.optimizers.bome import BOME as BOME
from minimax.optimizers.cesp import CurvatureExploitation as CurvatureExploitation
from minimax.optimizers.cgd import CompetitiveGradientDescent as CompetitiveGradientDescent
from minimax.optimizers.consensus import ConsensusOptimization as ConsensusOptimization
from minimax.optimizers.extra_anchored_gradient import ExtraAnchoredGradient as ExtraAnchoredGradient
from minimax.optimizers.extragradient import ExtraGradient as ExtraGradient
from minimax.optimizers.fast_extragradient import FastExtraGradient as FastExtraGradient
from minimax.optimizers.fast_ogda import FastOGDA as FastOGDA
from minimax.optimizers.follow_the_ridge import FollowTheRidge as FollowTheRidge
from minimax.optimizers.forward_backward_forward import ForwardBackwardForward as ForwardBackwardForward
from minimax.optimizers.golden_ratio import GoldenRatio as GoldenRatio
from minimax.optimizers.halpern import Halpern as Halpern
from minimax.optimizers.hamiltonian import HamiltonianDescent as HamiltonianDescent
from minimax.optimizers.jare import JARE as JARE
from minimax.optimizers.k_beam import KBeam as KBeam
from minimax.optimizers.lola import LOLA as LOLA
from minimax.optimizers.lookahead import Lookahead as Lookahead
from minimax.optimizers.mehra_hamm import MehraHamm as MehraHamm
from minimax.optimizers.nagarajan_kolter import NagarajanKolter as NagarajanKolter
from minimax.optimizers.optimistic import OptimisticGDA as OptimisticGDA
from minimax.optimizers.past_extragradient import PastExtraGradient as PastExtraGradient
from minimax.optimizers.policy_prediction import PolicyPrediction as PolicyPrediction
from minimax.optimizers.polyak_extragradient import PolyakExtraGradient as PolyakExtraGradient
from minimax.optimizers.primal_dual import PrimalDual as PrimalDual
from minimax.optimizers.projected_reflected import ProjectedReflectedGradient as ProjectedReflectedGradient
from minimax.optimizers.restarted import Restarted as Restarted
from minimax.optimizers.runge_kutta import RungeKutta as RungeKutta
from minimax.optimizers.sga import SymplecticGradientAdjustment as SymplecticGradientAdjustment
from minimax.optimizers.simultaneous import SimultaneousGDA as SimultaneousGDA
from minimax.optimizers.sos import SOS as SOS
from minimax.optimizers.stackelberg import StackelbergGradient as StackelbergGradient
from minimax.optimizers.storm import STORM as STORM
from minimax.optimizers.svre import SVRE as SVRE
from minimax.optimizers.unrolled import Unrolled as Unrolled
from minimax.optimizers.value_function import ValueFunction as ValueFunction

BY_NAME: dict[str, type[GameOptimizer]] = {
    value.name: value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, GameOptimizer) and value is not GameOptimizer
}
"""Every optimizer by its name, as `python -m benchmarks.run --optimizer NAME` spells it."""

if not TYPE_CHECKING:  # type checkers read only lists that are spelled out, and else what is imported as itself
    __all__ = [kind.__name__ for kind in BY_NAME.values()]
