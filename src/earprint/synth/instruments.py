"""Synthesise the instruments of the band: pitched voices and a drum kit.

A pitched note is a sum of a few groups of harmonics. Each group is one period of a waveform in a table, read
at the note's pitch (wavetable synthesis), with an envelope of its own. In a plucked string the groups of
higher harmonics decay faster; in a pad the level of a bright group rises and falls slowly. Bells and electric
pianos use frequency modulation. The sound of a drum is made once for a piece and added at each hit.

Audio is 16 kHz mono float32, shape (n,); times are in seconds, frequencies in Hz. All random numbers come
from the generator that is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.constants import SAMPLE_RATE

Audio = NDArray[np.float32]

TABLE_SIZE: Final = 4096
"""Samples in the table of a waveform period. It is read without interpolation (error below -65 dB)."""

TOP_HZ: Final = 7600.0
"""Highest frequency of harmonics, so that none is aliased at 8 kHz."""

RELEASE_S: Final = 0.08
"""Length of the fade after the end of a note, in seconds."""


def seconds(n: int) -> Audio:
    """Times of ``n`` samples, in seconds, shape (n,)."""
    return np.arange(n, dtype=np.float32) / np.float32(SAMPLE_RATE)


def shape_spectrum(samples: Audio, gain: Callable[[NDArray[np.float64]], Audio]) -> Audio:
    """Filter a sound with a gain that depends on frequency.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
    gain : callable
        Maps frequencies in Hz, shape (m,), to gains, shape (m,).

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    spectrum = np.fft.rfft(samples)
    spectrum *= gain(np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE).astype(np.float64))
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def high_pass(samples: Audio, cutoff_hz: float) -> Audio:
    """Filter a sound with the magnitude of a second-order high-pass at ``cutoff_hz``."""
    return shape_spectrum(samples, lambda f: np.asarray(f**2 / (f**2 + cutoff_hz**2), dtype=np.float32))


@dataclass
class Voice:
    """A pitched instrument made of groups of harmonics, each with an envelope.

    Attributes
    ----------
    groups : ndarray of float64, shape (n_groups, n_harmonics)
        Amplitude of each harmonic in each group.
    decay_s : ndarray of float32, shape (n_groups,)
        Time in which a group decays by a factor e; infinite for a sustained sound.
    attack_s : float
        Attack time of the note, in seconds.
    vibrato : float
        Depth of the vibrato, relative to the frequency.
    unison : float
        Detuning of a second oscillator, relative to the frequency; 0 for one oscillator.
    wave_hz : float
        Rate at which the level of the last group rises and falls; 0 for a constant level.
    """

    groups: NDArray[np.float64]
    decay_s: Audio
    attack_s: float = 0.005
    vibrato: float = 0.0
    unison: float = 0.0
    wave_hz: float = 0.0
    _tables: dict[int, Audio] = field(default_factory=dict, repr=False)

    def note(
        self, frequency_hz: float, duration_s: float, velocity: float, rng: np.random.Generator
    ) -> Audio:
        """Play one note, `RELEASE_S` longer than ``duration_s``, shape (n,)."""
        tables = self._tables_for(frequency_hz)
        n = int((duration_s + RELEASE_S) * SAMPLE_RATE)
        t = seconds(n)
        rate_hz, start = rng.uniform(4.5, 6.5), rng.uniform(0.0, 1.0, size=2)
        cycles = t.astype(np.float64)
        if self.vibrato:
            # The integral of 1 + depth * cos(2 pi rate t): the phase under vibrato.
            cycles += self.vibrato / (2 * np.pi * rate_hz) * np.sin(2 * np.pi * rate_hz * t)
        sound = self._read(tables, cycles * frequency_hz + start[0])
        if self.unison:
            sound += self._read(tables, cycles * frequency_hz * (1.0 + self.unison) + start[1])
        # Louder notes are brighter: the groups above the first depend on the velocity.
        strength = np.full(len(tables), velocity, dtype=np.float32)
        strength[1:] *= np.float32(0.5 + 0.6 * velocity)
        for row, decay, level in zip(sound, self.decay_s, strength, strict=True):
            row *= level if np.isinf(decay) else level * np.exp(-t / decay)
        if self.wave_hz:
            sound[-1] *= 0.55 + 0.45 * np.sin(2 * np.pi * (self.wave_hz * t + np.float32(start[1])))
        return np.asarray(sound.sum(axis=0) * edges(n, self.attack_s), dtype=np.float32)

    def _tables_for(self, frequency_hz: float) -> Audio:
        """Tables of one waveform period for each group, without harmonics above `TOP_HZ`."""
        count = int(np.clip(TOP_HZ // frequency_hz, 1, self.groups.shape[1]))
        if count not in self._tables:
            spectrum = np.zeros((len(self.groups), TABLE_SIZE // 2 + 1), dtype=np.complex128)
            # Phases proportional to k^2 (Schroeder, 1970), against a high peak where all harmonics add up.
            k = np.arange(1, count + 1)
            phases = np.exp(1j * np.pi * k**2 / max(count, 2))
            spectrum[:, 1 : count + 1] = self.groups[:, :count] * phases
            tables = np.fft.irfft(spectrum, TABLE_SIZE, axis=1) * TABLE_SIZE / 2
            self._tables[count] = tables.astype(np.float32)
        return self._tables[count]

    @staticmethod
    def _read(tables: Audio, cycles: NDArray[np.float64]) -> Audio:
        """Read the tables at a phase given in cycles, shape (n,) -> (n_groups, n)."""
        index = (cycles * TABLE_SIZE).astype(np.int32) & (TABLE_SIZE - 1)
        return np.take(tables, index, axis=1)


@dataclass
class BellVoice:
    """Two-operator frequency modulation (Chowning, 1973): bells and electric pianos.

    Attributes
    ----------
    ratio : float
        Frequency of the modulator over that of the carrier.
    depth : float
        Modulation index at the start of a note.
    decay_s, brightness_s : float
        Times in which the level and the modulation index decay by a factor e.
    """

    ratio: float
    depth: float
    decay_s: float
    brightness_s: float

    def note(
        self, frequency_hz: float, duration_s: float, velocity: float, rng: np.random.Generator
    ) -> Audio:
        """Play one note, `RELEASE_S` longer than ``duration_s``, shape (n,)."""
        n = int((duration_s + RELEASE_S) * SAMPLE_RATE)
        t = seconds(n)
        # The highest relevant sideband is about (index + 1) modulator frequencies above the carrier.
        room = max(TOP_HZ / frequency_hz - 1.0, 0.0) / self.ratio - 1.0
        index = np.float32(np.clip(self.depth * (0.6 + 0.6 * velocity), 0.0, max(room, 0.0)))
        angle = np.float32(2 * np.pi * frequency_hz) * t + np.float32(rng.uniform(0, 2 * np.pi))
        bend = index * np.exp(-t / np.float32(self.brightness_s)) * np.sin(angle * self.ratio)
        sound = velocity * np.exp(-t / np.float32(self.decay_s)) * np.sin(angle + bend)
        return np.asarray(sound * edges(n, 0.003), dtype=np.float32)


AnyVoice = Voice | BellVoice


def edges(n: int, attack_s: float) -> Audio:
    """Envelope: a rise over ``attack_s``, a gain of 1, a fall over `RELEASE_S`; shape (n,)."""
    gain = np.ones(n, dtype=np.float32)
    rise, fall = min(n, int(attack_s * SAMPLE_RATE)), min(n, int(RELEASE_S * SAMPLE_RATE))
    gain[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    gain[n - fall :] *= np.linspace(1, 0, fall, dtype=np.float32) ** 2
    return gain


def organ(rng: np.random.Generator) -> Voice:
    """Make an organ: octaves and fifths of random amplitude, with a light vibrato."""
    bars = np.zeros((1, 16))
    bars[0, [0, 1, 2, 3, 5, 7, 9, 11]] = rng.uniform(0.1, 1.0, 8) ** 2
    bars[0, 0] = 0.8
    return Voice(bars / bars.sum(), _sustained(1), 0.012, vibrato=rng.uniform(0.001, 0.005))


def string(rng: np.random.Generator) -> Voice:
    """Make a plucked string: higher harmonics decay faster."""
    k = np.arange(1, 33)
    # A string plucked at the fraction p of its length lacks the harmonics with a node there.
    strength = np.abs(np.sin(np.pi * k * rng.uniform(0.08, 0.4))) / k ** rng.uniform(0.7, 1.3)
    groups, decays = np.zeros((4, 32)), np.empty(4, dtype=np.float32)
    longest, damping = rng.uniform(0.5, 1.6), rng.uniform(0.4, 0.9)
    for row, (low, high) in enumerate([(1, 1), (2, 3), (4, 8), (9, 32)]):
        groups[row, low - 1 : high] = strength[low - 1 : high]
        decays[row] = longest / ((low + high) / 2) ** damping
    return Voice(groups / strength.sum() * 2.0, decays, 0.002, unison=rng.choice([0.0, 0.002]))


def bell(rng: np.random.Generator) -> BellVoice:
    """Make a bell (odd ratio, long) or an electric piano (whole ratio, short)."""
    if rng.random() < 0.5:
        return BellVoice(rng.choice([1.4, 2.76, 3.5]), rng.uniform(1.0, 2.5), 1.0, 0.5)
    return BellVoice(rng.choice([1.0, 2.0, 7.0]), rng.uniform(0.6, 1.8), rng.uniform(0.5, 1.2), 0.25)


def pad(rng: np.random.Generator) -> Voice:
    """Make a pad: two detuned sawtooth waves through a low-pass whose cutoff rises and falls slowly."""
    k = np.arange(1, 41)
    dark = 1.0 / k / (1.0 + (k / rng.uniform(2.0, 5.0)) ** 4)
    groups = np.stack([dark, 1.0 / k / (1.0 + (k / rng.uniform(8.0, 20.0)) ** 4) - dark])
    return Voice(
        groups / groups.sum() * 0.8,
        _sustained(2),
        attack_s=rng.uniform(0.1, 0.35),
        unison=rng.uniform(0.003, 0.009),
        wave_hz=rng.uniform(0.1, 0.9),
    )


def lead(rng: np.random.Generator) -> Voice:
    """Make a lead: a square wave or a narrow pulse with vibrato."""
    k = np.arange(1, 41)
    pulse = np.abs(np.sin(np.pi * k * rng.choice([0.5, 0.5, 0.25, 0.15]))) / k
    pulse /= 1.0 + (k / rng.uniform(6.0, 16.0)) ** 2
    return Voice(
        pulse[np.newaxis] / pulse.sum(),
        np.array([rng.uniform(0.4, 2.0)], dtype=np.float32),
        attack_s=rng.uniform(0.004, 0.04),
        vibrato=rng.uniform(0.002, 0.009),
    )


def bass(rng: np.random.Generator) -> Voice:
    """Make a bass: few harmonics, some of which decay fast."""
    k = np.arange(1, 13)
    groups = np.stack([1.0 / k**2, np.where(k > 1, 1.0 / k ** rng.uniform(0.8, 1.6), 0.0)])
    decays = np.array([rng.uniform(0.4, 1.2), rng.uniform(0.08, 0.3)], dtype=np.float32)
    return Voice(groups / groups[0].sum(), decays, 0.006)


def drum_kit(rng: np.random.Generator) -> dict[str, Audio]:
    """Make a drum kit: the sounds ``kick``, ``snare``, ``hat``, ``open``, ``tom``, ``crash``."""
    kit = {}
    for name, high, low, length in [
        ("kick", rng.uniform(110, 200), rng.uniform(42, 60), 0.3),
        ("tom", rng.uniform(180, 260), rng.uniform(85, 130), 0.35),
    ]:
        t = seconds(int(length * SAMPLE_RATE))
        fall = np.float32(rng.uniform(0.02, 0.05))
        cycles = low * t + (high - low) * fall * (1 - np.exp(-t / fall))
        click = rng.standard_normal(len(t)).astype(np.float32) * np.exp(-t / np.float32(0.003))
        body = np.sin(2 * np.pi * cycles) * np.exp(-t / np.float32(length / 4))
        kit[name] = (body + 0.2 * click).astype(np.float32)
    t = seconds(int(0.25 * SAMPLE_RATE))
    rattle = high_pass(rng.standard_normal(len(t)).astype(np.float32), rng.uniform(700, 2500))
    shell = np.sin(2 * np.pi * np.float32(rng.uniform(160, 260)) * t)
    share = np.float32(rng.uniform(0.3, 0.7))
    kit["snare"] = share * shell * np.exp(-t / np.float32(0.05)) + (
        (1 - share) * rattle * np.exp(-t / np.float32(rng.uniform(0.04, 0.1)))
    )
    for name, decay, length in [("hat", 0.02, 0.12), ("open", 0.1, 0.4), ("crash", 0.4, 1.5)]:
        t = seconds(int(length * SAMPLE_RATE))
        hiss = high_pass(rng.standard_normal(len(t)).astype(np.float32), rng.uniform(3500, 6000))
        kit[name] = 0.5 * hiss * np.exp(-t / np.float32(decay * rng.uniform(0.7, 1.4)))
    return {name: np.asarray(sound, dtype=np.float32) for name, sound in kit.items()}


def _sustained(n: int) -> Audio:
    return np.full(n, np.inf, dtype=np.float32)
