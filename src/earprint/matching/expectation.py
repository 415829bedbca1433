"""How many false answers this good chance gives: the expectation of a segment.

The best score that unrelated audio reaches follows an extreme-value (Gumbel) law, as in sequence search in
biology (Karlin and Altschul 1990, "Methods for assessing the statistical significance of molecular sequence
features by using general scoring schemes"). For a library of ``rows`` stored fingerprints, the expected
number of unrelated segments that score ``s`` or more is

    expected(s) = trials * rows / reference_rows * exp(-(s - location) / scale)

``location`` and ``scale`` depend on how many stored fingerprints the segment spans. The location also
depends on the cohort level of the query, and on its self-similarity: a drone or a loop gives fewer
independent fingerprints. ``trials`` counts what else was tried: the ends of a part of the query, slopes and
pitches. The law is fitted with queries of recordings that were not in the library
(`benchmarks/expectation.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from earprint.errors import ModelError

Floats = NDArray[np.float64]

LEVEL_OF_LAW: Final = 0.35
"""Cohort level at which the law's location needs no correction."""

SHORT_SLOPE: Final = 0.15
"""Added to the location for each e-fold by which a segment is shorter than the law's first knot."""


@dataclass(frozen=True)
class ExpectationLaw:
    """The law of chance scores of one model.

    Attributes
    ----------
    rows : ndarray of float64, shape (k,)
        Knots: how many stored fingerprints a segment spans, ascending. The law is linear in their logarithm.
    location, scale : ndarray of float64, shape (k,)
        Of the Gumbel law at each knot, for a library of ``reference_rows``.
    by_self_similarity, by_level : ndarray of float64, shape (k,)
        Change of the location per unit of the query's self-similarity, and of its level above `LEVEL_OF_LAW`.
    reference_rows : float
        Stored fingerprints of the library that it was fitted with.
    """

    rows: Floats
    location: Floats
    scale: Floats
    by_self_similarity: Floats
    by_level: Floats
    reference_rows: float

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "ExpectationLaw":
        """Read the law from the table ``expectation`` of a model card.

        Raises
        ------
        ModelError
            If the table is not usable.
        """
        try:
            knots = {name: np.asarray(card[name], dtype=np.float64) for name in _KNOTS}
            law = cls(reference_rows=float(card["reference_rows"]), **knots)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the model card's expectation is not usable ({error}); export it again"
            ) from None
        shapes = {knot.shape for knot in knots.values()}
        if len(shapes) > 1 or law.rows.ndim != 1 or not (np.diff(law.rows) > 0).all() or not law.rows.size:
            raise ModelError("the model card's expectation needs ascending rows, one of each value per knot")
        if not (law.scale > 0).all() or not law.reference_rows > 0:
            raise ModelError("the model card's expectation needs scales and reference_rows above 0")
        return law

    def line_in_score(
        self,
        rows: Floats,
        *,
        library_rows: int,
        self_similarity: float = 0.0,
        level: float = LEVEL_OF_LAW,
        trials: Floats | float = 1.0,
    ) -> tuple[Floats, Floats]:
        """The log expectation as ``at_zero - per_score * score``, for segments of some spans.

        Parameters
        ----------
        rows : ndarray of float64
            How many stored fingerprints each segment spans, weighted as the query's rows are.
        library_rows : int
            Stored fingerprints of the library.
        self_similarity, level : float
            Of the query.
        trials : ndarray of float64 or float
            How many segments of this kind were tried.

        Returns
        -------
        at_zero, per_score : ndarray of float64, same shape as ``rows``
        """
        x, knots = np.log(np.maximum(rows, 1e-3)), np.log(self.rows)
        location = np.interp(x, knots, self.location) + SHORT_SLOPE * np.maximum(0.0, knots[0] - x)
        location += np.interp(x, knots, self.by_self_similarity) * self_similarity
        location += np.interp(x, knots, self.by_level) * (level - LEVEL_OF_LAW)
        per_score = 1.0 / np.interp(x, knots, self.scale)
        size = np.log(max(library_rows, 1) / self.reference_rows)
        return location * per_score + size + np.log(trials), per_score

    def log_expected(self, scores: Floats, rows: Floats, **query: Any) -> Floats:
        """Natural logarithm of the expected number of unrelated segments with such a score or a better one.

        Parameters
        ----------
        scores : ndarray of float64
            Mean score over each segment's rows, see `earprint.matching.score_normalisation`.
        rows : ndarray of float64, same shape
        **query
            See `line_in_score`.
        """
        at_zero, per_score = self.line_in_score(rows, **query)
        return at_zero - per_score * scores


_KNOTS: Sequence[str] = ("rows", "location", "scale", "by_self_similarity", "by_level")
