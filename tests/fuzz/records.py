"""Seeded records for the decoder: valid events of every contract, events with something wrong in them, and noise."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from messages.decoding import DAY_MS
from messages.inputs import EARLIEST_MS, LARGEST_AMOUNT, LATEST_MS, USER_TOPICS, UserEvent
from messages.verdict import LARGEST_RECORD
from messages.vocabulary import CATEGORIES, CURRENCIES, FUND_STATUSES, PAYMENT_METHODS, VERDICTS, Purpose

#: A text that no message may contain: the generator puts it into user ids, and nowhere where a message may quote it.
MARK = "person"
START_MS = 1_700_000_000_000
USERS = 400
TOPICS: tuple[str, ...] = tuple(USER_TOPICS)
_MODELS = [(topic, model) for topic, models in USER_TOPICS.items() for model in models]
#: Purchases, repayments and bills make most of the decisions.
_WEIGHTS = [6 if topic == "purchases" else 3 if topic in ("repayments", "bills") else 1 for topic, _ in _MODELS]
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_DIGITS = "9" * 4_400

#: JSON values that are doubtful somewhere: as numbers, as texts, as structure, or as bytes.
LITERALS: tuple[bytes, ...] = (
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"1", b"1.0", b"1e0", b"10E1", b"1E400", b"-1E400", b"0.1e-400",
    b"1.5", b"-5", b"01", b"+1", b"1.", b".5", b"0x10", b"1_000", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"nan",
    b"1e999", b"4000000000", b"4000000001", b"2147483648", b"4294967296", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"9" * 30, _DIGITS.encode(),
    b"946684799999", b"946684800000", b"4102444799999", b"4102444800000", b"-1700000000000", b"1700000000000.0",
    b'""', b'" "', b'"a b"', b'"a\\n"', b'"\\u0000"', b'"\\u0041"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\uD83D"',
    b'"\\ud83d\\ude00"', b'"\\uZZZZ"', b'"\\x41"', b'"\\"', b'"\xff"', b'"\xc3\xa9"', b'"\xed\xa0\x80"', b'"\xc0\x80"',
    b'"\xf4\x90\x80\x80"', b'"\x7f"', b'"a\nb"', b'"\x00"', b'"\xe2\x80\xae"', b'"' + b"x" * 128 + b'"',
    b'"' + b"x" * 129 + b'"', b'"' + "\u00e9".encode() * 70 + b'"', b'"1"', b"'1'", b"[]", b"{}", b"[1]", b'{"a":1}',
    b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b'"CNY"', b'"XXX"', b'"cny"', b'"purchase"',
    b'"manual"', b'"groceries"', b"1970-01-01", b'"2024-01-01T00:00:00Z"', b"//", b"",
)  # fmt: skip
_NOISE: tuple[bytes, ...] = (
    b"", b" ", b"null", b"{}", b"[]", b"0", b'""', b"{", b"}", b"[" * 4_000, b'{"type":' * 2_000, b"\x00" * 40,
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"\x1f\x8b\x08\x00", b"\x00\x00\x00\x00\x01",
    b"<event/>", b"type=purchase",
    b'{"type":"purchase"', b'{"type":["purchase"]}', b'{"type":null}', b'{"type":{"purchase":1}}', b'{"":""}',
    b'[{"type":"purchase"}]', b'"purchase"', b"-", b"tru", b'{"type":"purchase"}{"type":"purchase"}',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A record as the decoder sees it, and the topic that it stands in."""

    topic: str
    value: bytes | None
    key: bytes | None
    offset: int
    timestamp: int


class Generator:
    """Records without end; event time goes on by half a minute or so with each, over all topics."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def batch(self, size: int) -> list[Fuzzed]:
        """The next `size` records of one topic, offsets counted over all topics."""
        topic, model = self._random.choices(_MODELS, _WEIGHTS)[0]
        others = [other for name, other in _MODELS if name == topic]
        return [self._record(topic, self._random.choice(others) or model) for _ in range(size)]

    def renew(self) -> None:
        """Begin with event time anew."""
        self._count = 0

    def _record(self, topic: str, model: type[UserEvent]) -> Fuzzed:
        chance = self._random
        self._count += 1
        now = START_MS + self._count * 7_200_000
        user = f"{MARK}-{chance.randrange(USERS)}"
        fields = valid_fields(chance, model, user, now)
        moment = fields["time"] if isinstance(fields.get("time"), int) else now
        key: bytes | None = user.encode()
        pick = chance.random()
        value: bytes | None
        if pick < 0.45:
            value = _text(chance, _pairs(fields))
        elif pick < 0.78:
            value = _text(chance, _altered(chance, _pairs(fields)))
        elif pick < 0.96:
            value = damaged(chance, _text(chance, _pairs(fields)))
        else:
            value = _noise(chance, _text(chance, _pairs(fields)))
        if chance.random() < 0.03:
            key = _odd_key(chance, user)
        return Fuzzed(topic, value, key, 1_000_000 + self._count, _arrival(chance, moment))


def valid_fields(chance: random.Random, model: type[UserEvent], user: str, now: int) -> dict[str, Any]:
    """Fields as the contract allows each of them (rules across fields may break); optional ones may lack or be null."""
    fields: dict[str, Any] = {"type": model.model_fields["type"].default}
    for name, info in model.model_fields.items():
        if name == "type":
            continue
        if not info.is_required() and chance.random() < 0.4:
            if info.default is None and chance.random() < 0.3:
                fields[name] = None
            continue
        fields[name] = user if name == "user_id" else _MAKERS[name](chance, now)
    return fields


def _amount(chance: random.Random, _now: int) -> int:
    if chance.random() < 0.04:
        return chance.choice((1, 2, LARGEST_AMOUNT, LARGEST_AMOUNT - 1, 2**31, 2**32 - 1 - 2**28))
    return int(chance.lognormvariate(10, 1.5)) + 1


def _time(chance: random.Random, now: int) -> int:
    pick = chance.random()
    if pick < 0.02:
        return chance.choice((EARLIEST_MS, EARLIEST_MS + 1, chance.randrange(EARLIEST_MS, now)))
    if pick < 0.2:
        return now - chance.randrange(90 * DAY_MS)
    return now - chance.randrange(60_000)


def _later(chance: random.Random, now: int) -> int:
    if chance.random() < 0.04:
        return chance.choice((EARLIEST_MS, LATEST_MS - 1, chance.randrange(EARLIEST_MS, LATEST_MS)))
    return min(LATEST_MS - 1, now + chance.randrange(-5, 40) * DAY_MS)


def _identifier(chance: random.Random, _now: int) -> str:
    pick = chance.random()
    if pick < 0.02:
        return chance.choice(_VISIBLE) * chance.choice((1, 127, 128))
    if pick < 0.05:
        return "".join(chance.choices(_VISIBLE, k=chance.randrange(1, 129)))
    return f"i{chance.randrange(40)}"


def _one_of(words: tuple[str, ...]) -> Callable[[random.Random, int], Any]:
    return lambda chance, _now: chance.choice(words)


def _flag(chance: random.Random, _now: int) -> bool:
    return chance.random() < 0.5


_MAKERS: dict[str, Callable[[random.Random, int], Any]] = {
    "event_id": lambda chance, _now: f"e{chance.getrandbits(48)}" if chance.random() < 0.97 else _identifier(chance, 0),
    "time": _time, "due_time": _later, "until": _later,
    "currency": lambda chance, _now: chance.choice(CURRENCIES) if chance.random() < 0.2 else "CNY",
    "category": _one_of(CATEGORIES), "status": _one_of(FUND_STATUSES), "method": _one_of(PAYMENT_METHODS),
    "verdict": _one_of(VERDICTS), "purpose": _one_of(get_args(Purpose)),
    "instalments": lambda chance, _now: chance.randint(1, 24),
    "months_contributed": lambda chance, _now: chance.choice((0, 24, 1200, chance.randint(0, 1200))),
    "version": lambda _chance, _now: 1,
    **dict.fromkeys(("green", "energy_intensive", "carries_balance", "succeeded", "charge_back"), _flag),
    **dict.fromkeys(("consents_to_increases", "consents_to_automated_decisions"), _flag),
    **dict.fromkeys(("amount", "amount_due", "minimum_due", "monthly_amount", "limit", "monthly_income"), _amount),
    "requested_limit": _amount,
    **dict.fromkeys(("order_id", "merchant_id", "device_id", "city", "region", "segment", "employer_id"), _identifier),
    **dict.fromkeys(("repayment_id", "bill_id", "request_id", "warning_id"), _identifier),
}  # fmt: skip

_Pairs = list[tuple[bytes, bytes]]


def _pairs(fields: dict[str, Any]) -> _Pairs:
    return [(json.dumps(name).encode(), json.dumps(value).encode()) for name, value in fields.items()]


def _text(chance: random.Random, pairs: _Pairs) -> bytes:
    comma, colon = (b",", b":") if chance.random() < 0.9 else chance.choice(((b" ,\n", b"\t: "), (b", ", b": ")))
    return b"{" + comma.join([name + colon + value for name, value in pairs]) + b"}"


def _altered(chance: random.Random, pairs: _Pairs) -> _Pairs:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(pairs))
        name, value = pairs[at]
        match chance.randrange(10):
            case 0 | 1 | 2 | 3:
                pairs[at] = (name, chance.choice(LITERALS))
            case 4:
                again = chance.choice((value, chance.choice(LITERALS)))
                pairs.insert(chance.randrange(len(pairs) + 1), (name, again))
            case 5 if len(pairs) > 1:
                del pairs[at]
            case 6:
                chance.shuffle(pairs)
            case 7:
                names = (b'"userId"', b'"Amount"', b'""', b'"\xff"', b'"typ"', b"amount", b'"\\ud800"', name[:-1])
                pairs[at] = (chance.choice(names), value)
            case 8:
                pairs.append((b'"extra%d"' % chance.randrange(9), chance.choice(LITERALS)))
            case 9:
                pairs[at] = (b'"\\u%04x' % name[1] + name[2:], value) if len(name) > 2 else pairs[at]
    return pairs


def damaged(chance: random.Random, text: bytes) -> bytes:
    """`text` with a few bytes flipped, removed, put in or doubled."""
    found = bytearray(text)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(7):
            case 0 | 1 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 2:
                del found[at : at + chance.randrange(1, 5)]
            case 3:
                found[at:at] = chance.randbytes(chance.randrange(1, 5))
            case 4:
                del found[at:]
            case 5:
                found += found[at:]
            case 6:
                found[at:at] = chance.choice(
                    (b"\x00", b"\xff", b'"', b"\\", b"{", b"}", b",", b"9" * 20, b"\xed\xa0\x80")
                )
    return bytes(found)


def _noise(chance: random.Random, text: bytes) -> bytes | None:
    match chance.randrange(40):
        case 0 | 1 | 2 | 3:
            return None
        case 4:
            return text + b" " * (LARGEST_RECORD - len(text) + chance.choice((-1, 0, 1)))
        case 5:
            return text[:-1] + b',"city":"' + b"x" * chance.choice((10_000, 60_000, 70_000)) + b'"}'
        case number if number < 22:
            return chance.randbytes(chance.randrange(80))
    return chance.choice(_NOISE)


def _odd_key(chance: random.Random, user: str) -> bytes | None:
    key = user.encode()
    other = f"{MARK}-{chance.randrange(USERS)}".encode()
    return chance.choice((None, b"", other, key + b"\x00", b"\xff" + key, key.upper(), key[:-1], key * 20_000, key * 9))


def _arrival(chance: random.Random, moment: int) -> int:
    """The broker's time: mostly unknown or soon after the event; else at the edges of what is allowed."""
    pick = chance.random()
    if pick < 0.9:
        return 0 if pick < 0.1 else moment + chance.randrange(1_000)
    ahead = (DAY_MS, DAY_MS + 1, DAY_MS - 1, 40 * DAY_MS)
    return chance.choice((-1, 1, 2**63 - 1, -(2**63), *(moment - shift for shift in ahead)))
