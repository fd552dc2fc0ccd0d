from hypothesis import given, settings
from hypothesis import strategies as st

from messages.blobs import Blobs
from store.contract import PackedRecords
from store.wire import Encoded, packed, set_records

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x4FFF, exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None)
@given(records=st.dictionaries(NAMES, st.binary(max_size=1_200), min_size=1, max_size=20), prefix=st.binary(max_size=9))
def test_records_are_set_as_by_a_command_that_is_written_word_by_word(records: dict[str, bytes], prefix: bytes) -> None:
    words = [word for user, record in records.items() for word in (prefix + user.encode(), record)]
    wanted = packed([(b"MSET", *words)])
    assert set_records(prefix, records).wire == wanted
    together = PackedRecords(list(records), Blobs.of(records.values()))
    assert set_records(prefix, together).wire == wanted
    assert dict(together) == records


def test_what_is_encoded_already_is_sent_as_it_is_between_others() -> None:
    assert packed([(b"GET", b"a"), Encoded(b"+wire\r\n")]) == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n+wire\r\n"
