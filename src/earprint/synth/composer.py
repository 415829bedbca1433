"""Compose music from a seed, for the demonstration, benchmarks and tests.

A seed determines a piece: key, mode, tempo, metre, form, chords, a melody that varies from bar to bar, the
instruments, drums with fills, and a room. No bar is an exact copy of another: notes change, move by
milliseconds and differ in velocity, as when people play. `earprint.synth.score` draws the notes,
`earprint.synth.band` plays them, and `earprint.synth.instruments` makes the sounds.

The same seed and duration give the same piece on every machine (PCG64), except for rounding.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import reverberate, synthetic_rir
from earprint.synth import instruments
from earprint.synth.band import Band, Mix
from earprint.synth.score import BARS_PER_SECTION, write_section, write_style

Audio = NDArray[np.float32]

PEAK: Final = 0.8
"""Peak of every piece, relative to full scale."""

GAINS: Final = {"melody": 0.42, "comping": 0.2, "pad": 0.13, "bass": 0.4, "drums": 0.45}
"""Mean gain of each part."""

VoiceMaker = Callable[[np.random.Generator], instruments.AnyVoice]
MELODY_VOICES: Final[tuple[VoiceMaker, ...]] = (
    instruments.lead,
    instruments.string,
    instruments.bell,
    instruments.organ,
)
COMPING_VOICES: Final[tuple[VoiceMaker, ...]] = (
    instruments.string,
    instruments.bell,
    instruments.organ,
)


def compose(seed: int, duration_s: float = 40.0) -> Audio:
    """Compose and play a piece.

    Parameters
    ----------
    seed : int
        Seed of the piece; not negative.
    duration_s : float
        Length, in seconds.

    Returns
    -------
    ndarray of float32, shape (round(duration_s * 16000),)
        Peak `PEAK`, faded out over the last 0.5 s.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    style = write_style(rng)
    sections = {letter: write_section(rng, style) for letter in "ABC"}
    sections["I"] = sections["A"]
    players = _players(rng, style.form)
    band = Band(
        mix=Mix(max(1, round(duration_s * SAMPLE_RATE))),
        style=style,
        rng=rng,
        melody=MELODY_VOICES[int(rng.integers(len(MELODY_VOICES)))](rng),
        comping=COMPING_VOICES[int(rng.integers(len(COMPING_VOICES)))](rng),
        pad=instruments.pad(rng),
        bass=instruments.bass(rng),
        kit=instruments.drum_kit(rng),
        gains={player: gain * rng.uniform(0.7, 1.3) for player, gain in GAINS.items()},
    )
    for bar in range(int(np.ceil(duration_s / style.time_s(1, 0)))):
        letter = style.form[bar // BARS_PER_SECTION % len(style.form)]
        band.play(bar, sections[letter], players[letter])
    return _finish(band.mix.samples, rng)


def _players(rng: np.random.Generator, form: str) -> dict[str, set[str]]:
    """Choose the parts that play in each section: two in the introduction, most of them later."""
    everyone = list(GAINS)
    players = {"I": {str(rng.choice(["comping", "pad"])), str(rng.choice(["bass", "melody"]))}}
    for letter in sorted(set(form) - {"I"}):
        resting = rng.choice(everyone) if rng.random() < 0.7 else None
        players[letter] = {name for name in everyone if name != resting}
    return players


def _finish(samples: Audio, rng: np.random.Generator) -> Audio:
    """Add reverberation, limit peaks by tanh, fade out, and normalise the peak."""
    response = synthetic_rir(float(rng.uniform(0.3, 1.2)), int(rng.integers(2**31)))
    response[0] = 0.0
    wet = float(rng.uniform(0.08, 0.3))
    samples = samples + np.float32(wet) * reverberate(samples, response)
    samples = np.tanh(samples / np.float32(max(float(np.abs(samples).max()) * 0.6, 1e-9)))
    fall = min(len(samples), SAMPLE_RATE // 2)
    samples[len(samples) - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    peak = float(np.abs(samples).max())
    return np.asarray(samples * np.float32(PEAK / max(peak, 1e-9)), dtype=np.float32)
