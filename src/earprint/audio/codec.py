"""Through a low-rate codec and back, as a telephone call or a voice message sends audio.

The encoders are those that FFmpeg brings in PyAV's wheels. What they delay is taken out again, so that the
result lies in step with the input: Ogg and MP3 files say how much to skip and the decoder does; the
look-ahead of AMR is known. What the codec does to the sound stays: its band, its noise, its gain.
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
    """How FFmpeg is asked for a codec.

    Attributes
    ----------
    encoder, container : str
        FFmpeg's names.
    sample_rate : int
        Rate that it is given, in Hz.
    bit_rate : int
        Default, in bit/s.
    delay : int
        Samples at 16 kHz that its decoded audio lags behind, beyond what its container tells.
    options : tuple of (str, str)
        For the encoder.
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
    """Tell whether this machine's FFmpeg has the encoder of a codec of `CODECS`."""
    try:
        FFmpegCodec(CODECS[codec].encoder, "w")
    except (ValueError, av.error.FFmpegError):  # UnknownCodecError is a ValueError
        return False
    return True


def available_codec(names: Sequence[str] = tuple(CODECS)) -> str | None:
    """Name the first codec that can be encoded here, in the order given; None if there is none."""
    return next((name for name in names if can_encode(name)), None)


def round_trip(
    samples: NDArray[np.float32], codec: str = "opus", bit_rate: int | None = None
) -> NDArray[np.float32]:
    """Encode audio at a low rate and decode it again.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
        16 kHz mono; beyond full scale it is clipped, as a telephone would.
    codec : str
        A name in `CODECS`: ``opus``, ``amr`` (narrow band, 12.2 kbit/s at most), or ``mp3`` (at 8 kHz).
    bit_rate : int, optional
        In bit/s; the codec's default if None. The encoder takes the nearest that it has.

    Returns
    -------
    ndarray of float32, shape (n,)
        In step with the input, within a millisecond.

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
    how = CODECS[codec]
    try:
        decoded = load_audio(io.BytesIO(_encoded(samples, how, bit_rate or how.bit_rate)))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise AudioError(f"codec {codec!r}: cannot encode ({error}); choose another bit rate") from error
    decoded = decoded[how.delay : how.delay + len(samples)]
    return np.pad(decoded, (0, len(samples) - len(decoded)))


def _encoded(samples: NDArray[np.float32], how: Codec, bit_rate: int) -> bytes:
    """Encode samples, with silence after them that flushes the codec's delay."""
    padded = np.concatenate([np.clip(samples, -1.0, 1.0), np.zeros(SAMPLE_RATE // 10, np.float32)])
    file = io.BytesIO()
    with av.open(file, "w", format=how.container) as out:
        stream: Any = out.add_stream(
            how.encoder, rate=how.sample_rate, layout="mono", options=dict(how.options)
        )
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=how.sample_rate)
        frame = av.AudioFrame.from_ndarray(padded[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()
