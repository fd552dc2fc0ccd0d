"""Sequences whose items are made when they are asked for."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

Item = TypeVar("Item", covariant=True)


class Indexed(Sequence[Item]):
    """One that makes an item at a time; a slice of it is a list."""

    __slots__ = ()

    @abstractmethod
    def item(self, place: int) -> Item:
        """Make the item at `place`, which is not negative and less than the length."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        places = range(len(self))[index]
        return self.item(places) if isinstance(places, int) else [self.item(place) for place in places]
