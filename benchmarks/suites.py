"""The suites: names of problems, or patterns of them."""

SUITES: dict[str, tuple[str, ...]] = {
    "games": ("bilinear", "bilinear-ill", "scsc", "dirac-*"),
    "games-more": (
        "matching-pennies",
        "rock-paper-scissors",
        "hidden-minimax",
        "spurious-point",
        "rotated-saddle",
        "monkey-saddle",
        "forsaken",
        "polar",
        "linear-quadratic-gan",
        "cyclic",
    ),
    "mixtures": ("ring8", "ring8-plain", "grid25"),
    "mixtures-more": ("gaussians", "stacked-*"),
    "stability": (
        "covariance",
        "covariance-ridge",
        "simplex-*",
        "particle-ring*",
        "ring8-sgd",
        "nsgan-bare",
    ),
    "conditional": ("cgan", "infogan"),
    "translation": ("cyclegan", "cyclegan-identity"),
    "vaes": ("vae", "m2"),
    "adversarial": ("dann", "pgd"),
    "bilevel": ("hyperclean",),
    "gans": ("gan", "nsgan", "dcgan", "lsgan", "wgan", "wgan-gp", "infogan", "cyclegan", "vae"),
}

OPTIMIZERS: tuple[str, ...] = ("alternating", "simultaneous", "extragradient", "optimistic", "consensus")
"""What a suite is played by where `--optimizer` does not say."""
