"""Transforms Game -> Game: a game in, another one out that every optimizer plays, and they nest.

A transform is an oracle around the oracle of a game, and `game.through(make)` is the game seen through it. Start from

* `Around`, which passes everything on, for what changes how an answer is found, not the losses;
* `Payoff`, whose gradients, fields and products are those of its own losses, for what changes what players pay:
  override `pays`, or `loss` and `losses` together.

Override what changes and leave the rest: costs, buffers, checkpointed activations, silent copies, `vmap` and
`torch.compile` are taken care of. `self.inner` answers for the game inside, `self.call(function, z, batch)` calls a
function of the players as losses are called. The function given to `through` is called at every step and must be pure,
as what it makes lives for one step. A transform with other players says who sits where by `seats` (see `Game.through`).
A decoration of the loss functions themselves, of whatever arguments, is `game.mapped(change)`.

Example, a player whose loss counts k times:
    >>> import torch, minimax as mm
    >>> class Weighted(mm.transforms.Payoff):
    ...     def __init__(self, inner, player, k):
    ...         super().__init__(inner)
    ...         self.player, self.k = player, k
    ...     def pays(self, i, loss, z, batch):
    ...         return self.k * loss if i == self.player else loss
    >>> def weighted(game, player, k):
    ...     return game.through(lambda inner: Weighted(inner, player, k))
    >>> game = weighted(mm.zero_sum(lambda x, y: x * y), player=1, k=3)
    >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
    (tensor(2.), tensor(-3.))
"""

from minimax.transforms._accumulate import accumulate
from minimax.transforms._add import add
from minimax.transforms._autocast import autocast
from minimax.transforms._averaged import averaged
from minimax.transforms._best_response import best_response, response
from minimax.transforms._bilevel import bilevel
from minimax.transforms._consensus import consensus
from minimax.transforms._coupled import coupled
from minimax.transforms._finite_differences import finite_differences
from minimax.transforms._generated import generated
from minimax.transforms._gradient_norms import gradient_norms
from minimax.transforms._jare import jare
from minimax.transforms._nagarajan_kolter import nagarajan_kolter
from minimax.transforms._ranks import broadcast, data_parallel, shard
from minimax.transforms.around import Around, Payoff

__all__ = ["Around", "Payoff"]
__all__ += ["best_response", "response", "bilevel", "coupled", "generated"]
__all__ += ["add", "gradient_norms", "consensus", "jare", "nagarajan_kolter"]
__all__ += ["finite_differences"]
__all__ += ["autocast", "accumulate", "data_parallel", "broadcast", "shard", "averaged"]
