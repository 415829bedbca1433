import numpy as np
import pytest

from earprint.index import ExactIndex, Rows
from earprint.matching import TrackTable, search_paper
from earprint.quantization.storage import HalfStorage

HOP = 0.1


class ListedHits:
    """An index whose hits are written down, a list per query row (its first component)."""

    def __init__(self, hits):
        self.hits = hits

    def __len__(self):
        return 100

    def search(self, queries, k):
        scores = np.zeros((len(queries), k), np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        for i, query in enumerate(queries):
            found = self.hits[int(query[0]) - 1]
            rows[i, : len(found)] = found
            scores[i, : len(found)] = np.linspace(0.9, 0.5, k)[: len(found)]
        return scores, rows


def ask(hits, *, silent=(), **options):
    queries = np.zeros((len(hits), 2), np.float32)
    queries[:, 0] = np.arange(len(hits)) + 1
    queries[list(silent)] = 0
    table = TrackTable([0, 20, 40, 60], [20, 20, 20, 20])
    return search_paper(queries, ListedHits(hits), table, query_hop_s=HOP, **options)


def test_all_agree():
    (answer,) = ask([[25], [26], [27]])
    assert (answer.track, answer.start_s, answer.score) == (1, pytest.approx(0.5), 1.0)


def test_track_is_the_most_frequent_of_all_hits_not_of_the_nearest():
    # Rank 1: track 0 twice, track 1 once. All ranks: track 1 four times.
    hits = [[3, 22, 23], [24], [5, 26]]
    assert ask(hits) == []  # only one of three nearest hits lies in track 1
    (answer,) = ask(hits, min_vote_share=0.0)
    assert answer.track == 1
    assert answer.score == pytest.approx(1 / 3)
    assert answer.start_s == pytest.approx(0.3)


@pytest.mark.parametrize(("agreeing", "found"), [(1, False), (2, True), (3, True)])
def test_half_rule(agreeing, found):
    rows = [[25 + i] if i < agreeing else [39 - 5 * i] for i in range(4)]
    answers = ask(rows)
    assert bool(answers) is found
    if found:
        assert answers[0].start_s == pytest.approx(0.5)
        assert answers[0].score == agreeing / 4


def test_ties_of_tracks_go_to_the_more_similar_then_to_the_earlier():
    # Two hits each; track 2 has them at ranks 1 and 1, track 0 at rank 2 and 2.
    (answer,) = ask([[45, 5], [46, 6]])
    assert answer.track == 2
    (answer,) = ask([[45], [6]], min_vote_share=0.0)
    assert answer.track == 0


def test_ties_of_starts_go_to_the_earlier():
    (answer,) = ask([[30], [26]])
    assert answer.start_s == pytest.approx(0.5)
    assert answer.score == 0.5


def test_silent_rows_keep_their_position_and_do_not_vote():
    (answer,) = ask([[5], [77], [7], [8]], silent=[1])
    assert (answer.track, answer.start_s, answer.score) == (0, pytest.approx(0.5), 1.0)
    assert ask([[5], [6]], silent=[0, 1]) == []


def test_a_query_that_begins_before_the_track():
    (answer,) = ask([[71], [33], [20], [21], [22], [23]])
    assert answer.start_s == pytest.approx(-0.2)


def test_no_hits_and_rows_of_no_track():
    assert ask([[], []]) == []
    assert ask([[90], [91]]) == []


def test_on_a_finer_query_grid_the_reference_grid_is_used():
    hits = [[25], [60], [26], [61], [27], [62]]
    (answer,) = ask(hits, ratio=2)
    assert (answer.track, answer.score) == (1, 1.0)
    assert answer.start_s == pytest.approx(5 * 2 * HOP)


def test_on_real_vectors():
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((400, 32)).astype(np.float16)
    index, table = ExactIndex(Rows([stored], HalfStorage(32))), TrackTable([0, 150], [150, 250])
    query = stored[200:230].astype(np.float32) + rng.standard_normal((30, 32)).astype(np.float32) / 2
    (answer,) = search_paper(query, index, table, query_hop_s=HOP)
    assert answer.track == 1
    assert answer.start_s == pytest.approx(5.0)
    noise = rng.standard_normal((30, 32)).astype(np.float32)
    assert search_paper(noise, index, table, query_hop_s=HOP) == []
