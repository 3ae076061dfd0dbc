"""The suites: names of problems, or patterns of them."""

SUITES: dict[str, tuple[str, ...]] = {
    "games": ("bilinear", "bilinear-ill", "scsc", "dirac-*"),
    "mixtures": ("ring8", "ring8-plain", "grid25"),
    "conditional": ("cgan", "cgan-projection", "acgan", "sgan", "infogan"),
    "translation": ("cyclegan", "cyclegan-identity", "cyclegan-colours", "pix2pix", "denoising"),
    "hybrids": ("ali", "aae", "vae-gan", "anogan", "distillation"),
    "vaes": ("vae", "m2"),
    "adversarial": ("dann", "pgd"),
    "bilevel": ("hyperclean",),
    "gans": ("gan", "nsgan", "dcgan", "lsgan", "wgan", "wgan-gp", "infogan", "cyclegan", "vae"),
}

OPTIMIZERS: tuple[str, ...] = ("alternating", "simultaneous", "extragradient", "optimistic", "consensus")
"""What a suite is played by where `--optimizer` does not say."""
