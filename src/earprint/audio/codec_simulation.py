"""Encode audio with a low-rate codec and decode it again, as a telephone call or a voice message does.

The encoders are those of FFmpeg in PyAV's wheels. Their delay is removed, so that the result is aligned with
the input: Ogg and MP3 files contain the delay, and the decoder skips it; the look-ahead of AMR is known. The
codec's bandwidth, noise and gain remain.
"""

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.codec import Codec as FFmpegCodec
from numpy.typing import NDArray

from earprint.audio.decode import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError


@dataclass(frozen=True)
class Codec:
    """FFmpeg settings of a codec.

    Attributes
    ----------
    encoder, container : str
        FFmpeg's names.
    sample_rate : int
        Sample rate of its input, in Hz.
    bit_rate : int
        Default, in bit/s.
    delay : int
        Delay of the decoded audio, in samples at 16 kHz, that the container does not contain.
    options : tuple of (str, str)
        Options of the encoder.
    """

    encoder: str
    container: str
    sample_rate: int
    bit_rate: int
    delay: int = 0
    options: tuple[tuple[str, str], ...] = ()


CODECS: Final = {
    # Voice messages and calls over the Internet (RFC 6716), 6 kbit/s and more.
    "opus": Codec("libopus", "ogg", 16_000, 8_000, options=(("application", "voip"),)),
    # Mobile calls (3GPP TS 26.071); its encoder looks 5 ms ahead.
    "amr": Codec("libopencore_amrnb", "amr", 8_000, 12_200, delay=80),
    # MPEG-2.5 layer III, the lowest that LAME makes.
    "mp3": Codec("libmp3lame", "mp3", 8_000, 16_000),
}
"""Codecs by name, in the order in which `available_codec` prefers them."""


@functools.cache
def can_encode(codec: str) -> bool:
    """Whether FFmpeg has the encoder of a codec of `CODECS` here."""
    try:
        FFmpegCodec(CODECS[codec].encoder, "w")
    except (ValueError, av.error.FFmpegError):  # UnknownCodecError is a ValueError
        return False
    return True


def available_codec(names: Sequence[str] = tuple(CODECS)) -> str | None:
    """Name of the first codec, in the order given, whose encoder FFmpeg has here; None without one."""
    return next((name for name in names if can_encode(name)), None)


def round_trip(
    samples: NDArray[np.float32], codec: str = "opus", bit_rate: int | None = None
) -> NDArray[np.float32]:
    """Encode audio at a low rate and decode it again.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
        16 kHz mono; samples beyond full scale are clipped.
    codec : str
        A name in `CODECS`: ``opus``, ``amr`` (narrow band, 12.2 kbit/s at most), or ``mp3`` (at 8 kHz).
    bit_rate : int, optional
        In bit/s; the codec's default if None. The encoder uses its nearest rate.

    Returns
    -------
    ndarray of float32, shape (n,)
        Aligned with the input within a millisecond.

    Raises
    ------
    AudioError
        If the codec is unknown, FFmpeg has no encoder for it, or the encoder fails.
    """
    if codec not in CODECS:
        raise AudioError(f"codec {codec!r}: unknown; choose one of {', '.join(CODECS)}")
    if not can_encode(codec):
        raise AudioError(
            f"codec {codec!r}: FFmpeg has no encoder {CODECS[codec].encoder} here; choose another codec or "
            "reinstall PyAV from its wheel"
        )
    if not len(samples):
        return np.zeros(0, np.float32)
    spec = CODECS[codec]
    try:
        decoded = load_audio(io.BytesIO(_encode(samples, spec, bit_rate or spec.bit_rate)))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise AudioError(f"codec {codec!r}: cannot encode ({error}); choose another bit rate") from error
    decoded = decoded[spec.delay : spec.delay + len(samples)]
    return np.pad(decoded, (0, len(samples) - len(decoded)))


def _encode(samples: NDArray[np.float32], spec: Codec, bit_rate: int) -> bytes:
    """Encode samples, followed by silence for the codec's delay."""
    padded = np.concatenate([np.clip(samples, -1.0, 1.0), np.zeros(SAMPLE_RATE // 10, np.float32)])
    file = io.BytesIO()
    with av.open(file, "w", format=spec.container) as out:
        stream: Any = out.add_stream(
            spec.encoder, rate=spec.sample_rate, layout="mono", options=dict(spec.options)
        )
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=spec.sample_rate
        )
        frame = av.AudioFrame.from_ndarray(padded[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return file.getvalue()
