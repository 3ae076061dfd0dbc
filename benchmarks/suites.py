"""The suites: names of problems, or patterns of them."""

from __future__ import annotations

from typing import Any

SCREEN: dict[str, dict[str, Any]] = {
    **{"bilinear-ill": {"steps": 1000}, "scsc": {"steps": 400}, "dirac-gan": {"steps": 500}},
    **{"covariance": {"steps": 1500}, "simplex-tv": {"steps": 3000}, "particle-ring": {"steps": 400}},
    "ring8-plain": {"steps": 1000, "batch": 64, "samples": 2000, "options": {"width": 64, "latent": 2}},
    **{"vae-linear": {"steps": 800}, "robust-linear": {"steps": 1000}},
    **{"linear-quadratic-gan": {"steps": 1000}, "auc": {"steps": 1000}, "matching-pennies": {"steps": 1000}},
}
"""What `--preset screen` changes of their sizes, so that they are tuned and compared in an hour."""
LOOKS = 20
"""Evaluations of such a run, at most."""
SECONDS = 0.4
"""What such a run took of one core, in the mean over problems, played with eleven others."""
HELD_OUT = ("linear-quadratic-gan", "auc", "matching-pennies")
"""Those of them that no default and no space of a search is chosen by."""
METHODS = (
    *("simultaneous", "alternating", "extragradient", "past-extragradient", "optimistic"),
    *("lookahead[inner=alternating]", "averaging[inner=alternating]", "consensus", "sga", "fast-extragradient"),
)
"""What is compared on them."""

SUITES: dict[str, tuple[str, ...]] = {
    "games": (
        *("bilinear", "bilinear-ill", "scsc"),
        *("dirac-gan", "dirac-ns", "dirac-r1", "dirac-ns-r1", "dirac-wgan", "dirac-wgan-gp"),
    ),
    "games-more": (
        *("dirac-rp-r1-r2", "dirac-noise", "dirac-hinge", "dirac-lsgan", "dirac-lsgan-signed"),
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
        *("random-matrix", "kuhn-poker", "lq-control", "cournot", "bertrand", "cournot-capacity", "river-basin"),
        *("seesaw", "rotated-monkey-saddle", "anti-saddle", "weapons", "demyanov", "no-saddle"),
    ),
    "mixtures": ("ring8", "ring8-plain", "grid25"),
    "mixtures-more": ("gaussians", "stacked-*"),
    "stability": (
        "covariance",
        "covariance-ridge",
        "simplex-*",
        "particle-ring*",
        "ring8-sgd",
        "ring8-plain",
        "nsgan-bare",
        "nsgan-long*",
    ),
    "conditional": ("cgan", "cgan-projection", "acgan", "sgan", "infogan"),
    "translation": ("cyclegan", "cyclegan-identity", "cyclegan-colours", "pix2pix", "denoising", "modality"),
    "hybrids": (
        "ali",
        "aae",
        "aae-supervised",
        "aae-semi",
        "aae-clustering",
        "aae-2d",
        "vae-gan",
        "anogan",
        "distillation",
        *("tokeniser", "tokeniser-plain"),
    ),
    "vaes": (
        *("vae", "vae-split", "vae-gaussian", "vae-gaussian-pixels", "vae-logistic", "iwae", "iwae-1", "iwae-50"),
        "iwae-dreg",
        *("cvae", "cvae-quadrant-1", "cvae-quadrant-2", "cvae-quadrant-3", "cvae-quadrant-hybrid"),
        *("beta-vae", "beta-vae-1", "beta-vae-2", "beta-vae-8", "beta-vae-capacity", "factor-vae"),
        *("vq-vae", "vq-vae-ema"),
        "td-vae",
        *("vae-linear", "vae-linear-full", "vae-linear-sampled", "beta-vae-linear", "beta-vae-linear-1"),
        *("m2", "m2-20", "m2-50", "m2-all", "siddharth"),
        *("mog-classifier", "mog-clustering", "mog-clustering-vade"),
        *("aae", "aae-supervised", "aae-semi", "aae-clustering", "aae-2d", "vae-gan"),
    ),
    "adversarial": (
        *("dann", "dann-rotated", "dann-textured", "dann-moment", "dann-moment-strong", "dann-logistic"),
        *("pgd", "pgd-l2", "trades", "free"),
        *("robust-linear", "robust-linear-wide", "robust-linear-l2"),
        *("robust-linear-cancer", "robust-linear-cancer-wide", "robust-gaussian", "robust-regression"),
        *("group-dro", "group-dro-diabetes", "auc", "portfolio", "trust-region"),
        *("minimax-filter", "minimax-filter-diabetes", "filter-diabetes", "fair", "fair-parity"),
    ),
    "bilevel": (
        *("ridge", "ridge-features", "hyperclean", "poison-ridge", "poison-digits"),
        *("maml-sine", "maml-sine-first-order", "reptile-sine", "imaml-sine", "maml-digits"),
        *("cournot-leader", "bertrand-leader", "point-of-view"),
    ),
    "gans-more": (
        *("sngan", "dcgan-r1", "nsgan-r1", "nsgan-r1r2", "nsgan-r1-approx", "lsgan-centred", "dragan"),
        *("roth", "ebgan", "fgan-*"),
        *("began", "bayesian-gan*", "sagan", "biggan", "r3gan"),
    ),
    "screen": tuple(name for name in SCREEN if name not in HELD_OUT),
    "screen-held-out": HELD_OUT,
    "gans": ("gan", "nsgan", "dcgan", "lsgan", "wgan", "wgan-gp", "infogan", "cyclegan", "vae"),
}

OPTIMIZERS: tuple[str, ...] = (
    *("alternating", "simultaneous", "extragradient", "optimistic"),
    "lookahead[inner=alternating]",
)
"""What a problem is played by where neither it nor `--optimizer` says."""
SEEDS = (0, 1)
"""What a run starts from where `--seeds` does not say: a look; what is to be concluded from takes five and more."""
