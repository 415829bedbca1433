"""Figures of an evaluation, drawn by matplotlib (the extra ``evaluate``).

``accuracy-noise.png`` and ``accuracy-room-noise.png`` show accuracy against the signal-to-noise ratio (SNR),
with a panel for each query length. ``accuracy-other.png`` shows the other conditions. ``roc.png`` and
``time-errors.png`` are named after what they show. Shares are in percent, error bars are 95 % intervals by
recording. The colours are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers
can distinguish; systems differ in marker and line style too.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from earprint.evaluation.comparison import ALL_CONDITIONS
from earprint.evaluation.conditions import condition_class, snr_of
from earprint.evaluation.metrics import MetricsRow
from earprint.evaluation.outcomes import Outcome
from earprint.evaluation.roc import Roc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = "osD^vPX"
LINES: Final = ("-", "--", "-.", ":", "-", "--", "-.")

METRIC: Final = "top_1_and_50_ms"
"""Metric that is drawn as accuracy."""

METRIC_LABEL: Final = "right recording and\nplace within 50 ms (%)"

ERROR_RANGE_MS: Final = 150
"""Larger time errors are counted and not drawn."""

ERROR_BIN_MS: Final = 5
"""Width of a bar of the histogram, in milliseconds."""

LEGEND_ENTRY_IN: Final = 2.0
"""Width of one entry of the legend, in inches."""

MIN_WIDTH_IN: Final = 6.0
"""Least width of a figure, in inches, which its title needs."""

AXIS_STEP: Final = 20
"""The axis of shares begins at a multiple of this, in percent."""

SMALLEST_FALSE_ACCEPT: Final = 1e-3
"""Left end of the ROC's axis."""


def draw(
    folder: Path, rows: Sequence[MetricsRow], curves: Sequence[Roc], outcomes: Sequence[Outcome]
) -> tuple[list[Path], str | None]:
    """Draw all figures that there is data for.

    Returns
    -------
    (list of Path, str or None)
        The figures, and a line of text if there are none because matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return (
            [],
            "no figures were drawn: matplotlib is missing; install it with pip install 'earprint[evaluate]'",
        )
    figures = {
        "accuracy-noise.png": _against_snr(rows, "noise", "noise"),
        "accuracy-room-noise.png": _against_snr(rows, "room-noise", "noise in a room"),
        "accuracy-other.png": _other_conditions(rows),
        "roc.png": _roc(curves),
        "time-errors.png": _time_errors(outcomes),
    }
    drawn = []
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=150)
            drawn.append(folder / name)
    return drawn, None


class _Styles:
    """Colour, marker and line style of each system, the same in all figures."""

    def __init__(self, systems: Sequence[str]) -> None:
        self._places = {system: place for place, system in enumerate(dict.fromkeys(systems))}

    def __call__(self, system: str) -> dict[str, Any]:
        place = self._places[system] % len(COLOURS)
        return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}


def _panels(n: int, *, width: float, height: float, columns: int = 4) -> tuple["Figure", list[Any]]:
    """Make a figure with n panels that share their axes."""
    from matplotlib.figure import Figure

    columns = min(n, columns)
    lines = math.ceil(n / columns)
    size = max(MIN_WIDTH_IN, width * columns + 0.8), height * lines + 0.9
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for empty in axes[n:]:
        empty.set_visible(False)
    for panel in axes[max(0, n - columns) : n]:  # the lowest panel of each column
        panel.tick_params(labelbottom=True)
    return figure, axes[:n]


def _finish(figure: "Figure", axes: Sequence[Any]) -> None:
    """Add one legend for all panels, below them."""
    handles: dict[str, Any] = {}
    for panel in axes:
        panel.grid(alpha=0.3)
        handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    fitting = int(figure.get_figwidth() / LEGEND_ENTRY_IN)
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center",
        ncols=max(1, min(fitting, len(handles))),
    )  # fmt: skip


def _share(row: MetricsRow, metric: str = METRIC) -> tuple[float, float, float]:
    """Return a share in percent with the distances to the ends of its interval."""
    share = row.percent(metric)
    assert share is not None
    # A bootstrap interval need not contain the share.
    down, up = share["percent"] - share["low"], share["high"] - share["percent"]
    return share["percent"], max(0.0, down), max(0.0, up)


def _lowest(rows: Sequence[MetricsRow]) -> float:
    """Return where the axis of shares begins, in percent, so that all intervals are on it."""
    return float(AXIS_STEP * (min(100 * row.intervals[METRIC][0] for row in rows) // AXIS_STEP))


def _against_snr(rows: Sequence[MetricsRow], condition: str, what: str) -> "Figure | None":
    selected = [row for row in rows if row.present and condition_class(row.condition).name == condition]
    if not selected:
        return None
    styles = _Styles([row.system for row in rows])
    lengths = list(dict.fromkeys(row.length_s for row in selected))
    figure, axes = _panels(len(lengths), width=2.9, height=3.0)
    snrs = sorted({snr_of(row.condition) for row in selected})
    systems = list(dict.fromkeys(row.system for row in selected))
    gap = min(np.diff(snrs), default=5.0)
    for length_s, panel in zip(lengths, axes, strict=True):
        for place, system in enumerate(systems):
            line = sorted(
                (row for row in selected if row.length_s == length_s and row.system == system),
                key=lambda row: snr_of(row.condition),
            )
            if not line:
                continue
            shares = np.array([_share(row) for row in line])
            # Shifted, so that no interval hides another.
            shift = 0.06 * gap * (place - (len(systems) - 1) / 2)
            panel.errorbar(
                [snr_of(row.condition) + shift for row in line], shares[:, 0], shares[:, 1:].T,
                capsize=3, markersize=5, linewidth=1.5, label=system, **styles(system),
            )  # fmt: skip
        panel.set_title(f"{length_s:g} s queries", fontsize=11)
        panel.set_xlabel("signal-to-noise ratio (dB)")
        panel.set_xticks(snrs, [f"{snr:g}" for snr in snrs])
        panel.set_ylim(_lowest(selected) - 2, 102)
    axes[0].set_ylabel(METRIC_LABEL)
    figure.suptitle(
        f"Accuracy in {what}, {_query_counts(selected)} queries each, 95 % intervals", fontsize=12
    )
    _finish(figure, axes)
    return figure


def _query_counts(rows: Sequence[MetricsRow]) -> str:
    low, high = min(row.queries for row in rows), max(row.queries for row in rows)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _other_conditions(rows: Sequence[MetricsRow]) -> "Figure | None":
    """Draw the other conditions as rows of points, with a panel for each query length."""
    with_snr = ("noise", "room-noise")
    selected = [row for row in rows if row.present and condition_class(row.condition).name not in with_snr]
    if not selected:
        return None
    styles = _Styles([row.system for row in rows])
    systems = list(dict.fromkeys(row.system for row in selected))
    lengths = list(dict.fromkeys(row.length_s for row in selected))
    names = list(dict.fromkeys(row.condition for row in selected))
    figure, axes = _panels(len(lengths), width=2.9, height=0.35 * len(names) + 1.0)
    for length_s, panel in zip(lengths, axes, strict=True):
        for place, system in enumerate(systems):
            line = [row for row in selected if row.length_s == length_s and row.system == system]
            if not line:
                continue
            shares = np.array([_share(row) for row in line])
            shift = 0.16 * (place - (len(systems) - 1) / 2)
            panel.errorbar(
                shares[:, 0], [names.index(row.condition) + shift for row in line], xerr=shares[:, 1:].T,
                capsize=2, markersize=5, label=system, **styles(system) | {"linestyle": "none"},
            )  # fmt: skip
        panel.set_title(f"{length_s:g} s queries", fontsize=11)
        panel.set_xlim(_lowest(selected) - 2, 102)
        panel.set_xlabel(METRIC_LABEL)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle("Accuracy in other conditions, 95 % intervals", fontsize=12)
    _finish(figure, axes)
    return figure


def _roc(curves: Sequence[Roc]) -> "Figure | None":
    selected = [curve for curve in curves if curve.group == ALL_CONDITIONS]
    if not selected:
        return None
    styles = _Styles([curve.system for curve in selected])
    lengths = list(dict.fromkeys(curve.length_s for curve in selected))
    figure, axes = _panels(len(lengths), width=2.9, height=3.0)
    for length_s, panel in zip(lengths, axes, strict=True):
        for curve in (curve for curve in selected if curve.length_s == length_s):
            style = {key: styles(curve.system)[key] for key in ("color", "linestyle")}
            panel.step(
                100 * np.maximum(curve.false_accepts, SMALLEST_FALSE_ACCEPT),
                100 * curve.right,
                where="post",
                linewidth=1.5,
                label=curve.system,
                **style,
            )
        panel.axvline(1.0, color="0.6", linewidth=0.8, zorder=0)
        panel.set_xscale("log")
        panel.set_xlim(100 * SMALLEST_FALSE_ACCEPT, 100)
        panel.set_xticks([0.1, 1, 10, 100], ["≤0.1", "1", "10", "100"])
        panel.set_ylim(0, 102)
        panel.set_title(f"{length_s:g} s queries", fontsize=11)
        panel.set_xlabel("false accepts (%)")
    axes[0].set_ylabel("right answers (%)")
    absent = f"{min(curve.absent for curve in selected):,}"
    figure.suptitle(f"Thresholds on the score, all conditions together, {absent} absent queries", fontsize=12)
    _finish(figure, axes)
    return figure


def _time_errors(outcomes: Sequence[Outcome]) -> "Figure | None":
    errors = time_errors_ms(outcomes)
    if not errors:
        return None
    styles = _Styles([outcome.system for outcome in outcomes])
    figure, axes = _panels(len(errors), width=3.6, height=2.8, columns=3)
    bins = np.arange(-ERROR_RANGE_MS, ERROR_RANGE_MS + ERROR_BIN_MS, ERROR_BIN_MS)
    for (system, selected), panel in zip(errors.items(), axes, strict=True):
        panel.hist(
            selected,
            bins=bins,
            weights=np.full(len(selected), 100 / len(selected)),
            color=styles(system)["color"],
        )
        for edge in (-50, 50):
            panel.axvline(edge, color="0.5", linewidth=0.8, linestyle="--")
        beyond = np.mean(np.abs(selected) > ERROR_RANGE_MS)
        panel.text(
            0.97, 0.95,
            f"median |error| {np.median(np.abs(selected)):.1f} ms\n{100 * beyond:.1f} % beyond the axis",
            transform=panel.transAxes, ha="right", va="top", fontsize=8,
        )  # fmt: skip
        panel.set_title(f"{system} ({len(selected):,} answers)", fontsize=11)
        panel.set_xlabel("answered minus true start (ms)")
        panel.set_xlim(-ERROR_RANGE_MS, ERROR_RANGE_MS)
        panel.margins(y=0.35)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel(f"answers in {ERROR_BIN_MS} ms (%)")
    figure.suptitle("Time errors where the recording is right (dashed: 50 ms)", fontsize=12)
    return figure


def time_errors_ms(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return signed time errors where the recording is right, in milliseconds, by system.

    Queries at other speeds are left out.
    """
    errors: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.error_s is not None and outcome.query.speed == 1:
            errors.setdefault(outcome.system, []).append(1000 * outcome.error_s)
    return {system: np.array(selected) for system, selected in errors.items()}
