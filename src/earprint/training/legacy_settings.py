"""Read the settings of older runs: other names, and one flat table of all distortions."""

from collections.abc import Mapping
from typing import Any

from earprint.training.augmentation import Augmentations

OLD_DEFAULTS: Mapping[str, Any] = {
    "snr_db": (-4.0, 20.0), "measured": 0.25, "simulated": 0.25, "device": 0.25, "second_noise": 0.3,
    "band_limit": 0.35, "clip": 0.1, "mask": 0.2, "speed": 0.15, "speed_range": 0.04, "pace": 0.4,
    "pace_range": 0.18, "medley": 0.25, "medley_db": 9.0, "noise_pace": 0.5, "noise_pace_range": 0.35,
    "noise_tilt": 0.5, "noise_tilt_db": 4.0, "noise_colour": 0.5, "noise_colour_db": 4.0, "colour": 0.3,
    "colour_db": 2.5, "room_pace": 0.5, "room_pace_range": 0.2, "room_shape": 0.5,
    "room_decay_db": (-40.0, 15.0), "room_tail_db": 6.0, "shift_s": 0.022, "gain_db": (-30.0, 3.0),
    "noise_with_response": 1.0, "codec": 0.5, "call": 0.15, "quietest": 1e-6,
}  # fmt: skip
"""Values of those settings that a table does not hold."""


NEW_NAMES: Mapping[str, str] = {
    "pieces": "n_subquantizers", "bank": "memory_bank_size", "alignment": "alignment_weight",
}  # fmt: skip
"""Current names of renamed settings, by the old name."""


def current_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a run's configuration, as plain values, to the names that settings have now.

    Parameters
    ----------
    config : mapping
        As a run of this or of an older version of earprint stored it. Older ones hold all distortions as one
        flat table ``distortions``, and their clean anchors had ``cross`` negatives.

    Returns
    -------
    dict
        Fields of `earprint.training.config.TrainConfig`; those of a current run are unchanged.
    """
    out = {NEW_NAMES.get(name, name): value for name, value in config.items()}
    if "augmentation" not in out:
        augmentations, out["min_clip_power"] = read_flat(out.pop("distortions", {}))
        out["augmentation"] = augmentations.to_dict()
        out.setdefault("negatives", "cross")
    return out


def read_flat(flat: Mapping[str, Any]) -> tuple[Augmentations, float]:
    """Augmentations, and the smallest mean square of a clip, from flat settings."""
    old = {**OLD_DEFAULTS, **flat}
    room = old["measured"] + old["simulated"]
    ranges = ("speed_range", "pace_range", "noise_pace_range", "room_pace_range")
    rates = {name: (round(1 - old[name], 9), round(1 + old[name], 9)) for name in ranges}
    augmentations = Augmentations().disabled().updated(
        shift={"probability": 1.0, "offset_s": _both_ways(old["shift_s"])},
        codec_query={"probability": old["call"]},
        playback_rate={"probability": old["pace"], "rate": rates["pace_range"]},
        query_speed={"probability": old["speed"], "rate": rates["speed_range"]},
        codec_twin={"probability": old["codec"]},
        background_music={"probability": old["medley"], "gain_db": (-old["medley_db"], 0.0)},
        room={
            "probability": min(1.0, room),
            "simulated_share": old["simulated"] / room if room else 0.5,
            "scale_probability": old["room_pace"], "scale_rate": rates["room_pace_range"],
            "decay_probability": old["room_shape"], "decay_db_per_s": tuple(old["room_decay_db"]),
            "tail_probability": old["room_shape"], "tail_db": _both_ways(old["room_tail_db"]),
        },
        device={"probability": old["device"]},
        band_limit={"probability": old["band_limit"]},
        equalizer={"probability": old["colour"], "terms_db": _both_ways(old["colour_db"])},
        noise_tilt={"probability": old["noise_tilt"], "db_per_octave": _both_ways(old["noise_tilt_db"])},
        noise_equalizer={"probability": old["noise_colour"], "terms_db": _both_ways(old["noise_colour_db"])},
        noise={
            "probability": 1.0, "probability_with_response": old["noise_with_response"],
            "snr_db": tuple(old["snr_db"]), "second_probability": old["second_noise"],
            "rate_probability": old["noise_pace"], "rate": rates["noise_pace_range"],
        },
        clipping={"probability": old["clip"]},
        level={"probability": 1.0, "gain_db": tuple(old["gain_db"])},
        spec_mask={"probability": old["mask"]},
    )  # fmt: skip
    return augmentations, old["quietest"]


def _both_ways(most: float) -> tuple[float, float]:
    return -most, most
