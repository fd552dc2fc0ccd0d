import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from messages.texts import Texts
from store.names import NOBODY, Names

#: Some of one length, some that begin alike, some longer than there is room for at first, and one that is no ASCII.
POOL = ["a", "b", "ab", "u1", "u2", "u10", "u100", "user-17", "user-71", "x" * 16, "x" * 17, "y" * 130, "é", ""]
NAMES = st.one_of(st.sampled_from(POOL), st.text(max_size=20))


def rows_of(names: Names, wanted: list[str]) -> list[int]:
    """As a batch asks: from more than one buffer."""
    half = len(wanted) // 2
    found: list[int] = names.rows_of(Texts.concatenate([Texts.of(wanted[:half]), Texts.of(wanted[half:])])).tolist()
    return found


class Against(RuleBasedStateMachine):
    """Names beside a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Names(4)
        self.known: dict[str, int] = {}

    @property
    def free(self) -> list[int]:
        return sorted(set(range(len(self.names))) - set(self.known.values()))

    @rule(new=st.lists(NAMES, unique=True, min_size=1, max_size=6))
    def enter(self, new: list[str]) -> None:
        unknown = [name for name in new if name not in self.known]
        if len(unknown) > len(self.free):
            self.names.grow(len(self.names) + len(unknown))
        rows = self.free[-len(unknown) :] if unknown else []
        self.names.enter(np.array(rows, np.uint32), unknown)
        self.known.update(zip(unknown, rows, strict=True))

    @rule(places=st.sets(st.integers(0, 20)))
    def leave(self, places: set[int]) -> None:
        gone = [name for place, name in enumerate(self.known) if place in places]
        self.names.leave(np.array([self.known.pop(name) for name in gone], np.uint32))

    @invariant()
    def every_name_is_found_and_no_other(self) -> None:
        wanted = [*self.known, *POOL, "nobody"]
        assert rows_of(self.names, wanted) == [self.known.get(name, NOBODY) for name in wanted]

    @invariant()
    def every_row_tells_its_name(self) -> None:
        rows = np.array(list(self.known.values()), np.uint32)
        assert self.names.blobs(rows).tolist() == [name.encode() for name in self.known]
        assert [self.names[row] for row in rows.tolist()] == list(self.known)
        assert {self.names[row] for row in self.free} <= {""}


def test_names_are_found_as_in_a_dictionary_whoever_comes_and_goes() -> None:
    run_state_machine_as_test(Against, settings=settings(deadline=None, stateful_step_count=30, max_examples=60))


@settings(deadline=None)
@given(count=st.integers(1, 300), gone=st.sets(st.integers(0, 299)))
def test_whoever_stays_is_found_when_others_of_a_full_table_leave(count: int, gone: set[int]) -> None:
    names = Names(count)
    everybody = [f"u{number}" for number in range(count)]
    names.enter(np.arange(count, dtype=np.uint32), everybody)
    leaving = sorted(number for number in gone if number < count)
    names.leave(np.array(leaving, np.uint32))
    assert rows_of(names, everybody) == [NOBODY if number in gone else number for number in range(count)]
