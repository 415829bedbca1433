"""Draw the style of a piece and the notes of its sections.

Time is counted in bars and steps of a sixteenth note; pitch in degrees of the scale: 0 is the tonic, 7 the
tonic an octave above.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BARS_PER_SECTION: Final = 4
"""Bars of a section; the last one ends with a drum fill."""

MODES: Final = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}
"""Semitones of the seven degrees of each mode above its root."""

FORMS: Final = ("IABABC", "IAABCA", "ABACAB", "IABCBA", "AABBCA", "IACABC")
"""Orders of sections. ``I`` is an introduction with the chords of ``A``. Long pieces repeat the order."""


@dataclass(frozen=True)
class Style:
    """Properties of a piece.

    Attributes
    ----------
    root : int
        MIDI number of the tonic below middle C.
    tuning : float
        Deviation from concert pitch, in semitones.
    mode : str
        A key of `MODES`.
    tempo : float
        Quarter notes per minute.
    beats : int
        Quarter notes per bar.
    swing : float
        Delay of every second eighth note, in eighth notes.
    form : str
        One of `FORMS`.
    """

    root: int
    tuning: float
    mode: str
    tempo: float
    beats: int
    swing: float
    form: str

    @property
    def step_s(self) -> float:
        """Length of a sixteenth note, in seconds."""
        return 15.0 / self.tempo

    @property
    def steps(self) -> int:
        """Sixteenth notes per bar."""
        return 4 * self.beats

    def time_s(self, bar: int, step: float) -> float:
        """Time of a step of a bar, in seconds, with swing."""
        late = self.swing * 2 if step % 4 == 2 else 0.0
        return (bar * self.steps + step + late) * self.step_s

    def frequency_hz(self, degree: int, octave: int = 0) -> float:
        """Frequency of a degree of the scale, in Hz."""
        turn, place = divmod(degree, 7)
        midi = self.root + 12 * (turn + octave) + MODES[self.mode][place] + self.tuning
        return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


@dataclass(frozen=True)
class Section:
    """Notes of all sections with the same letter.

    Attributes
    ----------
    chords : list of int
        Root degree of the chord of each bar.
    motifs : list of list of (int, int, int)
        Two motifs of one bar: (step, length in steps, degree above the chord's root).
    comping : list of int
        Steps of a bar on which the chord is struck.
    arpeggio : bool
        Whether the notes of the chord are played one after another.
    bass_line : list of (int, int)
        (step, degree above the chord's root) of the bass.
    drums : dict of str to list of int
        Steps on which each drum sounds.
    """

    chords: list[int]
    motifs: list[list[tuple[int, int, int]]]
    comping: list[int]
    arpeggio: bool
    bass_line: list[tuple[int, int]]
    drums: dict[str, list[int]]


def write_style(rng: np.random.Generator) -> Style:
    """Draw the style of a piece."""
    return Style(
        root=int(rng.integers(48, 60)),
        tuning=float(rng.uniform(-0.3, 0.3)),
        mode=str(rng.choice(list(MODES))),
        tempo=float(rng.uniform(68, 164)),
        beats=int(rng.choice([3, 4, 4, 4, 4])),
        swing=float(rng.choice([0.0, 0.0, rng.uniform(0.08, 0.3)])),
        form=str(rng.choice(FORMS)),
    )


def write_section(rng: np.random.Generator, style: Style) -> Section:
    """Draw the chords, melodies and rhythms of a section."""
    # Degrees by their frequency in popular music: mostly tonic, dominant, subdominant, submediant.
    degrees, weights = np.arange(7), np.array([0.24, 0.12, 0.08, 0.2, 0.17, 0.15, 0.04])
    chords = rng.choice(degrees, size=BARS_PER_SECTION, p=weights)
    if rng.random() < 0.6:
        chords[0] = 0
    steps = np.arange(style.steps)
    strong = np.where(steps % 4 == 0, 0.85, np.where(steps % 2 == 0, 0.45, 0.12))
    density = rng.uniform(0.5, 1.0)
    struck = steps[rng.random(style.steps) < strong * rng.uniform(0.5, 1.0)]
    low = steps[rng.random(style.steps) < strong * rng.uniform(0.4, 0.9)]
    drums = {
        "kick": [0, *steps[1:][rng.random(style.steps - 1) < strong[1:] * 0.3].tolist()],
        "snare": [4, 12] if style.beats == 4 else [8],
        "hat": steps[:: int(rng.choice([1, 2, 2, 4]))].tolist(),
        "open": steps[rng.random(style.steps) < 0.06].tolist(),
    }
    return Section(
        chords=[int(chord) for chord in chords],
        motifs=[_motif(rng, style, strong * density) for _ in range(2)],
        comping=struck.tolist() or [0],
        arpeggio=bool(rng.random() < 0.4),
        bass_line=[(0, 0), *((int(s), int(rng.choice([0, 0, 4, 7, 2]))) for s in low if s)],
        drums=drums,
    )


def _motif(rng: np.random.Generator, style: Style, chance: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    onsets = np.flatnonzero(rng.random(style.steps) < chance)
    if not len(onsets):
        onsets = np.array([0])
    ends = np.append(onsets[1:], style.steps)
    # A random walk over the scale in small steps, with a pull to the middle of its range.
    degree, notes = int(rng.choice([0, 2, 4, 7])), []
    for onset, end in zip(onsets, ends, strict=True):
        notes.append((int(onset), int(end - onset), degree))
        degree += int(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3])) - round((degree - 4) / 6)
    return notes
