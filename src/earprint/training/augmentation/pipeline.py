"""The augmentations of a run, as one setting: which there are, with which probabilities and ranges."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from earprint.errors import TrainingError
from earprint.training.augmentation.base import Augmentation, registered
from earprint.training.settings import read_settings, toml_key


def _defaults() -> Mapping[str, Augmentation]:
    return {cls.name: cls() for cls in registered()}


@dataclass(frozen=True)
class Augmentations:
    """Augmentations by name, in the order in which they are drawn and applied.

    Attributes
    ----------
    by_name : mapping of str to Augmentation
        All registered ones with their default settings, if not given. One that is missing is not applied.

    Examples
    --------
    >>> augmentations = Augmentations().updated(noise={"snr_db": (0.0, 10.0)}, clipping={"probability": 0.0})
    >>> augmentations["noise"].snr_db
    (0.0, 10.0)
    """

    by_name: Mapping[str, Augmentation] = field(default_factory=_defaults)

    def __post_init__(self) -> None:
        order = sorted(self.by_name.items(), key=lambda item: (item[1].stage, item[1].draw_order, item[0]))
        object.__setattr__(self, "by_name", dict(order))

    def __getitem__(self, name: str) -> Any:
        """The settings of one augmentation."""
        return self.by_name[name]

    def __iter__(self) -> Iterator[Augmentation]:
        """All augmentations, in order."""
        return iter(self.by_name.values())

    def updated(self, **changes: Mapping[str, Any]) -> "Augmentations":
        """Change some fields of some augmentations, each given by its name as a mapping.

        Raises
        ------
        TrainingError
            If a value is not allowed.
        """
        changed = {name: replace(self.by_name[name], **values) for name, values in changes.items()}
        return Augmentations({**self.by_name, **changed})

    def disabled(self) -> "Augmentations":
        """The same with all probabilities 0."""
        return Augmentations({name: augmentation.disabled() for name, augmentation in self.by_name.items()})

    @classmethod
    def noise_only(cls, snr_db: tuple[float, float], **others: Mapping[str, Any]) -> "Augmentations":
        """One noise at some ratio, a time offset and a level, and nothing else but what ``others`` set.

        Parameters
        ----------
        snr_db : tuple of float
            Range of the signal-to-noise ratio in dB.
        **others : mapping
            As in `updated`.
        """
        kept = {"shift": {"probability": 1.0}, "level": {"probability": 1.0}}
        noise = {"probability": 1.0, "probability_with_response": 1.0, "snr_db": snr_db}
        changes: dict[str, Mapping[str, Any]] = {**kept, "noise": noise}
        for name, values in others.items():
            changes[name] = {**changes.get(name, {}), **values}
        return cls().disabled().updated(**changes)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """All settings as plain values: by augmentation, by field."""
        return {name: asdict(augmentation) for name, augmentation in self.by_name.items()}

    def updated_from(self, tables: Mapping[str, Any]) -> "Augmentations":
        """Change fields as parsed TOML or JSON gives them, by augmentation and field.

        Raises
        ------
        TrainingError
            If an augmentation or a field is unknown, or a value is not allowed.
        """
        changes = {}
        for name, table in tables.items():
            key = f"augmentation.{toml_key(name)}"
            if name not in self.by_name:
                names = ", ".join(self.by_name)
                raise TrainingError(f"{key}: unknown augmentation; use one of {names}")
            if not isinstance(table, Mapping):
                raise TrainingError(f"{key}: must be a table, [{key}]")
            augmentation = self.by_name[name]
            limits = augmentation.all_limits()
            changes[name] = read_settings(type(augmentation), table, limits, f"{key}.")
        return self.updated(**changes)


def paper_augmentations() -> Augmentations:
    """Noise, reverberation, or both, a third each (paper, section 2.2, and its notes)."""
    return Augmentations.noise_only(
        (0.0, 25.0),
        room={"probability": 2 / 3},
        noise={"probability_with_response": 0.5},
        shift={"offset_s": (-0.04, 0.04)},
        level={"probability": 0.0},
    )
