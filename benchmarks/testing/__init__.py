"""The contract of a problem as a test that ships: `check_problem` for who writes one, in any test framework.

It returns None or raises with a sentence. `CHECKS` holds its parts by name, say for `pytest.mark.parametrize`.
"""

from benchmarks.testing._play import Run as Run
from benchmarks.testing._play import play as play
from benchmarks.testing._problems import CHECKS as CHECKS
from benchmarks.testing._problems import check_problem as check_problem

__all__ = ["check_problem", "play", "Run", "CHECKS"]
