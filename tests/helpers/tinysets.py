"""Tiny folders laid out as the published data sets are, and their recipes with counts to match."""

import csv
import functools
import hashlib
from dataclasses import replace

import numpy as np

from earprint.datasets.sets import RECIPES
from helpers import audiofiles

RATES = {"air": 48_000, "etsi": 48_000, "mit-ir": 32_000, "nafp": 8_000}
"""Rate of the tiny files of a set, in Hz, where it is not 16 kHz."""

FILES = {
    "openslr28": [
        *(f"RIRS_NOISES/pointsource_noises/noise-free-sound-{n:04d}.wav" for n in range(3)),
        "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav",
        "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav",
        "RIRS_NOISES/real_rirs_isotropic_noises/RWCP_type2_rir_cirline_e2a_imp090.wav",
        "RIRS_NOISES/real_rirs_isotropic_noises/air_type1_air_binaural_office_0_1.wav",
        "RIRS_NOISES/real_rirs_isotropic_noises/air_type1_air_phone_office_hhp.wav",
        *(
            f"RIRS_NOISES/simulated_rirs/{size}room/Room001/Room001-0000{n}.wav"
            for size in ("small", "medium", "large")
            for n in (1, 2)
        ),
    ],
    "etsi": [
        "Binaural_Signals/Pub_Noise_Binaural_V2.wav",
        "Binaural_Signals/Living_Room_binaural ( 0.00-30.00 s).wav",
        "Binaural_Signals/Cafeteria_Noise_binaural ( 0.00-30.00 s).wav",
        "Binaural_Signals/Midsize_Car1_100Kmh_binaural ( 0.00-30.00 s).wav",
        "Binaural_Signals/workplace/Machines_binaural.wav",
        "Binaural_Signals/Outside_Traffic_Road_binaural ( 0.00-30.00 s).wav",
        "Binaural_Signals/Train_Station_binaural ( 0.00-30.00 s).wav",
        "Binaural_Signals/Nature2_Creek_binaural ( 0.00-30.00 s).wav",
    ],
    "air": [
        "AIR_1_4/air_binaural_booth_0_1_1.mat",
        "AIR_1_4/air_binaural_booth_1_1_1.mat",
        "AIR_1_4/air_binaural_aula_carolina_0_1_3_90_3.mat",
        "AIR_1_4/air_phone_bt_office_hhp_0.mat",
    ],
    "musan": [
        *(f"musan/music/fma/music-fma-{n:04d}.wav" for n in range(3)),
        *(f"musan/speech/librivox/speech-librivox-{n:04d}.wav" for n in range(2)),
        *(f"musan/noise/free-sound/noise-free-sound-{n:04d}.wav" for n in range(8)),
    ],
    "mit-ir": [f"Audio/h{n:03d}_Bedroom_{n}txts.wav" for n in range(10, 18)],
    "nafp": [
        "neural-audio-fp-dataset/music/train-10k-30s/000/000002.wav",
        "neural-audio-fp-dataset/music/train-10k-30s/000/000003.wav",
        "neural-audio-fp-dataset/music/test-query-db-500-30s/db/000/000010.wav",
        "neural-audio-fp-dataset/music/test-query-db-500-30s/query/000/000010.wav",
        "neural-audio-fp-dataset/music/val-query-db-500-30s/db/000/000020.wav",
        "neural-audio-fp-dataset/music/test-dummy-db-100k-full/000/000030.wav",
        "neural-audio-fp-dataset/aug/bg/tr/cafe/1.wav",
        "neural-audio-fp-dataset/aug/bg/ts/cafe/1.wav",
        "neural-audio-fp-dataset/aug/ir/tr/room/1.wav",
        "neural-audio-fp-dataset/aug/ir/tr/microphones/1.wav",
        "neural-audio-fp-dataset/aug/ir/ts/room/1.wav",
    ],
}
"""Files of each set but FMA, all of them needed."""

COUNTS = {
    "openslr28": {"isotropic noises": 1, "real responses": 4},
    "air": {"binaural .mat": 3, "phone .mat": 1},
    "musan": {"music": 3, "speech": 2, "noise": 8},
    "mit-ir": {"responses": 8},
    "nafp": {"train": 2, "test db": 1, "test queries": 1, "validation": 1},
    "fma": {"fma_large": 8, "fma_medium": 3, "fma_small": 1},
    "etsi": {},
}
"""Numbers of files in the tiny sets where the recipe has published ones."""

FMA_TRACKS = {
    # track: subset, artist, album
    2: ("small", "1", "1"),
    3: ("medium", "1", "1"),
    1004: ("medium", "2", "2"),
    5: ("large", "1", "9"),  # by an artist of the references
    1006: ("large", "3", "2"),  # from an album of the references
    7: ("large", "4", "4"),
    8: ("large", "4", "4"),
    133297: ("large", "5", "5"),  # empty as published
}
"""Tracks of the tiny FMA; the first three are fma_medium."""


@functools.cache
def tiny_recipe(name):
    """The recipe of a set, with the tiny set's counts and names."""
    recipe = RECIPES[name]
    parts = []
    for part in recipe.parts:
        if part.names is not None:
            root = recipe.roots[0] + "/"
            names = [n.removeprefix(root) for n in FILES[name]]
            true = set(part.names())
            names = [n for n in names if n in true]
            assert names
            part = replace(part, names=lambda names=names: names)
        parts.append(replace(part, count=COUNTS[name].get(part.name, part.count)))
    return replace(recipe, parts=tuple(parts))


def make(name, folder):
    """Lay a tiny set out; return its files, as paths below the folder."""
    if name == "fma":
        return make_fma(folder)
    for number, path in enumerate(FILES[name]):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        channels = 2 if name == "etsi" or "air_" in path else 1
        write(file, RATES.get(name, 16_000), channels, number)
    if name == "musan":
        text = "music-fma-0000 rock N The_Band\nmusic-fma-0001 rock Y The_Band\nmusic-fma-0002 folk N\n"
        (folder / "musan/music/fma/ANNOTATIONS").write_text(text)
    return list(FILES[name])


def write(file, rate, channels, seed):
    """A decaying noise of 0.3 s; the second channel is the first one turned round."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(0.3 * rate)) / rate
    first = 0.5 * rng.standard_normal(len(t)) * 10 ** (-3 * t / 0.4)
    first = np.clip(first, -0.99, 0.99)
    if file.suffix == ".mat":
        from scipy.io import savemat

        savemat(file, {"h_air": first[np.newaxis], "air_info": {"fs": rate, "room": "any"}})
    else:
        audiofiles.wave_file(file, np.stack([first, -first][:channels], axis=1), rate)


def make_fma(folder, tracks=FMA_TRACKS):
    """fma_large, fma_medium, fma_small and fma_metadata; the clips are bytes, nobody decodes them."""
    files = []
    subsets = {
        "fma_large": {"small", "medium", "large"},
        "fma_medium": {"small", "medium"},
        "fma_small": {"small"},
    }
    for part, wanted in subsets.items():
        (folder / part).mkdir(parents=True)
        sums = []
        for track, (subset, _, _) in tracks.items():
            if subset in wanted:
                path = f"{track // 1000:03d}/{track:06d}.mp3"
                (folder / part / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / part / path).write_bytes(f"clip {track}".encode())
                sums.append(f"{hashlib.sha1(f'clip {track}'.encode()).hexdigest()}  {path}")
                files.append(f"{part}/{path}")
        (folder / part / "checksums").write_text("\n".join([*sums, f"{'0' * 40}  README.txt"]) + "\n")
    metadata = folder / "fma_metadata"
    metadata.mkdir()
    with (metadata / "tracks.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", "album", "album", "artist", "set", "set"])
        rows.writerow(["", "id", "title", "id", "split", "subset"])
        rows.writerow(["track_id", "", "", "", "", ""])
        rows.writerows(
            [track, album, "a, b\nc", artist, "training", subset]
            for track, (subset, artist, album) in tracks.items()
        )
    digest = hashlib.sha1((metadata / "tracks.csv").read_bytes()).hexdigest()
    (metadata / "checksums").write_text(f"{digest}  tracks.csv\n{'1' * 40}  genres.csv\n")
    return [*files, "fma_metadata/tracks.csv"]
