"""Small networks for the problems: no running statistics, any device and dtype, fit for torch.func, vmap and compile.

Images are (batch, channels, side, side) in [-1, 1]. A critic returns logits, no probabilities.
"""

from benchmarks.networks.convolutional import Critic as Critic
from benchmarks.networks.convolutional import Generator as Generator
from benchmarks.networks.mlp import MLP as MLP
from benchmarks.networks.mlp import MLPCritic as MLPCritic
from benchmarks.networks.mlp import MLPEncoder as MLPEncoder
from benchmarks.networks.mlp import MLPGenerator as MLPGenerator
from benchmarks.networks.mlp import NormedGenerator as NormedGenerator
from benchmarks.networks.parts import Applied as Applied
from benchmarks.networks.parts import Copier as Copier
from benchmarks.networks.parts import Norm as Norm
from benchmarks.networks.parts import batch_norm as batch_norm
from benchmarks.networks.parts import instance_norm as instance_norm
from benchmarks.networks.parts import no_norm as no_norm
from benchmarks.networks.parts import seeded as seeded
from benchmarks.networks.parts import squeeze as squeeze
from benchmarks.networks.translation import PatchCritic as PatchCritic
from benchmarks.networks.translation import Translator as Translator
