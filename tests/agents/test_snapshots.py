import json

import numpy as np
import pytest

from agents.snapshots import Untrusted, open_snapshot, restore_learner, snapshot_message
from agents.trainer import Trainer
from messages.encoding import encode
from messages.message import Message
from messages.outputs import TRAINING_EXAMPLES
from messages.records import Record
from scoring.inputs import INPUTS
from scoring.learner import Learner
from scoring.logistic import Logistic
from tests.agents.bench import Published

KEY = b"a key of the deployment"


def example(offset: int, rng: np.random.Generator) -> Record:
    inputs = {name: float(value) for name, value in zip(INPUTS, rng.normal(size=len(INPUTS)), strict=True)}
    message = encode(
        TRAINING_EXAMPLES,
        {
            "id": f"e{offset}",
            "user_id": "u1",
            "time": 1_700_000_000_000,
            "cause": {},
            "policy": "p@1",
            "model": "m@1",
            "label": bool(rng.random() < 0.3),
            "scored_time": 1_690_000_000_000,
            "inputs": inputs,
        },
    )
    return Record(message.value, message.key, offset)


def learned(examples: int) -> Learner:
    learner, rng = Learner(), np.random.default_rng(5)
    for _ in range(examples):
        learner.learn(rng.normal(size=len(INPUTS)), bool(rng.random() < 0.3))
    return learner


def trainer(published: Published, every: int = 10) -> Trainer:
    return Trainer({}, published, KEY, every)


def test_a_snapshot_gives_back_the_model_and_the_learner() -> None:
    learner = learned(30)
    snapshot = open_snapshot(snapshot_message(learner, 30, KEY).value, KEY)
    model = Logistic.from_parameters(snapshot.version, snapshot.inputs, snapshot.parameters)
    assert model.parameters() == learner.snapshot().parameters()
    assert restore_learner(snapshot).state() == learner.state()
    assert snapshot.training_offset == 30


@pytest.mark.parametrize("changed", ["training_offset", "parameters", "version", "signature"])
def test_a_snapshot_that_was_changed_is_not_trusted(changed: str) -> None:
    fields = json.loads(snapshot_message(learned(3), 3, KEY).value)
    fields[changed] = {"training_offset": 4, "parameters": {}, "version": "other", "signature": "00"}[changed]
    with pytest.raises(Untrusted):
        open_snapshot(json.dumps(fields).encode(), KEY)


@pytest.mark.parametrize(
    ("old", "new"), [(b'"signature":"', b'"signature":"\xc3\xa9'), (b'"training_offset":3', b'"training_offset":NaN')]
)
def test_a_snapshot_that_cannot_even_be_compared_is_not_trusted(old: bytes, new: bytes) -> None:
    value = snapshot_message(learned(3), 3, KEY).value
    with pytest.raises(Untrusted):
        open_snapshot(value.replace(old, new), KEY)


def test_a_parameter_that_is_no_number_is_not_trusted() -> None:
    value = snapshot_message(learned(3), 3, KEY).value
    start = value.index(b'"intercept":[') + len(b'"intercept":[')
    with pytest.raises(Untrusted):
        open_snapshot(value[:start] + b"NaN" + value[value.index(b"]", start) :], KEY)


@pytest.mark.parametrize("key", [b"another key", None])
def test_a_snapshot_is_not_trusted_without_the_key_that_signed_it(key: bytes | None) -> None:
    with pytest.raises(Untrusted):
        open_snapshot(snapshot_message(learned(3), 3, KEY).value, key)


async def test_a_trainer_publishes_after_every_so_many_examples_and_says_how_far_it_learned() -> None:
    published, rng = Published(), np.random.default_rng(1)
    teacher = trainer(published)
    for offset in range(25):
        await teacher.read(example(offset, rng))
    offsets = [open_snapshot(message.value, KEY).training_offset for message in published.messages]
    assert offsets == [10, 20]


async def test_a_restarted_trainer_repeats_nothing_and_ends_where_an_undisturbed_one_does() -> None:
    records = [example(offset, np.random.default_rng(offset)) for offset in range(30)]
    published, undisturbed = Published(), Published()
    first, second, whole = trainer(published), trainer(published), trainer(undisturbed)
    for record in records[:14]:
        await first.read(record)
    for message in published.messages:
        second._take(message.value)
    assert second.offset == 10
    for record in records[second.offset :]:
        await second.read(record)
    for record in records:
        await whole.read(record)
    assert published.messages == undisturbed.messages


async def test_an_example_that_is_published_twice_is_learned_once_also_after_a_restart() -> None:
    records = [example(offset, np.random.default_rng(offset)) for offset in range(30)]
    again = [Record(record.value, record.key, 30 + record.offset) for record in records[5:]]
    published, undisturbed = Published(), Published()
    first, second, whole = trainer(published), trainer(published), trainer(undisturbed)
    for record in [*records, *again[:5]]:
        await first.read(record)
    for message in published.messages:
        second._take(message.value)
    for record in [*records, *again]:
        await second.read(record)
    for record in records:
        await whole.read(record)
    assert first.learner.state() == whole.learner.state()
    assert second.learner.state() == whole.learner.state()
    assert published.messages == undisturbed.messages


async def test_an_example_that_cannot_be_read_is_passed_over() -> None:
    teacher = trainer(Published(), every=1)
    await teacher.read(Record(b"{not json", b"u1", 0))
    assert (teacher.offset, teacher.learner.examples) == (1, 0)


def test_equal_learning_gives_equal_bytes() -> None:
    first: Message = snapshot_message(learned(12), 12, KEY)
    assert first == snapshot_message(learned(12), 12, KEY)
