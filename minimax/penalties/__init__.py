"""What is added to a loss: penalties on a critic's slope, and on the players' gradients (Game -> Game)."""

from minimax.penalties.players import add as add
from minimax.penalties.players import consensus as consensus
from minimax.penalties.players import gradient_norms as gradient_norms
from minimax.penalties.players import jare as jare
from minimax.penalties.players import nagarajan_kolter as nagarajan_kolter
from minimax.penalties.samples import between as between
from minimax.penalties.samples import dragan as dragan
from minimax.penalties.samples import r1 as r1
from minimax.penalties.samples import r2 as r2
from minimax.penalties.samples import roth as roth
from minimax.penalties.samples import slopes as slopes
from minimax.penalties.samples import wgan_gp as wgan_gp
from minimax.penalties.samples import zero_centered as zero_centered
