"""Make logmel.npz, the mel powers that librosa gives for `golden_signal`.

Run once, in an environment of its own (`pip install librosa`), from any folder:
`python tests/golden/make_logmel.py`. The committed file was made with librosa 0.11.0, numpy 2.4.6
and Python 3.11.
"""

from pathlib import Path

import numpy as np

RATE = 16_000
HOP = 160
FRONT_ENDS = {"paper": (512, 0.0, 8000.0), "dense": (1024, 60.0, 7800.0)}
"""FFT length, lowest and highest frequency in Hz."""


def golden_signal():
    """A chirp over the whole band, five harmonics and a low comb of clicks; odd length, shape (11333,)."""
    n = np.arange(11_333)
    t = n / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (50 * t + 0.5 * (7500 / t[-1]) * t**2))
    harmonics = sum(0.2 / k * np.sin(2 * np.pi * 110 * k * t + k) for k in range(1, 6))
    clicks = 0.1 * (n % 97 == 5)
    return (chirp + harmonics + clicks).astype(np.float32)


def main():
    import librosa

    signal = golden_signal().astype(np.float64)
    out = {}
    for name, (n_fft, f_min, f_max) in FRONT_ENDS.items():
        padded = np.pad(signal, (n_fft - HOP) // 2)
        power = librosa.feature.melspectrogram(
            y=padded, sr=RATE, n_fft=n_fft, hop_length=HOP, window="hann", center=False, power=2.0,
            n_mels=64, fmin=f_min, fmax=f_max, htk=True, norm=None, dtype=np.float64,
        )  # fmt: skip
        out[name] = power.T[: len(signal) // HOP].astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("logmel.npz"), **out)
    print(librosa.__version__, np.__version__, {name: power.shape for name, power in out.items()})


if __name__ == "__main__":
    main()
