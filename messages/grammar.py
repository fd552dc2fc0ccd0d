"""What the scanner accepts and where it puts it: arrays derived from the contracts.

Every field is derived from the same struct that msgspec decodes into (`messages.structs`), and goes where
`messages.filling` says. A contract with anything in it that the scanner does not know is an error, not a surprise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import inspect
from numpy.typing import NDArray

from messages.columns import EVENT
from messages.digest import BLOCK
from messages.filling import AMOUNTS, FLAGS, HASHED, KINDS, NUMBERS, PRESENCE, REFERENCES, TIMES, WORDS
from messages.inputs import USER_TOPICS, BillIssued, FraudConfirmed, ProfileChanged
from messages.structs import RULES, Derived, derive
from messages.vocabulary import CURRENCIES

#: What is gathered of a record: the columns of EVENT, and what else is needed to judge it. `user`, `id` and `reference`
#: are places in the text; `priced` is 1 where an amount was given; what is only checked goes to `nothing`.
CELLS = (*(EVENT.names or ()), "currency", "priced", "user", "id", "reference", "nothing")
CELL = {name: number for number, name in enumerate(CELLS)}
#: Those that hold an identifier until the whole record is accepted, and then its hash; they follow on each other.
HASHED_CELLS = ("bill", "merchant", "device", "city", "region", "employer")

IDENTIFIER, INTEGER, AMOUNT, WORD, FLAG = range(5)

#: A field of a kind of event.
FIELD = np.dtype(
    [
        ("form", "i8"),  # IDENTIFIER to FLAG
        ("cell", "i8"),  # gets the value, where an identifier stands, or a flag's bit
        ("place", "i8"),  # gets where an identifier stands, too
        ("low", "u8"),  # least value, or number of bytes
        ("high", "u8"),  # greatest value or number of bytes; a flag's bit
        ("words", "u8"),  # section of the lexicon with the words that it may be
        ("present", "u8"),  # bit of the column `present` that says that it was given
        ("bit", "u8"),  # of the fields of its kind
        ("nullable", "u8"),
    ],
    align=True,
)
#: A kind of event: the section of the lexicon with its fields, and the bits of those that must be there.
KIND = np.dtype([("names", "u8"), ("required", "u8")], align=True)

#: The longest word of a lexicon, bytes.
LONGEST = 32
#: How a word finds its slot: section and words of eight bytes, each times its number, by exclusive or; that times the
#: first number; the highest ten bits.
STIR = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
SHIFT = 54
_SLOTS = 1 << 64 - SHIFT
_MOST_FIELDS = 64
#: Rules across fields that the scanner knows: it leaves to the validators whatever might break one.
_KNOWN_RULES = {BillIssued, ProfileChanged, FraudConfirmed}


class Grammar(NamedTuple):
    """All topics. The sections of the lexicon are: per topic its kinds, per kind its fields, and lists of words."""

    lexicon: NDArray[np.uint64]  # u8[slots, 7]: section (0: empty slot), length, four words of eight bytes, value
    fields: NDArray[np.void]  # FIELD[f]
    kinds: NDArray[np.void]  # KIND[k]
    defaults: NDArray[np.uint64]  # u8[k, cells]: what the cells hold where the optional fields are not there


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of one kind, as its contract has it; `words` are numbered from `first`."""

    name: str
    form: int
    cell: str
    low: int = 0
    high: int = 0
    words: tuple[str, ...] = ()
    first: int = 0
    place: str = "nothing"
    present: int = 0
    nullable: bool = False
    default: Any = msgspec.NODEFAULT

    @property
    def required(self) -> bool:
        return self.default is msgspec.NODEFAULT

    def put_default(self, cells: dict[str, int]) -> None:
        """Set the cells of a record without this field."""
        if self.required or self.default is None:
            return
        cells["present"] |= self.present
        if self.form == FLAG:
            cells["flags"] |= self.high if self.default else 0
        elif self.form == WORD:
            cells[self.cell] = self.first + self.words.index(self.default)
        elif self.form == INTEGER or (self.form == AMOUNT and self.default == 0):
            cells[self.cell] = self.default
        else:
            raise TypeError(f"{self.name}: the scanner does not know what the default {self.default!r} becomes")


class _Lexicon:
    """Words by section, hashed into a table with open addressing: the next slot is tried where one is taken."""

    def __init__(self) -> None:
        self.table = np.zeros((_SLOTS, 7), np.uint64)
        self._sections: dict[tuple[tuple[str, ...], int], int] = {}
        self._count = 0

    def section(self, words: tuple[str, ...], first: int) -> int:
        """The section with these words, whose values are numbered from `first`."""
        known = self._sections.get((words, first))
        if known is not None:
            return known
        section = self._sections[words, first] = len(self._sections) + 1
        for value, word in enumerate(words, first):
            self._add(section, word, value)
        return section

    def _add(self, section: int, word: str, value: int) -> None:
        text = word.encode()
        self._count += 1
        if not 1 <= len(text) <= LONGEST or self._count > _SLOTS // 2:
            raise TypeError(f"the lexicon has no room for {word!r}")
        parts = [int.from_bytes(text[at : at + 8], "little") for at in range(0, LONGEST, 8)]
        stirred = section
        for part, factor in zip(parts, STIR, strict=True):
            stirred ^= part * factor
        slot = (stirred * STIR[0] & (1 << 64) - 1) >> SHIFT
        while self.table[slot, 0]:
            slot = (slot + 1) % _SLOTS
        self.table[slot] = (section, len(text), *parts, value)


@cache
def grammar() -> tuple[Grammar, dict[str, int]]:
    """The grammar, and by topic the section of its kinds. Raises TypeError for a contract that cannot be scanned."""
    lexicon, topics = _Lexicon(), dict[str, int]()
    rows, kinds, defaults = list[tuple[int, ...]](), list[tuple[int, int]](), list[list[int]]()
    for topic, models in USER_TOPICS.items():
        tags, first = tuple(derive(model).tag for model in models), len(kinds)
        topics[topic] = lexicon.section(tags, first)
        for model in models:
            if (model in RULES) != (model in _KNOWN_RULES):
                raise TypeError(f"{model.__name__}: the scanner does not know its rule across fields")
            found = [_Field("type", WORD, "nothing", words=tags, first=first), *_fields(derive(model))]
            cells = dict.fromkeys(CELLS, 0) | {"kind": KINDS[derive(model).tag]}
            for field in found:
                field.put_default(cells)
            names = lexicon.section(tuple(field.name for field in found), len(rows))
            rows += [_row(field, 1 << number, lexicon) for number, field in enumerate(found)]
            kinds.append((names, sum(1 << number for number, field in enumerate(found) if field.required)))
            defaults.append([*cells.values()])
    return Grammar(lexicon.table, np.array(rows, FIELD), np.array(kinds, KIND), np.array(defaults, np.uint64)), topics


def _row(field: _Field, bit: int, lexicon: _Lexicon) -> tuple[int, ...]:
    """A row of FIELD."""
    words = lexicon.section(field.words, field.first) if field.words else 0
    cell, place = CELL[field.cell], CELL[field.place]
    return field.form, cell, place, field.low, field.high, words, field.present, bit, int(field.nullable)


def _fields(derived: Derived) -> Iterator[_Field]:
    struct = inspect.type_info(derived.struct)
    assert isinstance(struct, inspect.StructType)  # noqa: S101 - what a struct's type is
    if len(struct.fields) >= _MOST_FIELDS:
        raise TypeError(f"{derived.tag}: has too many fields to be scanned")
    present = {name: bit for bit, name in PRESENCE.get(derived.tag, ())}
    for field in struct.fields:
        found = _field(derived, field.name, field.type)
        if found.nullable and field.default is not None:
            raise TypeError(f"{derived.tag}.{field.name}: null is not its default")
        yield replace(found, present=present.get(field.name, 0), default=field.default)


def _field(derived: Derived, name: str, kind: Any) -> _Field:
    """What the field may be, and what becomes of it."""
    tag, cell = derived.tag, _cell(derived.tag, name)
    match kind:
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return replace(_field(derived, name, inner), nullable=True)
        case inspect.StrType(min_length=int(low), max_length=int(high)) if 1 <= low <= high <= BLOCK:
            if name in derived.identifiers and cell in ("event", "nothing", *HASHED_CELLS):
                place = {REFERENCES.get(tag): "reference", "user_id": "user", "event_id": "id"}.get(name, "nothing")
                return _Field(name, IDENTIFIER, cell, low, high, place=place)
        case inspect.IntType(gt=None, ge=int(low), lt=None, le=int(high)) if low >= 0:
            return _Field(name, AMOUNT if cell in ("amount", "minimum", "income") else INTEGER, cell, low, high)
        case inspect.IntType(gt=None, ge=int(low), lt=int(end), le=None) if low >= 0 and cell in ("time", "until"):
            return _Field(name, INTEGER, cell, low, end - 1)
        case inspect.LiteralType(values=(int(value),)):
            return _Field(name, INTEGER, cell, value, value)
        case inspect.LiteralType(values=values):
            words = {field: words for _, field, words in WORDS.get(tag, ())} | {"currency": CURRENCIES}
            listed = words.get(name, tuple(map(str, values)))
            if set(listed) == set(values):
                return _Field(name, WORD, cell, words=listed, first=int(name == "currency"))  # currency 0 is none
        case inspect.BoolType():
            return _Field(name, FLAG, "flags", high={field: bit for bit, field in FLAGS.get(tag, ())}.get(name, 0))
    raise TypeError(f"{tag}.{name}: the scanner does not know {kind!r}")


def _cell(tag: str, name: str) -> str:
    """Where the field goes."""
    cells = {"event_id": "event", "time": "time", "currency": "currency"}
    for table in (HASHED, AMOUNTS, NUMBERS, TIMES):
        cells |= {field: column for column, field in table.get(tag, ())}
    cells |= {field: column for column, field, _ in WORDS.get(tag, ())}
    return cells.get(name, "nothing")
