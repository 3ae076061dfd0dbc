"""Generative models as games: problems, data, networks, quality and the runner that plays optimizers on them."""
