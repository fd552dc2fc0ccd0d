from messages.inputs import BROADCAST_TOPICS, USER_TOPICS
from messages.journal import JOURNAL
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, MODEL_SNAPSHOTS
from messages.topics import ALL_TOPICS, INPUTS, OUTPUTS, TOPIC_OF_TYPE

BY_NAME = {spec.name: spec for spec in ALL_TOPICS}


def test_every_contract_has_a_topic_with_a_specification() -> None:
    assert [spec.name for spec in INPUTS] == [*USER_TOPICS, *BROADCAST_TOPICS]
    assert [spec.name for spec in OUTPUTS] == [*DECISION_TOPICS, DEAD_LETTERS, JOURNAL, MODEL_SNAPSHOTS]
    assert len(BY_NAME) == len(ALL_TOPICS)


def test_all_user_keyed_inputs_have_the_same_number_of_partitions() -> None:
    assert {BY_NAME[topic].partition_count(12) for topic in USER_TOPICS} == {12}
    assert {BY_NAME[topic].partition_count(12) for topic in BROADCAST_TOPICS} == {1}


def test_what_is_read_from_the_start_is_kept_for_ever() -> None:
    for topic in (*BROADCAST_TOPICS, MODEL_SNAPSHOTS):
        assert BY_NAME[topic].settings()["retention.ms"] == "-1"


def test_only_topics_whose_newest_record_replaces_older_ones_are_compacted() -> None:
    compacted = {spec.name for spec in ALL_TOPICS if spec.settings()["cleanup.policy"] == "compact"}
    assert compacted == {"policies", "model-snapshots"}


def test_the_broker_stamps_the_arrival_of_inputs() -> None:
    stamped = {spec.name for spec in ALL_TOPICS if spec.settings().get("message.timestamp.type") == "LogAppendTime"}
    assert stamped == {spec.name for spec in INPUTS}


def test_the_topic_of_an_event_follows_from_its_type() -> None:
    assert TOPIC_OF_TYPE["purchase"] == "purchases"
    assert TOPIC_OF_TYPE["reversal"] == "repayments"
    assert TOPIC_OF_TYPE["market_indicator"] == "market"
    assert set(TOPIC_OF_TYPE.values()) == {spec.name for spec in INPUTS}
