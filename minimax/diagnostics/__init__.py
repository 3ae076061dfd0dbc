"""What a game is like at a point: spectrum, rotation, kind of equilibrium, gaps, stable step sizes.

Functions of (game, players, batch). Up to 512 parameters the Jacobian is written out and the answers are exact; beyond,
only products with it are taken.
"""

from minimax.diagnostics.equilibrium import Equilibrium as Equilibrium
from minimax.diagnostics.equilibrium import classify as classify
from minimax.diagnostics.expansion import expand as expand
from minimax.diagnostics.gaps import Gap as Gap
from minimax.diagnostics.gaps import duality_gap as duality_gap
from minimax.diagnostics.plots import draw as draw
from minimax.diagnostics.plots import draw_paths as draw_paths
from minimax.diagnostics.plots import draw_phase as draw_phase
from minimax.diagnostics.plots import draw_run as draw_run
from minimax.diagnostics.plots import draw_spectrum as draw_spectrum
from minimax.diagnostics.report import Report as Report
from minimax.diagnostics.report import report as report
from minimax.diagnostics.rotation import Alignment as Alignment
from minimax.diagnostics.rotation import PathAngle as PathAngle
from minimax.diagnostics.rotation import Rotation as Rotation
from minimax.diagnostics.rotation import Split as Split
from minimax.diagnostics.rotation import alignment as alignment
from minimax.diagnostics.rotation import path_angle as path_angle
from minimax.diagnostics.rotation import rotation as rotation
from minimax.diagnostics.rotation import split as split
from minimax.diagnostics.spectrum import Spectrum as Spectrum
from minimax.diagnostics.spectrum import jacobian as jacobian
from minimax.diagnostics.spectrum import operator as operator
from minimax.diagnostics.spectrum import spectrum as spectrum
from minimax.diagnostics.stability import stable_step as stable_step
