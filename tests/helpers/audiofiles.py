"""Write audio files of many formats, whole and damaged, for the tests.

Everything is made on the spot with PyAV's encoders and the standard library's `wave`. Signals are
float arrays of shape (n,) or (n, channels) with full scale at 1.
"""

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from earprint.audio.wav import write_float_wav

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}

CODECS = {
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".ogg": "vorbis",
    ".opus": "libopus",
    ".m4a": "aac",
    ".mp4": "aac",
    ".mkv": "aac",
    ".webm": "libopus",
    ".wav": "pcm_s16le",
    ".aac": "aac",
    ".ts": "aac",
}


def sine(freq_hz=440.0, duration_s=3.0, rate=44_100, level=0.5):
    """A sine that fades over 50 ms at both ends, shape (n,)."""
    t = np.arange(round(duration_s * rate)) / rate
    fade = np.clip(np.minimum(t, duration_s - t) / 0.05, 0, 1)
    return level * fade * np.sin(2 * np.pi * freq_hz * t)


def click(at_s, duration_s=3.0, rate=44_100, level=0.8):
    """A Gaussian-windowed 1 kHz burst of about 2 ms whose peak lies at `at_s`, shape (n,)."""
    t = np.arange(round(duration_s * rate)) / rate - at_s
    return level * np.exp(-((t / 0.001) ** 2)) * np.cos(2 * np.pi * 1000 * t)


def encode(
    path: Path,
    signal,
    rate=44_100,
    codec: str | None = None,
    *,
    tags: dict[str, str] | None = None,
    keep: Callable[[int], bool] | None = None,
    corrupt: Callable[[int], bool] | None = None,
    video: bool = False,
    options: dict[str, str] | None = None,
    start_s: float = 0.0,
) -> Path:
    """Encode a signal; the extension picks container and codec.

    `keep(i)` False leaves packet i out, `corrupt(i)` True overwrites its bytes, `video` adds a video
    track, and `start_s` shifts all timestamps.
    """
    path = Path(path)
    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim == 1:
        signal = signal[:, np.newaxis]
    layout = LAYOUTS[signal.shape[1]]
    codec = codec or CODECS[path.suffix]
    options = dict(options or {})
    if codec == "libmp3lame":
        signal = signal / np.float32(0.95)  # LAME turns its input down by that
    if codec == "vorbis":
        options["strict"] = "-2"
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        stream = out.add_stream(codec, rate=rate, layout=layout, options=options)
        if not codec.startswith(("pcm", "flac", "alac")):
            stream.bit_rate = 64_000 * signal.shape[1]
        picture = _add_video(out) if video else None
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = round(start_s * rate)
        packets = [*stream.encode(frame), *stream.encode(None)]
        if picture is not None:
            _mux_video(out, picture)
        for i, packet in enumerate(packets):
            if keep is not None and not keep(i):
                continue
            if corrupt is not None and corrupt(i):
                bad = av.Packet(b"\xff" * packet.size)
                bad.pts, bad.dts = packet.pts, packet.dts
                bad.duration, bad.time_base, bad.stream = (
                    packet.duration,
                    packet.time_base,
                    packet.stream,
                )
                packet = bad
            out.mux(packet)
    return path


def _add_video(out):
    stream = out.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    return stream


def _mux_video(out, stream, n_frames=20):
    for i in range(n_frames):
        frame = av.VideoFrame(32, 32, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([i * 5 % 256]) * plane.buffer_size)
        frame.pts = i
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def video_only(path: Path) -> Path:
    """A video without sound, 2 s."""
    with av.open(str(path), "w") as out:
        _mux_video(out, _add_video(out))
    return Path(path)


def flac_with_cover(path: Path, signal, rate=44_100) -> Path:
    """A flac with an attached picture (PNG), which FFmpeg shows as a video track."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=rate, layout="mono")
        cover = out.add_stream("png", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        frame = av.AudioFrame.from_ndarray(
            np.asarray(signal, np.float32)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = rate, 0
        picture_packets = [*cover.encode(picture), *cover.encode(None)]
        packets = [*stream.encode(frame), *stream.encode(None)]
        for packet in [*picture_packets, *packets]:
            out.mux(packet)
    return Path(path)


def wave_file(path: Path, signal, rate=44_100, width=2) -> Path:
    """Integer PCM by the standard library, `width` bytes a sample (1, 2, 3 or 4)."""
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim == 1:
        signal = signal[:, np.newaxis]
    full = 2.0 ** (8 * width - 1)
    whole = np.clip(np.round(signal * full), -full, full - 1).astype("<i4")
    if width == 1:
        data = (whole + 128).astype(np.uint8).tobytes()
    else:
        data = whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    with wave.open(str(path), "wb") as out:
        out.setnchannels(signal.shape[1])
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(data)
    return Path(path)


def float_wave(path: Path, values, rate=16_000) -> Path:
    """A wav of 32-bit floats: keeps NaN and values beyond full scale."""
    write_float_wav(path, values, rate)
    return Path(path)


def truncate(path: Path, share: float) -> Path:
    """Keep the first `share` of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def flip_bits(path: Path, n_flips: int, *, skip=8192, seed=0) -> Path:
    """Flip random bits of a file but for `skip` bytes at either end (headers, indexes)."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(skip, len(data) - skip, n_flips):
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))
    return path
