from hypothesis import given, settings
from hypothesis import strategies as st

from messages.blobs import Blobs
from store.contract import PackedRecords
from store.wire import Encoded, packed, set_values

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x4FFF, exclude_categories=["Cs"]), max_size=40)
RECORDS = st.dictionaries(NAMES, st.binary(max_size=1_200), max_size=20)
VALUES = st.dictionaries(st.binary(max_size=9), st.binary(max_size=40), min_size=1, max_size=3)


@settings(deadline=None)
@given(values=VALUES, parts=st.lists(st.tuples(st.binary(max_size=9), RECORDS), max_size=3))
def test_values_are_set_as_by_a_command_that_is_written_word_by_word(
    values: dict[bytes, bytes], parts: list[tuple[bytes, dict[str, bytes]]]
) -> None:
    words = [word for pair in values.items() for word in pair]
    words += [
        word for prefix, records in parts for user, blob in records.items() for word in (prefix + user.encode(), blob)
    ]
    wanted = packed([(b"MSET", *words)])
    assert packed([set_values(values, parts)]) == wanted
    together = [
        (prefix, PackedRecords(Blobs.of(map(str.encode, records)), Blobs.of(records.values())))
        for prefix, records in parts
    ]
    assert packed([set_values(values, together)]) == wanted
    assert [dict(records) for _, records in together] == [records for _, records in parts]


def test_what_is_encoded_already_is_sent_as_it_is_between_others() -> None:
    assert (
        packed([(b"GET", b"a"), Encoded((b"+wi", memoryview(b"re\r\n")))]) == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n+wire\r\n"
    )
