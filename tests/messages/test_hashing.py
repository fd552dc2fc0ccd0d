from hypothesis import given, settings
from hypothesis import strategies as st

from messages.hashing import HashCache, hash_column, stable_hash


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=300)))
def test_a_column_hashes_like_its_texts(texts: list[str]) -> None:
    assert hash_column(texts).tolist() == [stable_hash(text) for text in texts]
    cache = HashCache()
    assert [cache[text] for text in texts] == [stable_hash(text) for text in texts]


def test_a_hash_never_changes() -> None:
    # Records hold hashes: another function would make every known merchant, bill and event id an unknown one.
    # The digest is what `printf u-1042 | b2sum -l 64` prints.
    assert stable_hash("u-1042") == int.from_bytes(bytes.fromhex("76398ca310737eeb"), "little")


def test_absent_is_zero() -> None:
    assert HashCache()[None] == 0


def test_a_full_cache_starts_anew_and_stays_right() -> None:
    cache = HashCache(limit=10)
    for i in range(100):
        assert cache[f"m-{i}"] == stable_hash(f"m-{i}")
        assert len(cache) <= 10
    assert cache[None] == 0
