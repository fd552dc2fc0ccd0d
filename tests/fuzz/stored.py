"""What must hold for damaged bytes of what is stored and broadcast: read, or refused with the one documented error."""

import hashlib
import hmac
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

import numpy as np

from agents.broadcasts import Book
from agents.meters import SilentMeters
from agents.snapshots import Untrusted, open_snapshot, snapshot_message
from app.settings import Settings, SettingsInvalid, load_settings
from decisions.in_force import InForce
from features.catalogue import WIDTH
from features.market import Market
from features.packing import DamagedRecord, NewerSchema, pack, unpack
from features.record import RECORD, SCHEMA_VERSION
from messages.broadcasts import parse_broadcast
from messages.columns import Source
from messages.examples import EVENTS
from messages.message import Message
from messages.verdict import Refusal
from policy.policy import default_text, load_default
from scoring.inputs import INPUTS
from scoring.learner import Learner
from scoring.scorecard import Scorecard
from store.contract import CorruptState, Header, LimitView
from store.encoding import (
    decode_header,
    decode_limit,
    decode_message,
    decode_position,
    encode_header,
    encode_limit,
    encode_message,
    encode_position,
)
from tests.decisions.streams import Desk, decode, random_stream
from tests.fuzz.decoding import Broken
from tests.fuzz.records import LITERALS, damaged

KEY = b"a key of the deployment"


def _check_record(value: bytes) -> bool:
    out = np.zeros(2, RECORD)
    unpack([value, None], out)
    if pack(out[:1]) != pack(out[:1].copy()) or int(out["schema"][0]) != SCHEMA_VERSION:
        raise Broken("a record that was read cannot be packed")
    return True


def _check_header(value: bytes) -> bool:
    header = decode_header(value, "here")
    if decode_header(encode_header(header), "here") != header:
        raise Broken("a header that was read is not written as it was")
    return True


def _check_position(value: bytes) -> bool:
    position = decode_position(value, "here")
    if position.next_offset < 0:
        raise Broken(f"an offset of {position.next_offset}")
    return decode_position(encode_position(position), "here") == position


def _check_message(value: bytes) -> bool:
    return decode_message(encode_message(decode_message(value, "here")), "here") == decode_message(value, "here")


def _check_limit(value: bytes) -> bool:
    names = list(encode_limit(_LIMIT))
    parts = value.split(b"|")
    decode_limit("u", dict(zip(names, parts, strict=False)), "here")
    return True


def _check_snapshot(value: bytes) -> bool:
    open_snapshot(value, KEY)
    return True


@cache
def _first() -> InForce:
    return InForce(load_default(), Scorecard(), Market())


def _check_signed_snapshot(value: bytes) -> bool:
    """One that bears the right signature, whatever it says: the book takes it, or keeps the old one; never raises."""
    try:
        fields = json.loads(value)
        signed = json.dumps({**fields, "signature": _signature(fields)}).encode()
    except (ValueError, TypeError, RecursionError):
        signed = value
    return _told("model-snapshots", b"scorecard-logistic", signed)


def _signature(fields: dict[str, object]) -> str:
    unsigned = json.dumps({**fields, "signature": ""}, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(KEY, unsigned, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class _Told:
    """A record of a broadcast topic."""

    topic: str
    key: bytes
    value: bytes
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def _told(topic: str, key: bytes, value: bytes) -> bool:
    book = Book(_first(), KEY, SilentMeters())
    book.apply(_Told(topic, key, value))
    if not np.isfinite(book.in_force.model.probability(np.zeros((3, WIDTH)))).all():
        raise Broken("a model that was taken gives what is no number")
    return book.in_force is not _first()


def _check_market(value: bytes) -> bool:
    found = parse_broadcast(Source("market", 0), _Told("market", b"CN-SH", value))
    if isinstance(found, Refusal) and (found.value != value or not found.message):
        raise Broken("the refusal has other bytes than the record")
    return _told("market", b"CN-SH", value)


def _check_policies(value: bytes) -> bool:
    return _told("policies", b"default", value)


def _check_settings(value: bytes) -> bool:
    names = sorted(Settings.model_fields)
    chance = random.Random(value)
    text = value.decode(errors="surrogateescape").replace("\0", "")
    chosen = {f"DUEWATCH_{name.upper()}": text for name in chance.sample(names, 2)}
    with patch.dict(os.environ, chosen):
        settings = load_settings()
        with suppress(ValueError):  # shown as it is
            settings.redis_address()
    return True


_LIMIT = LimitView("u", 5_000, frozen=False, grade="B", default_probability=0.25, version=7)


def _records() -> list[bytes]:
    desk = Desk()
    desk.run_events(decode(random_stream(3, 4, 300)), 500)
    return pack(desk.records)


def _snapshots() -> list[bytes]:
    learner, rng = Learner(minimum_examples=4, minimum_positives=1), np.random.default_rng(5)
    for _ in range(30):
        learner.learn(rng.normal(size=len(INPUTS)), bool(rng.random() < 0.3))
    value = snapshot_message(learner, 30, KEY).value
    # As if it had learned enough, so that the book takes its model and not only notes that it is warming.
    fields = json.loads(value)
    fields["parameters"]["state.warming"] = [0.0]
    return [json.dumps(fields | {"signature": _signature(fields)}, separators=(",", ":")).encode()]


def _policy() -> bytes:
    fields = EVENTS["policy_published"] | {"name": "default", "mode": "active", "document": default_text()}
    return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads bytes: `valid` makes what it must accept, `refusals` is all that it may raise."""

    check: Callable[[bytes], bool]
    valid: Callable[[], list[bytes]]
    refusals: tuple[type[Exception], ...] = ()


_TEXTS = [b"", b"0", b"-1", b"8080", b"redis://h:1/0", b"rediss://:p@[::1", b"redis://h:99999/x", b"{", b'{"USD": NaN}']
_TEXTS += [
    b'{"USD": 7}',
    b"{}",
    b"\xff",
    b"a" * 5_000,
    b"EUR",
    b"clock",
    b"\n",
    b"redis://[",
    b"unix:///x",
    b"9" * 5_000,
]
_MESSAGE = Message("warnings", b"u", b'{"type":"warning"}', (("ce_id", b"1"),))

TARGETS: dict[str, Target] = {
    "record": Target(_check_record, _records, (DamagedRecord, NewerSchema)),
    "header": Target(_check_header, lambda: [encode_header(Header(1, 2, "p@1", "m@1", "s@1", 9))], (CorruptState,)),
    "position": Target(_check_position, lambda: [b"0", b"12", b"9223372036854775807 epoch", b"7 a b"], (CorruptState,)),
    "message": Target(_check_message, lambda: [encode_message(_MESSAGE)], (CorruptState,)),
    "limit": Target(_check_limit, lambda: [b"|".join(encode_limit(_LIMIT).values())], (CorruptState,)),
    "snapshot": Target(_check_snapshot, _snapshots, (Untrusted,)),
    "signed-snapshot": Target(_check_signed_snapshot, _snapshots),
    "market": Target(_check_market, lambda: [json.dumps(EVENTS["market_indicator"]).encode()]),
    "policies": Target(_check_policies, lambda: [_policy()]),
    "settings": Target(_check_settings, lambda: _TEXTS, (SettingsInvalid,)),
}


def check(target: str, value: bytes) -> bool:
    """Whether the target accepts `value`. Raises Broken where it does anything else than accept or refuse."""
    known = TARGETS[target]
    try:
        return known.check(value)
    except Broken:
        raise
    except known.refusals as error:
        if not str(error):
            raise Broken(f"{target} is refused without a reason") from error
        return False
    except Exception as error:
        raise Broken(f"{target} raised {error!r}") from error


@cache
def _valid(target: str) -> tuple[bytes, ...]:
    return tuple(TARGETS[target].valid())


def value_of(target: str, seed: int) -> bytes:
    """Bytes for a target: valid ones, damaged ones, ones with a JSON value replaced, or noise."""
    chance = random.Random(seed)
    valid = chance.choice(_valid(target))
    pick = chance.random()
    if pick < 0.1:
        return valid
    if pick < 0.6:
        return damaged(chance, valid)
    if pick < 0.9 and valid.startswith(b'{"type"'):
        return _replaced(chance, valid)
    return chance.randbytes(chance.randrange(40))


def _replaced(chance: random.Random, valid: bytes) -> bytes:
    fields = json.loads(valid)
    pairs = [(json.dumps(name).encode(), json.dumps(value).encode()) for name, value in fields.items()]
    at = chance.randrange(len(pairs))
    inner = fields[list(fields)[at]]
    if isinstance(inner, dict) and inner and chance.random() < 0.8:
        name = chance.choice(list(inner))
        numbers = [b"[]", b"[1]", b"[1,2]", b"[1e300]", b"[-1e308]", b"[NaN]", b"[0]", b"[1e999]", b"null", b"1"]
        rest = [json.dumps(key).encode() + b":" + json.dumps(inner[key]).encode() for key in inner if key != name]
        text = b",".join([*rest, json.dumps(name).encode() + b":" + chance.choice(numbers)])
        pairs[at] = (pairs[at][0], b"{" + text + b"}")
    else:
        pairs[at] = (pairs[at][0], chance.choice(LITERALS))
    return b"{" + b",".join(name + b":" + value for name, value in pairs) + b"}"
