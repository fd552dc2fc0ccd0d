import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.gathering import gather
from messages.texts import Texts
from tests.messages.twins import uncompiled

_thorough = settings(max_examples=200, deadline=None, derandomize=True)
lists = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["", "\n", "u-1", "\u00e9\n\U0001f600"])), max_size=12)


@_thorough
@given(lists)
def test_texts_are_what_they_were_made_of(texts: list[str]) -> None:
    made = Texts.of(texts)
    assert made.tolist() == list(made) == [made[i] for i in range(len(made))] == texts
    assert made == texts
    assert Texts.of(made) is made


@_thorough
@given(st.lists(lists, max_size=5), st.data())
def test_texts_are_joined_taken_and_cut_like_lists(parts: list[list[str]], data: st.DataObject) -> None:
    joined, expected = Texts.concatenate([Texts.of(part) for part in parts]), [text for part in parts for text in part]
    assert joined == expected
    chosen = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=8)) if expected else []
    taken, expected_taken = joined.take(np.array(chosen, np.int64)), [expected[i] for i in chosen]
    assert taken == expected_taken
    cut = slice(*data.draw(st.tuples(st.integers(-3, 20), st.integers(-3, 20), st.sampled_from([None, 1, 2, -1]))))
    assert joined[cut] == expected[cut]
    assert Texts.concatenate([taken, joined[cut], taken]) == expected_taken + expected[cut] + expected_taken


def test_the_uncompiled_kernel_gathers_the_same() -> None:
    texts = ["one", "", "three"]
    places = Texts.of(texts)._places
    lengths = np.array([len(text) for text in texts])
    joined = np.full(int(lengths.sum()) + 3, ord("."), np.uint8)
    uncompiled(gather)(np.frombuffer(b"onethree", np.uint8), 0, places, np.cumsum(lengths + 1), joined)
    assert joined.tobytes() == b"one..three."


def test_texts_are_no_list_but_equal_one() -> None:
    assert Texts.of(["a"]) == ["a"]
    assert Texts.of(["a"]) == ("a",)
    assert Texts.of(["a"]) != ["b"]
    assert Texts.of([]) != 0
    assert "b" in Texts.of(["a", "b"])
    assert repr(Texts.of(["a"])) == "Texts(['a'])"
    with pytest.raises(TypeError):
        hash(Texts.of([]))


def test_a_text_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Texts.of(["x" * 65_536])
    assert Texts.of(["x" * 65_535])[0] == "x" * 65_535


def test_texts_of_more_buffers_than_places_can_tell_get_one_of_their_own() -> None:
    parts = [Texts.of([str(i)]) for i in range(65_537)]
    assert Texts.concatenate(parts) == [str(i) for i in range(65_537)]
    assert Texts.concatenate(parts[1:])[65_535] == "65536"


def test_an_index_outside_is_an_error() -> None:
    with pytest.raises(IndexError):
        Texts.of(["a"])[1]
    assert Texts.of(["a", "b"])[-1] == "b"


@_thorough
@given(st.lists(lists, max_size=5), st.data())
def test_texts_kept_apart_are_the_same_and_keep_nothing_else(parts: list[list[str]], data: st.DataObject) -> None:
    joined = Texts.concatenate([Texts.of(part) for part in parts])
    chosen = data.draw(st.lists(st.integers(0, len(joined) - 1), max_size=8)) if len(joined) else []
    apart = joined.take(np.array(chosen, np.int64)).apart()
    assert apart == [joined[i] for i in chosen]
    assert [apart[i] for i in range(len(apart))] == apart.tolist()
    assert sum(map(len, apart._buffers)) == len("".join(f"{text}\n" for text in apart).encode())
