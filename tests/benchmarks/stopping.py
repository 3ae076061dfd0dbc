"""A wish to stop that comes after so many looks."""

from benchmarks.runner.task import Stop


class StopAfter(Stop):
    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def __bool__(self):
        self.looks -= 1
        return self.looks < 0
