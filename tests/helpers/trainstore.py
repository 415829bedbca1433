"""Make small stores for the tests of training: wav files of own music, noises and rooms, packed."""

import numpy as np

from earprint.audio.wav import write_wav
from earprint.dsp.reverberation import synthetic_rir
from earprint.dsp.synthetic_noise import babble_noise, pink_noise
from earprint.synth.composer import compose
from earprint.training.packed_audio import Item, Pack, in_validation
from earprint.training.packing import pack_audio, pack_rooms


def groups(count, percent, *, held_out):
    """Names of groups that are, or are not, held out at some percentage."""
    names = (f"g{number}" for number in range(100_000))
    fitting = (name for name in names if in_validation(name, percent) == held_out)
    return [next(fitting) for _ in range(count)]


def write_files(folder, *, tracks=8, held_out=0, percent=8, duration_s=6.0):
    """Wav files under music/, noise/ and rooms/; `held_out` more of each that validation gets."""
    for kind in ("music", "noise/pink", "noise/crowd", "rooms/room", "rooms/device"):
        (folder / kind).mkdir(parents=True)
    names = groups(tracks, percent, held_out=False) + groups(held_out, percent, held_out=True)
    for number, name in enumerate(names):
        write_wav(folder / "music" / f"{name}__piece.wav", compose(number, duration_s))
        if tracks - 2 <= number < tracks + held_out:
            write_wav(folder / "noise" / "pink" / f"{name}__a.wav", 0.2 * pink_noise(40_000, number))
            write_wav(folder / "noise" / "crowd" / f"{name}__b.wav", 0.2 * babble_noise(40_000, number))
            write_wav(folder / "rooms" / "room" / f"{name}__r.wav", 0.9 * synthetic_rir(0.3, number))
            write_wav(folder / "rooms" / "device" / f"{name}__d.wav", 0.9 * synthetic_rir(0.05, number))
    return folder


def make_store(folder, **options):
    """A packed store of `write_files`."""
    files = write_files(folder / "files", **options)
    store = folder / "store"
    pack_audio([files / "music"], store, "music")
    pack_audio([files / "noise"], store, "noise")
    pack_rooms([files / "rooms"], [], store)
    return store


def pack_of(recordings, dtype=np.int16, names=None):
    """A pack in memory of arrays, each a group of its own unless its name says otherwise."""
    names = names or [f"{number}" for number in range(len(recordings))]
    starts = np.cumsum([0, *(len(samples) for samples in recordings)])
    items = [
        Item(name, name, int(start), len(samples))
        for name, start, samples in zip(names, starts, recordings, strict=False)
    ]
    return Pack(np.concatenate(recordings).astype(dtype), items)
