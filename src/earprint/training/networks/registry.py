"""Registry of the networks: what training and export need to know of each.

Each module of this package registers its networks, and `earprint.training.networks` imports every module. So
a new network is one new file; ``docs/how-to/add-a-network.md`` shows one.

A network is a `torch.nn.Module`. Its ``forward`` takes the inputs of its kind and returns unit vectors:

- ``dense``: (batch, frames, 64) normalised log-mel frames to (batch, rows, dim), one row each 40 ms.
  ``rows`` is ``(frames - 147) // 4 + 1``; see `earprint.encoders.dense_geometry`.
- ``windowed``: (batch, 96, 64) log-mel segments in decibels to (batch, dim).

Optional members of a network:

- ``reference``, a property: the module that references go through, if it is not the network itself.
- ``load_initial_weights(weights)``: load the weights that ``--start-from`` names, if they are not simply the
  network's own.
- ``steps(x)`` and ``head(steps, every)``: lets the exported model compute every Nth row alone, see
  `earprint.training.strided_head`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from torch import nn

from earprint.constants import FINGERPRINT_DIM
from earprint.errors import TrainingError
from earprint.training.augmentation import paper_augmentations

EncoderKind = Literal["dense", "windowed"]
"""How an encoder runs a network: once over a whole recording, or on one 960 ms segment at a time."""

Role = Literal["both", "student", "query", "pair"]
"""Which of a network's parts are exported, and for which side of a comparison.

- ``both``: the network itself, for references and queries.
- ``student``: its part ``student``, for references and queries. It learned from a frozen teacher.
- ``query``: its part ``query``, for the queries of a model that exists. Its part ``reference`` is that model.
- ``pair``: its parts ``reference`` and ``query``, as a new model with a query network.
"""

KIND_SETTINGS: Final[dict[EncoderKind, dict[str, Any]]] = {
    "dense": {"query_beyond_steps": 12, "temperature": 0.05, "frozen_norm_share": 0.3},
    # The paper's: single segments, temperature 0.1, its augmentation and negatives. The paper's learning
    # rates are probably a misprint; this one lies in the range that works.
    "windowed": {
        "lengths_s": (1.0,), "temperature": 0.1, "learning_rate": 5e-4, "warmup_steps": 100,
        "ema_decay": 0.99, "negatives": "all", "min_clip_power": 1e-4,
        "augmentation": paper_augmentations(),
    },
}  # fmt: skip
"""Fields of `earprint.training.config.TrainConfig` that networks of a kind are trained with by default."""

Build = TypeVar("Build", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network and its capabilities.

    Attributes
    ----------
    name : str
        As in ``--network`` and in model cards.
    build : callable
        Called as ``build(dim=dim)``; returns the network with fresh weights.
    encoder : str
        ``dense`` or ``windowed``. It decides the input features and how an exported model is run.
    head_width : int
        Channels under the head, which are cut into one group for each component: ``dim`` must divide it.
    settings : mapping of str to object
        Fields of `earprint.training.config.TrainConfig` that differ from `KIND_SETTINGS`.
    channels_last : bool
        Whether a GPU runs it faster with channels last in memory. Layer norms over whole maps are slower.
    role : str
        Which parts are exported; see `Role`.
    initial_weights : str or None
        What ``--start-from`` must give the weights of; None if the network can learn from random weights.
    exported_as : str or None
        The network's name in the model card, if its exported parts are a network of another name.
    summary : str
        For `earprint train networks`; by default the first paragraph of the docstring of `build`.
    """

    name: str
    build: Callable[..., nn.Module]
    encoder: EncoderKind
    head_width: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    channels_last: bool = True
    role: Role = "both"
    initial_weights: str | None = None
    exported_as: str | None = None
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.summary:
            first_paragraph = (self.build.__doc__ or "").split("\n\n")[0]
            object.__setattr__(self, "summary", " ".join(first_paragraph.split()))

    @property
    def training_settings(self) -> dict[str, Any]:
        """The kind's default settings, updated by the network's own."""
        return {**KIND_SETTINGS[self.encoder], **self.settings}

    @property
    def card_name(self) -> str:
        """The network's name in the card of a model exported from it."""
        return self.exported_as or self.name


NETWORKS: Final[dict[str, NetworkSpec]] = {}
"""Every registered network by name."""


def register_network(
    name: str, *, encoder: EncoderKind, head_width: int, **capabilities: Any
) -> Callable[[Build], Build]:
    """Decorate a network class, or a function that builds one, to register it.

    Parameters
    ----------
    name, encoder, head_width
        See `NetworkSpec`.
    **capabilities
        The other fields of `NetworkSpec`.

    Returns
    -------
    callable
        The decorator, which returns the class or function unchanged.

    Raises
    ------
    ValueError
        If another network has this name.
    """

    def register(build: Build) -> Build:
        if name in NETWORKS:
            raise ValueError(f"{name}: a network of this name is registered already; choose another")
        NETWORKS[name] = NetworkSpec(name, build, encoder, head_width, **capabilities)
        return build

    return register


def network_spec(name: str) -> NetworkSpec:
    """Return the registered network of a name.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if name not in NETWORKS:
        raise TrainingError(f"{name}: unknown network; use one of {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name]


def check_dim(name: str, dim: int) -> None:
    """Check that a network can have so many components.

    Raises
    ------
    TrainingError
        If there is no network of that name, or ``dim`` does not divide the channels under its head.
    """
    width = network_spec(name).head_width
    if dim < 1 or width % dim:
        raise TrainingError(
            f"dim = {dim}: {name} has no fingerprints of {dim} components, for {dim} does not divide the "
            f"{width} channels under its head; try 64 or 128"
        )


def build_network(name: str, dim: int = FINGERPRINT_DIM) -> nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    dim : int
        Components of a fingerprint.

    Raises
    ------
    TrainingError
        If there is no network of that name, or it cannot have so many components.
    """
    check_dim(name, dim)
    return network_spec(name).build(dim=dim)


def reference_side(network: nn.Module) -> nn.Module:
    """Return the module that references go through: ``network.reference`` if it has one, else the network."""
    own = getattr(network, "reference", None)
    return own if isinstance(own, nn.Module) else network
