"""Update rules, one file each: how far one player moves along one gradient. A new one is its file and its line here.

Rules are lower-case, as the call that makes them is how they print: `sgd(lr=0.1)`.
"""

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

from minimax.rules._adam import adam as adam
from minimax.rules._adamw import adamw as adamw
from minimax.rules._clipped import clipped as clipped
from minimax.rules._entropic import entropic as entropic
from minimax.rules._from_torch import from_torch as from_torch
from minimax.rules._muon import muon as muon
from minimax.rules._regret_matching import regret_matching as regret_matching
from minimax.rules._rmsprop import rmsprop as rmsprop
from minimax.rules._sgd import sgd as sgd
from minimax.rules._sghmc import sghmc as sghmc
from minimax.rules._sgld import sgld as sgld
from minimax.rules._sign import sign as sign
from minimax.rules._split import split as split
from minimax.rules.rule import Hyperparameter as Hyperparameter
from minimax.rules.rule import Memory as Memory
from minimax.rules.rule import Rated as Rated
from minimax.rules.rule import Rule as Rule
from minimax.rules.rule import now as now


def _by_rate(kind: type[Rated]) -> bool:
    """Whether a learning rate is all that a rule needs: what needs another rule, say, has no name on a command line."""
    return [field.name for field in fields(kind) if field.default is MISSING] == ["lr"]


BY_RATE: dict[str, type[Rated]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Rated) and value is not Rated and _by_rate(value)
}
"""Every rule that a learning rate makes, by its name, as `--optimizer NAME[rule=...]` of `benchmarks.run` spells it."""

if not TYPE_CHECKING:  # type checkers read only lists that are spelled out, and else what is imported as itself
    RULES = [name for name, value in globals().items() if isinstance(value, type) and issubclass(value, Rule)]
    __all__ = [name for name in RULES if name != "Rated"]
