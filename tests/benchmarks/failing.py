"""Problems that end badly, each in a way of its own, for tests that take them in with --import."""

import errno
import os
import signal
from pathlib import Path

import torch

from benchmarks import imports

Tiny = imports.module(str(Path(__file__).with_name("tiny.py"))).Tiny


class Killed(Tiny):
    """As the kernel ends a process for which there is no memory."""

    name = "killed"

    def evaluate(self, view):
        os.kill(os.getpid(), signal.SIGKILL)


class Crashing(Tiny):
    name = "crashing"

    def evaluate(self, view):
        os.kill(os.getpid(), signal.SIGSEGV)


class Full(Tiny):
    name = "full"

    def evaluate(self, view):
        raise OSError(errno.ENOSPC, "No space left on device")


class Undefined(Tiny):
    """Its third batch is not finite."""

    name = "undefined"

    def batch(self, seed, draw, memory=None):
        batch = super().batch(seed, draw, memory)
        return {**batch, "noise": batch["noise"] * torch.nan} if draw == 2 else batch
