import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.blobs import Blobs


@given(parts=st.lists(st.binary(max_size=9), max_size=12))
def test_strings_in_one_buffer_are_those_that_went_in(parts: list[bytes]) -> None:
    blobs = Blobs.of(parts)
    assert len(blobs) == len(parts)
    assert list(blobs) == blobs.tolist() == blobs[:] == parts
    assert blobs[1:-1] == parts[1:-1]
    assert all(blobs[i] == blobs[i - len(parts)] == part for i, part in enumerate(parts))
    with pytest.raises(IndexError):
        blobs[len(parts)]
