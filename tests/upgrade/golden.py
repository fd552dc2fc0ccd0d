"""What this version left in the store and on the topics, for later versions to read.

`python -m tests.upgrade.golden` writes a new set for the present schema version beside those that are there. A set is
never changed: a version that cannot read it cannot be upgraded to.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from agents.snapshots import open_snapshot, snapshot_message
from decisions.in_force import InForce
from features.market import Market
from features.packing import pack, unpack
from features.record import RECORD, SCHEMA_VERSION
from messages.message import Message
from policy.policy import default_text, load
from scoring.inputs import INPUTS
from scoring.learner import Learner
from scoring.logistic import Logistic
from store.contract import Header, TopicPosition
from store.encoding import encode_header, encode_message, encode_position
from tests.decisions.streams import DAY, Desk, bill, purchase, random_stream, repayment, request

DIRECTORY = Path(__file__).parent / "golden"
KEY = b"a key that only tests have"
HEADER = Header(1_700_000_000, 1_700_000_000_123, "default@0123456789ab", "market@1", "scorecard-1", 42)
POSITION = TopicPosition(1_234_567, "Zm9vYmFy")
#: Keys of a policy that may be left out, by the path to what they stand in ("*": every entry of a list).
_OPTIONAL = {
    (): ("terms", "labels", "guard_rails"),
    ("review",): ("id", "severity", "cooldown", "action"),
    ("triggers", "*"): ("clear_when", "cooldown", "path_back", "evidence"),
    ("grades",): ("hold", "score_step"),
    ("limits",): ("round_to", "notice", "review_after", "refused_automation"),
    ("limits", "requests"): ("review_when", "decline_when", "cooldown"),
    ("collections",): ("contact",),
}


@dataclass(frozen=True, slots=True)
class Golden:
    """One set of files."""

    directory: Path

    def json(self, name: str) -> Any:
        """A file of it as plain data."""
        return json.loads((self.directory / name).read_text())

    def bytes(self, name: str) -> bytes:
        """A file of it."""
        return (self.directory / name).read_bytes()

    def in_force(self) -> InForce:
        """The set's policy and model."""
        snapshot = open_snapshot(self.bytes("snapshot.json"), KEY)
        model = Logistic.from_parameters(snapshot.version, snapshot.inputs, snapshot.parameters)
        return InForce(load((self.directory / "policy.yaml").read_text()), model, Market())

    def desk(self) -> Desk:
        """A desk that goes on with the set's records."""
        state, desk = self.json("state.json"), Desk()
        desk.in_force = self.in_force()
        desk.users = list(state["records"])
        desk.records = read([b64decode(text) for text in state["records"].values()])
        desk.watermark, desk.offsets = state["watermark"], state["offsets"]
        return desk


def read(blobs: list[bytes]) -> NDArray[np.void]:
    """Packed records, unpacked by the present code."""
    records = np.zeros(len(blobs), RECORD)
    unpack(blobs, records)
    return records


def sets() -> list[Golden]:
    """All sets, oldest first."""
    return [Golden(path) for path in sorted(DIRECTORY.iterdir()) if path.is_dir()]


def older_policy() -> str:
    """The shipped policy without what may be left out, as one of an earlier version would be."""
    plain = yaml.safe_load(default_text())
    for path, names in _OPTIONAL.items():
        for part in _parts(plain, path):
            for name in names:
                part.pop(name, None)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)


def _parts(plain: Any, path: tuple[str, ...]) -> list[Any]:
    if not path:
        return [plain]
    inner = plain if path[0] == "*" else [plain[path[0]]]
    return [part for one in inner for part in _parts(one, path[1:])]


def write(directory: Path) -> None:
    """A set of the present version."""
    directory.mkdir(parents=True)
    (directory / "policy.yaml").write_text(older_policy())
    learner, rng = Learner(minimum_examples=4, minimum_positives=1), np.random.default_rng(5)
    for _ in range(40):
        learner.learn(rng.normal(size=len(INPUTS)), bool(rng.random() < 0.3))
    (directory / "snapshot.json").write_bytes(snapshot_message(learner, 40, KEY).value)
    desk = Desk()
    desk.in_force = Golden(directory).in_force()
    desk.run(random_stream(11, 5, 500))
    records = {user: b64encode(blob).decode() for user, blob in zip(desk.users, pack(desk.records), strict=True)}
    state = {"records": records, "watermark": desk.watermark, "offsets": desk.offsets}
    state["seen"] = desk.records["events"].tolist()
    (directory / "state.json").write_text(json.dumps(state, indent=1) + "\n")
    (directory / "header.bin").write_bytes(encode_header(HEADER))
    (directory / "position.txt").write_bytes(encode_position(POSITION))
    outbox = desk.messages[-1]
    (directory / "message.bin").write_bytes(encode_message(outbox))
    (directory / "message.json").write_text(json.dumps(_plain(outbox)) + "\n")
    events = _later()
    (directory / "events.json").write_text(json.dumps(events) + "\n")
    (directory / "decisions.json").write_text(json.dumps(decided(Golden(directory), events), indent=0) + "\n")


def decided(golden: Golden, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the present code decides on the set's records; without the policy's version, which names all defaults."""
    decisions = golden.desk().run(events)
    for decision in decisions:
        del decision["policy"]
    return decisions


def _plain(message: Message) -> dict[str, Any]:
    key = None if message.key is None else message.key.decode()
    headers = [[name, value.decode()] for name, value in message.headers]
    return {"topic": message.topic, "key": key, "value": message.value.decode(), "headers": headers}


def message_of(plain: dict[str, Any]) -> Message:
    """The message that `message.json` tells of."""
    headers = tuple((name, value.encode()) for name, value in plain["headers"])
    key = None if plain["key"] is None else plain["key"].encode()
    return Message(plain["topic"], key, plain["value"].encode(), headers)


def _later() -> list[dict[str, Any]]:
    """Two months after the stream: purchases, a bill that is not paid, requests."""
    events = []
    for user in range(5):
        name, start = f"u{user}", (152 + user / 10) * DAY
        events += [purchase(name, start + hour * 3_600, 150_000 * (hour + 1)) for hour in range(4)]
        events += [bill(name, start + DAY, "late", 400_000, start + 9 * DAY), request(name, start + 2 * DAY, 5_000_000)]
        events += [repayment(name, start + 40 * DAY, "late", 10_000), request(name, start + 55 * DAY, 3_000_000)]
    return sorted(events, key=lambda event: int(event["time"]))


if __name__ == "__main__":
    write(DIRECTORY / f"schema-{SCHEMA_VERSION}-{len(sets()) + 1}")
