"""Games in closed form: they carry their equilibrium and the spectrum of DF there, so that theory can be the test.

Every function returns a `ClosedForm`, and raises a ValueError for an argument that is no number or out of its range.
Where the field is linear its spectrum says all: a method multiplies the part of z along each eigenvalue λ by its update
map (1 - hλ for simultaneous play; see the docstrings of the optimizers). One file a family.
"""

from minimax.games.closed_form import ClosedForm as ClosedForm
from minimax.games.control import lq_control as lq_control
from minimax.games.economy import bertrand as bertrand
from minimax.games.economy import cournot as cournot
from minimax.games.economy import river_basin as river_basin
from minimax.games.gans import covariance_gan as covariance_gan
from minimax.games.gans import dirac_gan as dirac_gan
from minimax.games.gans import dirac_hinge as dirac_hinge
from minimax.games.gans import dirac_lsgan as dirac_lsgan
from minimax.games.gans import dirac_noise as dirac_noise
from minimax.games.gans import dirac_nsgan as dirac_nsgan
from minimax.games.gans import dirac_relativistic as dirac_relativistic
from minimax.games.gans import dirac_wgan as dirac_wgan
from minimax.games.gans import dirac_wgan_gp as dirac_wgan_gp
from minimax.games.gans import linear_quadratic_gan as linear_quadratic_gan
from minimax.games.general_sum import cooperative as cooperative
from minimax.games.general_sum import cyclic as cyclic
from minimax.games.general_sum import tandem as tandem
from minimax.games.landmarks import almost_bilinear as almost_bilinear
from minimax.games.landmarks import false_rest as false_rest
from minimax.games.landmarks import forsaken as forsaken
from minimax.games.landmarks import polar as polar
from minimax.games.matrices import bilinear as bilinear
from minimax.games.matrices import matching_pennies as matching_pennies
from minimax.games.matrices import matrix_game as matrix_game
from minimax.games.matrices import noisy_bilinear as noisy_bilinear
from minimax.games.matrices import rock_paper_scissors as rock_paper_scissors
from minimax.games.poker import kuhn_poker as kuhn_poker
from minimax.games.saddles import hidden_minimax as hidden_minimax
from minimax.games.saddles import minimax_not_nash as minimax_not_nash
from minimax.games.saddles import monkey_saddle as monkey_saddle
from minimax.games.saddles import quadratic as quadratic
from minimax.games.saddles import rotated_saddle as rotated_saddle
from minimax.games.saddles import scsc as scsc
from minimax.games.saddles import spurious_point as spurious_point
