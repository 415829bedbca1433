"""Segments of a query as results: by the match of a short query, or by a search at any tempo and pitch."""

from dataclasses import dataclass

import numpy as np

from earprint.encoders.base import Fingerprints, SegmentEncoder, cohort_of
from earprint.index.base import Index
from earprint.library.results import Match, Segment
from earprint.library.view import View
from earprint.matching import Alignment
from earprint.matching.chaining import FoundSegment, choose_segments
from earprint.matching.expectation import ExpectationLaw
from earprint.matching.query_rows import WINDOW_S, row_weights
from earprint.matching.segment_search import BlockSearch, self_similarity
from earprint.matching.segments import MAX_BLOCK_S, Repitch, find_segments
from earprint.store.results import Track


@dataclass(frozen=True)
class SegmentFinder:
    """Finds the segments of one query in one view of a library.

    Attributes
    ----------
    query : Fingerprints
        On the query grid.
    encoder : SegmentEncoder
    law : ExpectationLaw
        Of the encoder's model.
    view : View
    index : Index
        Of the view.
    """

    query: Fingerprints
    encoder: SegmentEncoder
    law: ExpectationLaw
    view: View
    index: Index

    @property
    def ratio(self) -> int:
        """Reference hop divided by query hop."""
        return round(self.encoder.reference_hop_s / self.encoder.query_hop_s)

    def is_long(self) -> bool:
        """Whether the query is longer than one block, so that it may hold several recordings."""
        return self.query.duration_s > MAX_BLOCK_S

    def find(self, max_expected: float, repitch: Repitch | None) -> list[Segment]:
        """Search for segments at any tempo and, with ``repitch``, at any pitch; in the order of the query.

        Parameters
        ----------
        max_expected : float
            Highest expected number of chance segments.
        repitch : callable or None
        """
        search = BlockSearch(self.index, self.view.table, self.law, cohort_of(self.encoder))
        found = find_segments(self.query, search, self.ratio, repitch)
        return [self._segment(one) for one in choose_segments(found, max_expected)]

    def of_alignment(self, alignment: Alignment) -> Segment:
        """Return the segment of an alignment of the whole query."""
        query, track = self.query, self.view.tracks[alignment.track]
        weights = row_weights(query.vectors, query.hop_s, query.margin_rows)
        start_s, end_s = self._inside(track, alignment.start_s, alignment.speed)
        share = (end_s - start_s) / max(query.duration_s, 1e-9)
        log_expected = self.law.log_expected(
            np.array([alignment.score]),
            np.array([weights.sum() / self.ratio * share]),
            library_rows=int(self.view.table.n_rows.sum()),
            self_similarity=self_similarity(query.vectors, weights),
            level=alignment.level,
        )
        return Segment(
            track,
            query_start_s=start_s,
            query_end_s=end_s,
            start_s=alignment.start_s + alignment.speed * start_s,
            end_s=alignment.start_s + alignment.speed * end_s,
            speed=alignment.speed,
            pitch=1.0,
            score=alignment.score,
            expected_false=float(np.exp(log_expected[0])),
        )

    def _inside(self, track: Track, start_s: float, speed: float) -> tuple[float, float]:
        """Return the part of the query that lies in a track."""
        first = min(max(0.0, -start_s / speed), self.query.duration_s)
        last = min(self.query.duration_s, (track.duration_s - start_s) / speed)
        return first, max(first, last)

    def _segment(self, found: FoundSegment) -> Segment:
        query, track = self.query, self.view.tracks[found.track]
        # The centres of windows coincide at any speed, not their starts.
        half = WINDOW_S / 2
        ends = []
        for row, end, side in ((found.first, 0, -half), (found.last, -1, half)):
            slope = found.slope_at(end)
            in_query = (row - query.margin_rows) * query.hop_s + half + side
            in_track = found.position_at(row) * query.hop_s + half + slope * side
            clamped = min(max(in_query, 0.0), query.duration_s)
            in_track += slope * (clamped - in_query)
            if not 0.0 <= in_track <= track.duration_s:
                kept = min(max(in_track, 0.0), track.duration_s)
                clamped += (kept - in_track) / slope
                in_track = kept
            ends.append((clamped, in_track))
        (query_start_s, start_s), (query_end_s, end_s) = ends
        return Segment(
            track,
            query_start_s=query_start_s,
            query_end_s=query_end_s,
            start_s=start_s,
            end_s=end_s,
            speed=found.slope,
            pitch=found.pitch,
            score=found.score,
            expected_false=float(np.exp(found.log_expected)),
        )


def segment_finder(
    query: Fingerprints, encoder: object, view: View, index: Index | None
) -> SegmentFinder | None:
    """Return a finder; None if the model has no law of chance scores, or there is nothing to search."""
    if index is None or not isinstance(encoder, SegmentEncoder) or encoder.expectation is None:
        return None
    return SegmentFinder(query, encoder, ExpectationLaw.from_card(encoder.expectation), view, index)


def matches_of(segments: list[Segment], candidates: list[Match]) -> list[Match]:
    """Return one match for each track that has a segment: that of its least expected segment, best first.

    Parameters
    ----------
    segments : list of Segment
    candidates : list of Match
        Of the whole query; the lead is over the best of them of another track.
    """
    best: dict[int, Segment] = {}
    for segment in sorted(segments, key=lambda one: one.expected_false):
        best.setdefault(segment.track.id, segment)
    matches = []
    for segment in best.values():
        others = [one.score for one in candidates if one.track.id != segment.track.id]
        begins_s = segment.start_s - segment.speed * segment.query_start_s
        length_s = max(one.query_end_s for one in segments) * segment.speed
        matches.append(
            Match(
                track=segment.track,
                start_s=begins_s,
                end_s=begins_s + length_s,
                score=segment.score,
                lead=segment.score - max(others, default=0.0),
                speed=segment.speed,
            )
        )
    return matches
