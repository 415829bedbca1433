"""Play the bars of a piece: the notes of a section, with random variation.

Notes are omitted, changed and moved at random, so that no bar is an exact copy of another. Audio is 16 kHz
mono float32, shape (n,); times are in seconds from the start of the piece.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.synth import instruments
from earprint.synth.score import BARS_PER_SECTION, Section, Style

Audio = NDArray[np.float32]


class Mix:
    """Mono audio, shape (n,), to which notes are added."""

    def __init__(self, n: int) -> None:
        self.samples = np.zeros(n, dtype=np.float32)

    def add(self, sound: Audio, at_s: float, gain: float) -> None:
        """Add a sound at a time; samples outside the piece are dropped."""
        start = max(int(at_s * SAMPLE_RATE), 0)
        room = self.samples[start : start + len(sound)]
        room += np.float32(gain) * sound[: len(room)]


@dataclass
class Band:
    """The players of one piece.

    Attributes
    ----------
    mix : Mix
        Output.
    style : Style
    rng : numpy.random.Generator
        Source of all variation.
    melody, comping : AnyVoice
    pad, bass : Voice
    kit : dict of str to ndarray
        Sounds of the drums.
    gains : dict of str to float
        Gain of each part: ``melody``, ``comping``, ``pad``, ``bass``, ``drums``.
    """

    mix: Mix
    style: Style
    rng: np.random.Generator
    melody: instruments.AnyVoice
    comping: instruments.AnyVoice
    pad: instruments.Voice
    bass: instruments.Voice
    kit: dict[str, Audio]
    gains: dict[str, float]

    def play(self, bar: int, section: Section, playing: set[str]) -> None:
        """Play one bar of a section with the parts in ``playing``."""
        root = section.chords[bar % BARS_PER_SECTION]
        if "melody" in playing:
            self._play_melody(bar, root, section.motifs[bar % 2])
        if "comping" in playing:
            self._play_chords(bar, root, section)
        if "pad" in playing:
            self._play_pad(bar, root)
        if "bass" in playing:
            self._play_bass(bar, root, section)
        if "drums" in playing:
            self._play_drums(bar, section)

    def _add(self, sound: Audio, bar: int, step: float, gain: float, late_s: float = 0.0) -> None:
        """Add a sound at a step, with a random deviation of a few milliseconds."""
        off_s = float(self.rng.normal(0.0, 0.005))
        self.mix.add(sound, self.style.time_s(bar, step) + late_s + off_s, gain)

    def _play_melody(self, bar: int, root: int, motif: list[tuple[int, int, int]]) -> None:
        rng, style = self.rng, self.style
        shift = int(rng.choice([0, 0, 0, 0, -2, 2]))
        for step, length, idea in motif:
            chance = rng.random()
            if chance < 0.1:
                continue
            degree = idea + (int(rng.choice([-2, -1, 1, 2])) if chance < 0.4 else 0)
            halves = 2 if chance > 0.85 and length >= 2 else 1
            for half in range(halves):
                hertz = style.frequency_hz(root + degree + shift + half, octave=1)
                held = length / halves * style.step_s * rng.uniform(0.7, 1.0)
                sound = self.melody.note(hertz, held, rng.uniform(0.6, 1.0), rng)
                self._add(sound, bar, step + half * length / 2, self.gains["melody"])

    def _play_chords(self, bar: int, root: int, section: Section) -> None:
        rng, style = self.rng, self.style
        # A random inversion in each bar, so that the same chord does not repeat exactly.
        chord = [degree + 7 * int(rng.random() < 0.3) for degree in (0, 2, 4)]
        if rng.random() < 0.25:
            chord.append(6)
        for count, step in enumerate(section.comping):
            if rng.random() < 0.08:
                continue
            struck = [chord[count % len(chord)]] if section.arpeggio else chord
            gain = self.gains["comping"] * (1.8 if section.arpeggio else 1.0)
            for order, degree in enumerate(struck):
                hertz, held = style.frequency_hz(root + degree), rng.uniform(1.5, 4) * style.step_s
                sound = self.comping.note(hertz, held, rng.uniform(0.5, 1.0), rng)
                self._add(sound, bar, step, gain, late_s=0.006 * order)

    def _play_pad(self, bar: int, root: int) -> None:
        rng, style = self.rng, self.style
        for degree in (0, 2, 4, 7)[: int(rng.integers(3, 5))]:
            hertz, held = style.frequency_hz(root + degree), style.steps * style.step_s
            sound = self.pad.note(hertz, held, rng.uniform(0.7, 1.0), rng)
            self._add(sound, bar, 0, self.gains["pad"])

    def _play_bass(self, bar: int, root: int, section: Section) -> None:
        rng, style = self.rng, self.style
        ends = [step for step, _ in section.bass_line[1:]] + [style.steps]
        for (step, idea), end in zip(section.bass_line, ends, strict=True):
            degree = root + (int(rng.choice([0, 2, 4, 6])) if step and rng.random() < 0.12 else idea)
            hertz = style.frequency_hz(degree, octave=-1 if degree < 5 else -2)
            held = (end - step) * style.step_s * rng.uniform(0.6, 0.95)
            self._add(
                self.bass.note(hertz, held, rng.uniform(0.7, 1.0), rng),
                bar,
                step,
                self.gains["bass"],
            )

    def _play_drums(self, bar: int, section: Section) -> None:
        rng, steps, turn = self.rng, self.style.steps, bar % BARS_PER_SECTION
        fill_from = steps - 4 if turn == BARS_PER_SECTION - 1 else steps
        pattern = [(drum, step) for drum, places in section.drums.items() for step in places]
        hits = [hit for hit in pattern if hit[1] < fill_from and rng.random() > 0.06]
        if turn == 0:
            hits.append(("crash", 0))
        for step in range(fill_from, steps):
            hits.append((str(rng.choice(["snare", "tom", "kick"])), step))
        if rng.random() < 0.5:
            hits.append(("snare", int(rng.integers(steps))))
        for drum, step in hits:
            level = rng.uniform(0.6, 1.0) * (0.5 if drum in {"hat", "open", "crash"} else 1.0)
            self._add(self.kit[drum], bar, step, self.gains["drums"] * level)
