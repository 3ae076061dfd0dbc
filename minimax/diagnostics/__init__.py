"""What a game is like at a point: spectrum, rotation, kind of equilibrium, gaps, stable step sizes, best parameters.

Functions of (game, players, batch). Up to 512 parameters the Jacobian is written out and the answers are exact; beyond,
only products with it are taken.
"""

from minimax.diagnostics._certificate import KKT, Certificate, certificate
from minimax.diagnostics._damping import Damping, suggest_gamma
from minimax.diagnostics._equilibrium import Equilibrium, classify
from minimax.diagnostics._expansion import expand
from minimax.diagnostics._gaps import Gap, duality_gap
from minimax.diagnostics._plots import draw, draw_paths, draw_phase, draw_run, draw_spectrum
from minimax.diagnostics._report import Report, report
from minimax.diagnostics._rotation import Alignment, PathAngle, Rotation, Split, alignment, path_angle, rotation, split
from minimax.diagnostics._spectrum import Spectrum, jacobian, operator, spectrum
from minimax.diagnostics._stability import stable_step
from minimax.diagnostics._tuning import (
    ExtragradientParameters,
    MomentumParameters,
    extragradient_parameters,
    momentum_parameters,
)
from minimax.diagnostics._verdict import Verdict, verdict

__all__ = ["report", "Report", "classify", "Equilibrium", "duality_gap", "Gap", "stable_step"]
__all__ += ["certificate", "Certificate", "KKT"]
__all__ += ["spectrum", "Spectrum", "jacobian", "operator", "expand"]
__all__ += ["momentum_parameters", "MomentumParameters", "extragradient_parameters", "ExtragradientParameters"]
__all__ += ["suggest_gamma", "Damping", "verdict", "Verdict"]
__all__ += ["rotation", "Rotation", "split", "Split", "alignment", "Alignment", "path_angle", "PathAngle"]
__all__ += ["draw", "draw_paths", "draw_phase", "draw_run", "draw_spectrum"]
