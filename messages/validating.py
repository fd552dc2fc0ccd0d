"""The validators, whose verdict and words count: msgspec for a record at a time, and pydantic for what is left.

Each record is decoded by one msgspec call of its own. What msgspec refuses, or what looks doubtful on the columns, is
judged by pydantic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union

import msgspec
import numpy as np
from numpy.typing import NDArray

from messages.columns import EVENT, Events, Source
from messages.filling import AMOUNTS, fill, references
from messages.hashing import HashCache
from messages.inputs import LARGEST_AMOUNT, USER_TOPICS, UserEvent
from messages.money import Money
from messages.records import RawRecords
from messages.structs import Columns, Derived, derive
from messages.verdict import LARGEST_RECORD, Fault, Judge, Refusal, Refused, key_fault

#: Records decoded between two looks for failures: a loop that looks after each takes a third longer.
_CHUNK = 64
#: What msgspec raises for bytes that are no event: malformed, not as the contract says, not UTF-8, nested too deeply.
_REFUSALS = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Validated:
    """Accepted events in the order of their records, which records those are, and the refused records in theirs."""

    events: Events
    kept: NDArray[np.int64]  # indices of the accepted records
    refused: list[Refusal]


class Validators:
    """Decides on records of the user topics; `money` and `max_ahead_ms` as in `Decoder`."""

    def __init__(self, money: Money, max_ahead_ms: int) -> None:
        self._money = money
        self._max_ahead_ms = max_ahead_ms
        self._hashes = HashCache()
        self._topics = {topic: _Topic(models) for topic, models in USER_TOPICS.items()}

    def validate(self, source: Source, records: RawRecords) -> Validated:
        """Columns of the acceptable events among `records` of one partition."""
        kept = np.arange(len(records))
        groups, structs, faults = self._topics[source.topic].read(records.values)
        refused = [_refusal(source, records, i, fault) for i, fault in faults.items()]
        if faults:
            kept = np.delete(kept, list(faults))
            records = records.take(kept)
        columns, names, late_faults = self._fill(groups, structs)
        late_faults |= self._check_records(records, structs)
        if late_faults:
            refused += [_refusal(source, records, i, fault) for i, fault in late_faults.items()]
            fit = np.delete(np.arange(len(records)), list(late_faults))
            columns, kept, records = columns[fit], kept[fit], records.take(fit)
            structs, names = [structs[i] for i in fit.tolist()], [names[i] for i in fit.tolist()]
        refused.sort(key=lambda refusal: refusal.offset)
        events = Events(
            columns=columns,
            users=[event.user_id for event in structs],
            ids=[event.event_id for event in structs],
            references=names,
            sources=(source,),
            source=np.zeros(len(structs), np.uint16),
            offset=records.offsets,
            arrived=records.timestamps,
        )
        return Validated(events, kept, refused)

    def _fill(
        self, groups: Sequence["_Group"], structs: list[Any]
    ) -> tuple[NDArray[np.void], list[str], dict[int, Fault]]:
        """Columns, references, and faults that only show once amounts are converted, by index in `structs`."""
        count = len(structs)
        columns, names = np.zeros(0 if len(groups) == 1 else count, EVENT), [""] * count
        faults: dict[int, Fault] = {}
        for group in groups:
            rows, values, tag = group.rows, group.fields, group.derived.tag
            filled = fill(tag, values, self._money, self._hashes)
            for column, field in AMOUNTS.get(tag, ()):
                amounts = filled[column]
                for j in np.flatnonzero((amounts < 0) | (amounts > LARGEST_AMOUNT)).tolist():
                    faults[rows[j]] = self._money_fault(field, values[field][j], values["currency"][j])
            if len(groups) == 1:
                columns, names = filled, references(tag, values)
            else:
                columns[rows] = filled
                for i, name in zip(rows, references(tag, values), strict=True):
                    names[i] = name
        return columns, names, faults

    def _check_records(self, records: RawRecords, structs: list[Any]) -> dict[int, Fault]:
        """Faults of the record around the event, by index: its key and its time of arrival."""
        faults: dict[int, Fault] = {}
        arrivals = records.timestamps
        times = np.fromiter([event.time for event in structs], np.int64, len(structs))
        ahead = times - arrivals
        for i in np.flatnonzero((ahead > self._max_ahead_ms) & (arrivals > 0)).tolist():
            text = (
                f"time: {times[i]} is {ahead[i]} ms after the record arrived, at most {self._max_ahead_ms} are allowed"
            )
            faults[i] = Fault(Refused.TOO_FAR_AHEAD, text)
        users = [event.user_id.encode() for event in structs]
        if users != records.keys:
            for i, (user, key) in enumerate(zip(users, records.keys, strict=True)):
                if user != key:
                    faults[i] = key_fault(key, "user_id", user.decode())
        return faults

    def _money_fault(self, name: str, amount: int, currency: str) -> Fault:
        if not self._money.knows(currency):
            return Fault(Refused.CURRENCY_WITHOUT_RATE, f"currency: no exchange rate for {currency!r} is configured")
        converted = self._money.convert(amount, currency)
        text = f"{name}: {amount} minor units of {currency} are {converted} of {self._money.currency}"
        return Fault(Refused.AMOUNT_TOO_LARGE, f"{text}, at most {LARGEST_AMOUNT} are allowed")


@dataclass(frozen=True, slots=True)
class _Group:
    """The events of one kind: their indices in the batch, and their fields as columns."""

    derived: Derived
    rows: Sequence[int]
    fields: Columns


class _NoEvent(msgspec.Struct, tag_field="type", tag="", forbid_unknown_fields=True):
    """Makes a union of a topic that has one kind only: alone, a tagged struct would be accepted without its tag."""

    unsatisfiable: Annotated[int, msgspec.Meta(ge=1, le=0)]


class _Topic:
    """The two validators of one topic's contracts."""

    def __init__(self, models: Sequence[type[UserEvent]]) -> None:
        derived = [derive(model) for model in models]
        self._by_struct: dict[type[Any], Derived] = {entry.struct: entry for entry in derived}
        self._by_model: dict[type[Any], Derived] = {entry.model: entry for entry in derived}
        self._judge = Judge(models)
        self._decode = msgspec.json.Decoder(Union[(*self._by_struct, _NoEvent)]).decode

    def read(self, values: Sequence[bytes | None]) -> tuple[list["_Group"], list[Any], dict[int, Fault]]:
        """Accepted events by kind, and in the order of the records; and by index in `values` the faults of others."""
        structs, doubtful = self._decode_each(values)
        faults = self._settle(doubtful, values, structs)
        groups = self._grouped(structs)
        suspects = sorted(group.rows[j] for group in groups for j in _suspects(group))
        faults |= self._settle(suspects, values, structs)
        if faults or suspects:
            structs = [event for event in structs if event is not None]
            groups = self._grouped(structs)
        return groups, structs, faults

    def _decode_each(self, values: Sequence[bytes | None]) -> tuple[list[Any], list[int]]:
        """By value its struct, or None where msgspec refuses it, and the indices of those."""
        structs: list[Any] = []
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            whole = [value for value in chunk if value is not None and len(value) <= LARGEST_RECORD]
            try:
                decoded = list(map(self._decode, whole)) if len(whole) == len(chunk) else None
            except _REFUSALS:
                decoded = None
            structs += map(self._decode_one, chunk) if decoded is None else decoded
        return structs, [i for i, event in enumerate(structs) if event is None]

    def _decode_one(self, value: bytes | None) -> Any:
        if value is None or len(value) > LARGEST_RECORD:
            return None
        try:
            return self._decode(value)
        except _REFUSALS:
            return None

    def _settle(self, doubtful: Iterable[int], values: Sequence[bytes | None], structs: list[Any]) -> dict[int, Fault]:
        """Let pydantic decide: the accepted ones replaced in `structs`, the others set to None and returned."""
        faults: dict[int, Fault] = {}
        for i in doubtful:
            verdict = self._judge.judge(values[i])
            if isinstance(verdict, Fault):
                structs[i], faults[i] = None, verdict
            else:
                structs[i] = self._by_model[type(verdict)].from_model(verdict)
        return faults

    def _grouped(self, structs: list[Any]) -> list["_Group"]:
        """Events by kind; None is left out."""
        types = list(map(type, structs))
        alone = len(set(types)) == 1
        groups = []
        for kind in set(types) & self._by_struct.keys():
            rows = range(len(types)) if alone else [i for i, other in enumerate(types) if other is kind]
            columns = zip(*map(msgspec.structs.astuple, structs if alone else [structs[i] for i in rows]), strict=True)
            derived = self._by_struct[kind]
            groups.append(_Group(derived, rows, dict(zip(derived.struct.__struct_fields__, columns, strict=True))))
        return groups


def _suspects(group: _Group) -> set[int]:
    """Indices, within the group, of events that msgspec has accepted although the contract may say otherwise."""
    derived, fields = group.derived, group.fields
    suspects = set(derived.rule(fields) if derived.rule else ())
    # One look at all identifiers together is many times faster than a pattern per value.
    columns = [fields[name] for name in derived.identifiers]
    if not _visible_ascii("".join(["".join(filter(None, c) if None in c else c) for c in columns])):
        for name in derived.identifiers:
            suspects.update(i for i, text in enumerate(fields[name]) if text and not _visible_ascii(text))
    return suspects


def _visible_ascii(text: str) -> bool:
    """Whether all characters are from ! to ~, as identifiers demand (true for an empty text)."""
    if not text.isascii():
        return False
    codes = np.frombuffer(text.encode(), np.uint8)
    return len(codes) == 0 or bool(codes.min() >= ord("!") and codes.max() <= ord("~"))


def _refusal(source: Source, records: RawRecords, i: int, fault: Fault) -> Refusal:
    offset = int(records.offsets[i])
    return Refusal(source, offset, records.keys[i], records.values[i], fault.error.value, fault.message)
