"""Choosing among items without a source dominating by its size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earprint.training.store import Item


class Nested:
    """Items by category and by group within it, drawn many at a time.

    A draw takes a category, then one of its groups, then one of the group's items, each equally often: a
    recordist with a thousand files is heard as often as one with three.

    Parameters
    ----------
    items : sequence of Item
    categories : sequence of str, optional
        Those to draw from; all by default.
    """

    def __init__(self, items: Sequence[Item], categories: Sequence[str] | None = None) -> None:
        nested: dict[str, dict[str, list[int]]] = {}
        for number, item in enumerate(items):
            if categories is None or item.category in categories:
                nested.setdefault(item.category, {}).setdefault(item.group, []).append(number)
        groups = [numbers for of_category in nested.values() for numbers in of_category.values()]
        self._numbers = np.array([number for numbers in groups for number in numbers], np.int64)
        self._items_of_group = np.array([len(numbers) for numbers in groups], np.int64)
        self._first_of_group = np.cumsum(self._items_of_group) - self._items_of_group
        self._groups_of_category = np.array([len(of) for of in nested.values()], np.int64)
        self._first_of_category = np.cumsum(self._groups_of_category) - self._groups_of_category

    def __len__(self) -> int:
        """Items that can be drawn."""
        return len(self._numbers)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Draw items, shape (count,): their numbers in the sequence given."""
        category = rng.integers(len(self._groups_of_category), size=count)
        group = self._first_of_category[category] + rng.integers(self._groups_of_category[category])
        place = self._first_of_group[group] + rng.integers(self._items_of_group[group])
        numbers: NDArray[np.int64] = self._numbers[place]
        return numbers
