"""Conditions: how an excerpt is distorted before it is identified.

A condition is one class here. It says what material it needs, turns a drawn excerpt into the record of a
query, and makes audio of such a record. To add one, write a subclass of `Condition`, decorate it with
``@register``, and add a line to the list in `earprint.cli.evaluate_help`.
docs/how-to/add-a-condition-or-peer.md has an example.

Distortions come in this order: speed, room, noise, device, telephone band, codec. A signal-to-noise ratio
(SNR) holds over the excerpt and is set after reverberation. A room's response applies to excerpt and noise
alike (paper, section 3.4).
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar

import numpy as np

from earprint.audio.codec_simulation import available_codec, round_trip
from earprint.dsp.filters import phone_band
from earprint.dsp.reverberation import reverberate
from earprint.dsp.snr import add_noise
from earprint.errors import AudioError
from earprint.evaluation.excerpts import MARGIN_S, Excerpt, cut
from earprint.evaluation.material import Audio, load_response, looped_noise
from earprint.evaluation.query import Query

PHONE_SNR_DB: Final = 10.0
"""SNR of the phone condition, in dB."""

PHONE_CODECS: Final = ("opus", "amr", "mp3")
"""Codecs of the phone condition. The first one that FFmpeg can encode here is used."""

PHONE_PEAK: Final = 0.5
"""Peak at which a telephone's automatic gain sends audio to its codec; 1 is full scale."""

SILENT_NOISE_MEAN_SQUARE: Final = 1e-12
"""Noises with less power (-120 dB of full scale) give no SNR."""


@dataclass(frozen=True)
class Condition:
    """A way to distort excerpts; this base class leaves them as they are.

    Parameters
    ----------
    level : float or None
        The one number that the condition depends on; None if there is none.

    Attributes
    ----------
    name : str
        On the command line.
    label : str
        How titles in tables begin.
    needs : tuple of str
        Fields of `Material` that must not be empty.
    level_name : str or None
        What the level is, with its unit. None for conditions without a level.
    level_option : str or None
        Command-line option that gives levels.
    default_levels : tuple of float
        Levels where neither that option nor ``--condition NAME=LEVEL`` gives any.
    level_range : (float, float)
    """

    level: float | None = None

    name: ClassVar[str] = "other"
    label: ClassVar[str] = "other"
    needs: ClassVar[tuple[str, ...]] = ()
    level_name: ClassVar[str | None] = None
    level_option: ClassVar[str | None] = None
    default_levels: ClassVar[tuple[float, ...]] = ()
    level_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    @property
    def title(self) -> str:
        """Name in tables and manifests, such as ``noise 10 dB``."""
        return self.label if self.level is None else f"{self.label} {self.level:g} dB"

    @property
    def speed(self) -> float:
        """Seconds of the recording that one second of the query takes."""
        return 1.0

    def apply(self, excerpt: Excerpt) -> Query:
        """Return the record of a query: the excerpt under this condition."""
        return Query(
            excerpt.path,
            excerpt.start_s,
            excerpt.length_s,
            condition=self.title,
            snr_db=None,
            noise=None,
            noise_start_s=excerpt.noise_start_s,
            room=None,
            phone=False,
            present=excerpt.present,
        )

    @classmethod
    def cut(cls, recording: Audio, query: Query) -> tuple[Audio, Audio]:
        """Cut a query's excerpt and its past out of a recording; see `earprint.evaluation.excerpts.cut`."""
        return cut(recording, query.start_s, query.length_s, query.speed)

    @classmethod
    def distort(cls, query: Query, excerpt: Audio, past: Audio) -> Audio:
        """Apply what a query's record says: room, noise, device, telephone band, codec.

        Parameters
        ----------
        query : Query
        excerpt : ndarray of float32, shape (n,)
        past : ndarray of float32, shape (p,)
            What sounds before the excerpt.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        AudioError
            If a noise or response cannot be decoded or is silent, or if FFmpeg lacks the codec.
        """
        response = load_response(query.room) if query.room else None
        if response is not None:
            excerpt = reverberate(excerpt, response, past=past)
        if query.noise is not None and query.snr_db is not None:
            noise = looped_noise(query.noise, query.noise_start_s, len(past) + len(excerpt))
            before, noise = noise[: len(past)], noise[len(past) :]
            if np.mean(noise**2) < SILENT_NOISE_MEAN_SQUARE:
                raise AudioError("its part of the noise is silent")
            if response is not None:
                noise = reverberate(noise, response, past=before)
            excerpt = add_noise(excerpt, noise, query.snr_db)
        if query.device is not None:
            excerpt = reverberate(excerpt, load_response(query.device))
        if query.phone:
            excerpt = phone_band(excerpt)
        if query.codec is not None:
            peak = np.float32(np.abs(excerpt).max())
            gain = np.float32(PHONE_PEAK) / peak if peak > 0 else np.float32(1)
            excerpt = round_trip(excerpt * gain, query.codec)
        return excerpt


CONDITIONS: dict[str, type[Condition]] = {}
"""Conditions by their names, in the order of tables."""

AnyCondition = TypeVar("AnyCondition", bound=type[Condition])


def register(condition: AnyCondition) -> AnyCondition:
    """Make a condition known under its name."""
    CONDITIONS[condition.name] = condition
    return condition


@register
class Clean(Condition):
    """The excerpt as it is."""

    name = label = "clean"


@register
class Noise(Condition):
    """A noise is added at an SNR."""

    name = label = "noise"
    needs: ClassVar[tuple[str, ...]] = ("noises",)
    level_name = "SNR in dB"
    level_option = "--snr"
    default_levels = (10.0,)

    def apply(self, excerpt: Excerpt) -> Query:
        """Add the excerpt's noise at the SNR."""
        return replace(super().apply(excerpt), snr_db=self.level, noise=excerpt.noise)


@register
class Room(Condition):
    """The excerpt is played in a room."""

    name = label = "room"
    needs: ClassVar[tuple[str, ...]] = ("rooms",)

    def apply(self, excerpt: Excerpt) -> Query:
        """Add the excerpt's room."""
        return replace(super().apply(excerpt), room=excerpt.room, rt60_s=excerpt.rt60_s)


@register
class RoomNoise(Room, Noise):
    """Excerpt and noise are played in the same room."""

    name = "room-noise"
    label = "room + noise"
    needs: ClassVar[tuple[str, ...]] = ("noises", "rooms")


@functools.cache
def _phone_codec() -> str | None:
    return available_codec(PHONE_CODECS)


@register
class Phone(Condition):
    """Room and noise, recorded by a device and sent through a telephone's band and codec."""

    name = label = "phone"
    needs: ClassVar[tuple[str, ...]] = ("noises", "rooms")

    def apply(self, excerpt: Excerpt) -> Query:
        """Add room, noise, device, band and codec."""
        inside = RoomNoise(PHONE_SNR_DB).apply(excerpt)
        return replace(inside, condition=self.title, device=excerpt.device, phone=True, codec=_phone_codec())


@register
class Device(Condition):
    """The excerpt is recorded by a device."""

    name = label = "device"
    needs: ClassVar[tuple[str, ...]] = ("devices",)

    def apply(self, excerpt: Excerpt) -> Query:
        """Add the excerpt's device."""
        return replace(super().apply(excerpt), device=excerpt.device)


@register
class Speed(Condition):
    """The excerpt is played faster or slower, pitch included."""

    name = label = "speed"
    level_name = "factor"
    level_option = "--speed"
    level_range = (0.5, 2.0)

    @property
    def title(self) -> str:
        """Name in tables, such as ``speed x 1.03``."""
        return f"{self.label} x {self.level:g}"

    @property
    def speed(self) -> float:
        """The factor."""
        return self.level or 1.0

    def apply(self, excerpt: Excerpt) -> Query:
        """Play the excerpt at the speed. A faster one takes more audio and may have to begin earlier."""
        latest_s = excerpt.duration_s - self.speed * excerpt.length_s - MARGIN_S
        start_s = max(0.0, min(excerpt.start_s, latest_s)) if self.speed > 1 else excerpt.start_s
        return replace(super().apply(excerpt), start_s=start_s, speed=self.speed)


@register
class Speech(Condition):
    """Somebody speaks over the excerpt. The level is that of the music over the speech."""

    name = label = "speech"
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    level_name = "music-to-speech ratio in dB"
    default_levels = (-6.0,)

    def apply(self, excerpt: Excerpt) -> Query:
        """Add the excerpt's speech at the ratio."""
        return replace(
            super().apply(excerpt),
            snr_db=self.level,
            noise=excerpt.speech,
            noise_start_s=excerpt.speech_start_s,
        )


def condition_class(title: str) -> type[Condition]:
    """Return the class of a condition from its title, which may go on after a comma or a level.

    Titles of conditions that this version does not know give `Condition`: their queries can still be
    rendered from their records.
    """
    fitting = [
        kind
        for kind in CONDITIONS.values()
        if title == kind.label or title.startswith((f"{kind.label} ", f"{kind.label},"))
    ]
    return max(fitting, key=lambda kind: len(kind.label), default=Condition)


def snr_of(title: str) -> float:
    """Return the SNR of a title such as ``noise 10 dB``, in dB."""
    return float(title.removesuffix(" dB").rpartition(" ")[2])
