"""Makes a store: decodes every file once, checks it, and writes samples that training maps into memory.

Music and noise become int16 with their peak at `PEAK`. Impulse responses become float32 with a peak of 1 and
the direct sound at sample 0. A share of the music may get a coded twin: the same recording after a round trip
through a low-rate codec, as in a phone call, a voice message or a weak broadcast. Codecs work on files, not
in batches on a GPU, so this is done once. (In reality the codec comes last, after room and noise. Here it
codes the clean music.)

Files may be decoded in several processes; the store does not depend on their number.

A pack is written beside the old one and then replaces it. An interruption leaves the old one.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.audio import find_audio_files, load_audio
from earprint.audio.codec_simulation import CODECS, can_encode, round_trip
from earprint.audio.files import survey
from earprint.constants import SAMPLE_RATE
from earprint.dsp.reverberation import align_direct_sound
from earprint.errors import AudioError, TrainingError
from earprint.parallel.cores import process_count
from earprint.parallel.ordered_map import ordered_map
from earprint.training.packed_audio import Item, Pack, open_pack

PEAK = 32_000
"""Largest absolute sample of a packed recording; int16 ends at 32,767."""

GROUP_MARK = "__"
"""``source__name.ext`` belongs to the group ``source``."""

BIT_RATES = {"opus": (6_000, 8_000, 12_000, 16_000), "amr": (4_750, 7_950, 12_200), "mp3": (8_000, 16_000)}
"""Bit rates of coded twins in bit/s, by codec."""

FILES_PER_PROCESS = 8
"""Files for each process, at least. Starting a process takes as long as decoding so many."""

OnFile = Callable[[Path, str | None], None]
"""Called with every file that is done, and the reason if it was left out."""


@dataclass(frozen=True)
class Recording:
    """One recording to pack: samples of the store's dtype, and its coded twin if it has one; see `Item`."""

    name: str
    group: str
    samples: NDArray[np.generic]
    twin: NDArray[np.generic] | None = None
    at: int | None = None


def _ignore(path: Path, problem: str | None) -> None:
    pass


def count_files(folders: Iterable[Path], kind: str) -> int:
    """Number of files that `pack_audio` or `pack_rooms` will read.

    Raises
    ------
    TrainingError
        If there are none. Checked before hours of decoding.
    """
    listed = list(folders)
    try:
        count = sum(1 for _ in find_audio_files(listed))
    except AudioError as error:
        raise TrainingError(f"{kind}: {error}") from error
    if listed and not count:
        names = ", ".join(map(str, listed))
        raise TrainingError(f"{kind}: no audio files in {names}; name another folder")
    return count


def group_of(path: Path, folder: Path) -> str:
    """Group of a file: the part of its name before ``__``, else its subfolder, else the file itself."""
    source, mark, _ = path.name.partition(GROUP_MARK)
    if mark:
        return source
    parent = path.parent.relative_to(folder).as_posix() if path.parent.is_relative_to(folder) else "."
    return path.stem if parent == "." else parent


def pack_audio(
    folders: Iterable[Path],
    out: Path,
    kind: str,
    *,
    on_file: OnFile = _ignore,
    coded_share: float = 0.0,
    seed: int = 1,
    jobs: int = 1,
    files_per_process: int = FILES_PER_PROCESS,
) -> Pack:
    """Decode every audio file under some folders into the store.

    Parameters
    ----------
    folders : iterable of Path
    out : Path
        The store's folder; created if it does not exist.
    kind : str
        Name of the pack in the store, ``music`` or ``noise``.
    on_file : callable
    coded_share : float
        Share of the recordings that get a coded twin, 0 to 1.
    seed : int
        Seed of their choice, their codecs and bit rates.
    jobs : int
        Processes that decode; 0 is one for each core, 1 is this process. Twins are made in this process.
    files_per_process : int
        Files for each process, at least.

    Returns
    -------
    Pack

    Raises
    ------
    TrainingError
        If no file can be decoded, or ``coded_share`` is above 0 and FFmpeg cannot encode any codec here.
    """
    rng = np.random.default_rng(seed)
    codecs = [name for name in CODECS if can_encode(name)] if coded_share > 0 else []
    if coded_share > 0 and not codecs:
        raise TrainingError("coded twins: FFmpeg has no encoder for them here; leave out --codecs")

    def recordings() -> Iterator[Recording]:
        for path, name, group, audio in _decode_all(folders, on_file, jobs, files_per_process):
            scaled = audio * np.float32(PEAK / 32_768 / np.abs(audio).max())
            twin = None
            if rng.random() < coded_share:
                codec = codecs[rng.integers(len(codecs))]
                try:
                    twin = _int16(round_trip(scaled, codec, int(rng.choice(BIT_RATES[codec]))))
                except AudioError as error:
                    on_file(path, f"{path}: packed without a coded twin ({error})")
            yield Recording(name, group, _int16(scaled), twin)

    return write_pack(recordings(), out, kind, "int16")


def pack_rooms(
    folders: Iterable[Path],
    simulated: Iterable[NDArray[np.float32]],
    out: Path,
    *,
    on_file: OnFile = _ignore,
    jobs: int = 1,
    files_per_process: int = FILES_PER_PROCESS,
) -> Pack:
    """Pack measured and simulated responses as the store's ``rooms``, peak 1, direct sound at 0.

    Parameters
    ----------
    folders : iterable of Path
        With subfolders ``room`` and ``device``.
    simulated : iterable of ndarray
        They become the category ``simulated``, each in a group of its own.
    out : Path
    on_file : callable
    jobs : int
        Processes that decode; 0 is one for each core, 1 is this process.
    files_per_process : int
        Files for each process, at least.

    Raises
    ------
    TrainingError
        If there is no response at all.
    """

    def responses() -> Iterator[Recording]:
        for _, name, group, audio in _decode_all(folders, on_file, jobs, files_per_process):
            yield Recording(name, group, align_direct_sound(audio / np.abs(audio).max()))
        for number, response in enumerate(simulated):
            yield Recording(f"simulated/{number:05d}", f"simulated-{number:05d}", response)

    return write_pack(responses(), out, "rooms", "float32")


def _int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.round(audio * 32_768), -32_768, 32_767).astype(np.int16)


def _decode_all(
    folders: Iterable[Path], on_file: OnFile, jobs: int, files_per_process: int
) -> Iterator[tuple[Path, str, str, NDArray[np.float32]]]:
    found = [(folder, path, problem) for folder in folders for path, problem in survey([folder])]
    files = [path for _, path, problem in found if problem is None]
    jobs = max(1, min(process_count(jobs), len(files) // files_per_process))
    with closing(ordered_map(_decoder, files, jobs, _process_died)) as results:
        for folder, path, problem in found:
            if problem is not None:
                on_file(path, str(problem))
                continue
            audio = next(results)
            if isinstance(audio, str):
                on_file(path, audio)
                continue
            name = path.relative_to(folder).as_posix() if path != folder else path.name
            yield path, name, group_of(path, folder), audio
            on_file(path, None)


def _decoder() -> Callable[[Path], NDArray[np.float32] | str]:
    return _decode


def _decode(path: Path) -> NDArray[np.float32] | str:
    """Samples of a file, or the reason why there are none."""
    try:
        audio = load_audio(path)
    except AudioError as error:
        return str(error)
    return audio if audio.any() else f"{path}: silent throughout; left out"


def _process_died(path: Path) -> str:
    return f"{path}: the process that decoded it died twice; left out"


def write_pack(recordings: Iterable[Recording], out: Path, kind: str, dtype: str) -> Pack:
    """Write recordings into a store one by one, and open the new pack.

    Raises
    ------
    TrainingError
        If there are none.
    """
    out.mkdir(parents=True, exist_ok=True)
    items: list[Item] = []
    position = 0
    raw, index = out / f"{kind}.raw", out / f"{kind}.json"
    with Path(f"{raw}.tmp").open("wb") as sink:
        for recording in recordings:
            length = len(recording.samples)
            recording.samples.astype(dtype).tofile(sink)
            twin = None
            if recording.twin is not None:
                recording.twin.astype(dtype).tofile(sink)
                twin = position + length
            items.append(Item(recording.name, recording.group, position, length, twin, recording.at))
            position += length if twin is None else 2 * length
    if not items:
        Path(f"{raw}.tmp").unlink()
        raise TrainingError(f"{kind}: no usable audio in the folders given; check their paths")
    described = {
        "dtype": dtype,
        "sample_rate_hz": SAMPLE_RATE,
        "items": [asdict(item) for item in items],
    }
    Path(f"{index}.tmp").write_text(json.dumps(described), encoding="utf-8")
    Path(f"{raw}.tmp").replace(raw)
    Path(f"{index}.tmp").replace(index)
    return open_pack(out, kind)
