"""Data for the problems: known densities, image sets, and the cache that they lie in.

Whatever is drawn takes an explicit generator, so a draw is a function of `stream(seed, draw)`.
"""

from benchmarks.data.densities import Grid as Grid
from benchmarks.data.densities import Mixture as Mixture
from benchmarks.data.densities import Ring as Ring
from benchmarks.data.images import TUNING as TUNING
from benchmarks.data.images import Images as Images
from benchmarks.data.images import among as among
from benchmarks.data.images import base as base
from benchmarks.data.images import file as file
from benchmarks.data.images import load as load
from benchmarks.data.images import prepare as prepare
from benchmarks.data.images import resize as resize
from benchmarks.data.images import sign as sign
from benchmarks.data.store import DataError as DataError
from benchmarks.data.store import cache as cache
from benchmarks.data.streams import Device as Device
from benchmarks.data.streams import stream as stream
from benchmarks.data.tables import Table as Table
from benchmarks.data.tables import load_table as load_table
from benchmarks.data.tables import prepare_table as prepare_table
