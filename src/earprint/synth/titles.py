"""Titles of composed pieces, drawn from two lists of words."""

from typing import Final

import numpy as np

# fmt: off
FIRST_WORDS: Final = (
    "Amber", "Borrowed", "Broken", "Copper", "Distant", "Early", "Electric", "Empty",
    "Floating", "Golden", "Hidden", "Hollow", "Idle", "Indigo", "Late", "Little", "Lunar",
    "Midnight", "Northern", "Paper", "Patient", "Quiet", "Restless", "Salt", "Second", "Silver",
    "Slow", "Southern", "Velvet", "Winter",
)
SECOND_WORDS: Final = (
    "Arcade", "Avenue", "Beacon", "Bicycle", "Canal", "Carousel", "Comet", "Compass", "Delta",
    "Ember", "Ferry", "Garden", "Harbour", "Horizon", "Island", "Lantern", "Meadow", "Mirror",
    "Orchard", "Parade", "Postcard", "Railway", "River", "Satellite", "Season", "Signal",
    "Station", "Summer", "Tide", "Window",
)
# fmt: on


def titles(count: int, seed: int) -> list[str]:
    """Draw ``count`` different titles of pieces, such as ``Slow Harbour``.

    Raises
    ------
    ValueError
        If ``count`` is larger than the number of possible titles.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    pairs = rng.choice(len(FIRST_WORDS) * len(SECOND_WORDS), size=count, replace=False)
    places = [divmod(int(pair), len(SECOND_WORDS)) for pair in pairs]
    return [f"{FIRST_WORDS[first]} {SECOND_WORDS[second]}" for first, second in places]
