r"""Poker: regrets, averages, and who is exploitable
================================================

Kuhn's poker, the smallest there is: three cards, one bet. Every player keeps, at each decision, a tally of what it
regrets and plays in proportion (*counterfactual regret minimisation*). No step size, and it is the average of play
that gets good. The same game is bilinear, so extragradient plays it too, with a step size and by its last iterate.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

poker = mm.games.kuhn_poker()

# %%
# A plan says with what probability a player's own moves lead to each point of the game. Decisions of the first player,
# for every card: check or bet, and after a check that was met by a bet, fold or call. The second answers once.

first = ((None, (0, 1)), (0, (2, 3)))


def cfr(power: float, plus: bool = False, predictive: bool = False) -> mm.GameOptimizer:
    """Players who tally regrets and move in turn; late plans weigh more in the average, like t^power."""
    rule = mm.regret_matching(plus=plus, predictive=predictive)
    tree = mm.regret_matching(plus=plus, predictive=predictive, decisions=first)
    return mm.Averaging(mm.AlternatingGDA((tree, rule)), power=power)


methods = {
    "CFR": cfr(0.0),
    "CFR+": cfr(1.0, plus=True),
    "predictive CFR+": cfr(2.0, plus=True, predictive=True),
    "extragradient, last iterate": mm.ExtraGradient(mm.sgd(1.0)),
}


def exploitability(players: tuple[torch.Tensor, ...]) -> float:
    """What both lose together to best answers."""
    return float(mm.diagnostics.duality_gap(poker.game, players).total)


# %%
# 11/12 a hand is what even play loses to best answers.

looks, curves = np.unique(np.geomspace(1, 200, 12).astype(int)), {}
for name, method in methods.items():
    curves[name] = []
    for it in mm.iterate(poker.game, poker.start, method):
        if it.step in looks:
            curves[name].append(exploitability(method.answer(it.players, it.state)))
        if it.step == looks[-1]:
            answer = method.answer(it.players, it.state)
            print(f"{name:28} exploitable for {curves[name][-1]:.2g} a hand; value {poker.game.losses(answer)[0]:.4f}")
            break

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for name, values in curves.items():
    ax.loglog(looks, values, "o-", lw=2, label=name)
ax.set(xlabel="step", ylabel="exploitability (antes a hand)", title="Kuhn poker")
ax.legend(frameon=False, loc="lower left")
sns.despine(figure)

# %%
# All of them find out what the game is worth, 1/18 of an ante a hand to the second player, and that the first must
# bluff.

assert abs(exploitability(poker.start) - 11 / 12) < 1e-5
assert abs(float(poker.game.losses(answer)[0]) - 1 / 18) < 1e-3
assert curves["CFR"][-1] > curves["CFR+"][-1] > curves["predictive CFR+"][-1]
assert curves["predictive CFR+"][-1] < 1e-4 and curves["extragradient, last iterate"][-1] < 1e-2

plt.show()
