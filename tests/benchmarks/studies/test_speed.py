"""What benchmarks.studies.speed counts."""

import minimax as mm
from benchmarks.studies import speed


def test_unrolling_peaks_below_four_times_simultaneous_play() -> None:
    """It was 4.4, while earlier adjoints and the graph of the rule's way back stayed during the products."""
    simultaneous = speed.peak(speed.ring, mm.SimultaneousGDA(speed.ACGD))
    assert 3 * simultaneous < speed.peak(speed.ring, mm.Unrolled(speed.ACGD)) < 4 * simultaneous
