import numpy as np
import pytest

from earprint.matching import Alignment, TrackTable, leads


def test_rows_are_located_and_gaps_belong_to_none():
    table = TrackTable([2, 5, 10], [3, 2, 1])
    rows = np.array([[-1, 0, 1, 2, 4], [5, 6, 7, 9, 10], [11, 99, 3, 3, 3]])
    track, place = table.locate(rows)
    assert track.tolist() == [[-1, -1, -1, 0, 0], [1, 1, -1, -1, 2], [-1, -1, 0, 0, 0]]
    assert place.tolist() == [[-1, -1, -1, 0, 2], [0, 1, -1, -1, 0], [-1, -1, 1, 1, 1]]


def test_empty_table():
    track, place = TrackTable([], []).locate(np.array([0, -1]))
    assert track.tolist() == place.tolist() == [-1, -1]


@pytest.mark.parametrize(("first", "n"), [([0, 2], [3, 1]), ([5, 0], [1, 1]), ([0], [-1]), ([0, 1], [1])])
def test_overlapping_or_unordered_tracks_are_refused(first, n):
    with pytest.raises(ValueError, match="track"):
        TrackTable(first, n)


def test_lead_is_over_the_next_score_and_over_0_for_the_last():
    found = [Alignment(4, 0.0, 0.9), Alignment(1, 0.0, 0.7), Alignment(2, 0.0, 0.2)]
    assert leads(found) == pytest.approx([0.2, 0.5, 0.2])
    assert leads([]) == []
