"""Drawing items so that no source dominates by its size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earprint.training.packed_audio import Item


class HierarchicalSampler:
    """Draws items by category, then by group, then within the group, each uniformly.

    So a source with a thousand files is drawn as often as one of the same category with three.

    Parameters
    ----------
    items : sequence of Item
    categories : sequence of str, optional
        Categories to draw from; all by default.
    """

    def __init__(self, items: Sequence[Item], categories: Sequence[str] | None = None) -> None:
        by_category: dict[str, dict[str, list[int]]] = {}
        for number, item in enumerate(items):
            if categories is None or item.category in categories:
                by_category.setdefault(item.category, {}).setdefault(item.group, []).append(number)
        groups = [numbers for by_group in by_category.values() for numbers in by_group.values()]
        self._numbers = np.array([number for numbers in groups for number in numbers], np.int64)
        self._items_of_group = np.array([len(numbers) for numbers in groups], np.int64)
        self._first_of_group = np.cumsum(self._items_of_group) - self._items_of_group
        self._groups_of_category = np.array([len(by_group) for by_group in by_category.values()], np.int64)
        self._first_of_category = np.cumsum(self._groups_of_category) - self._groups_of_category

    def __len__(self) -> int:
        """Number of items that can be drawn."""
        return len(self._numbers)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Draw ``count`` items: their numbers in the sequence given, shape (count,)."""
        category = rng.integers(len(self._groups_of_category), size=count)
        group = self._first_of_category[category] + rng.integers(self._groups_of_category[category])
        place = self._first_of_group[group] + rng.integers(self._items_of_group[group])
        numbers: NDArray[np.int64] = self._numbers[place]
        return numbers
