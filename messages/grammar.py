"""What the scanner accepts and where it puts it: arrays derived from the contracts.

Every field is derived from the same struct that msgspec decodes into (`messages.structs`), and goes where
`messages.filling` says. A contract with anything in it that the scanner does not know is an error, not a surprise.
"""

from collections.abc import Iterator, Sequence
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

IDENTIFIER, INTEGER, AMOUNT, WORD, FLAG = range(5)

#: A field of a kind of event.
FIELD = np.dtype(
    [
        ("form", "i8"),  # IDENTIFIER to FLAG
        ("cell", "i8"),  # gets the value, an identifier's hash, or a bit
        ("place", "i8"),  # gets where an identifier stands
        ("low", "u8"),  # least value, or number of bytes
        ("high", "u8"),  # greatest value or number of bytes; a flag's bit
        ("words", "u8"),  # section of the lexicon with the words it may be
        ("present", "u8"),  # bit of the column `present` that says it was given
        ("bit", "u8"),  # of the fields of its kind
        ("nullable", "?"),
    ],
    align=True,
)
#: A kind of event: the section of the lexicon with its fields, and the bits of those that must be there.
KIND = np.dtype([("names", "u8"), ("required", "u8")], align=True)

#: The longest word of a lexicon, bytes.
LONGEST = 32
_SLOTS = 1_024
_MASK = (1 << 64) - 1
STIR = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
SHIFT = 54  # leaves ten bits of 64 for a slot
#: Rules across fields that the scanner knows: it leaves to the others whatever might break one.
_KNOWN_RULES = {BillIssued, ProfileChanged, FraudConfirmed}


class Grammar(NamedTuple):
    """All topics. The sections of the lexicon are: per topic its kinds, per kind its fields, and lists of words."""

    lexicon: NDArray[np.uint64]  # u8[slots, 7]: section (0: empty slot), length, four words of eight bytes, value
    fields: NDArray[np.void]  # FIELD[f]
    kinds: NDArray[np.void]  # KIND[k]
    defaults: NDArray[np.uint64]  # u8[k, cells]: what every cell holds before the fields that are there


@cache
def grammar() -> tuple[Grammar, dict[str, int]]:
    """The grammar, and by topic the section of its kinds. Raises TypeError for a contract that cannot be scanned."""
    lexicon, fields, kinds, defaults, topics = _Lexicon(), list[dict[str, int]](), list[Any](), list[Any](), {}
    for topic, models in USER_TOPICS.items():
        topics[topic] = lexicon.section()
        for model in models:
            if (model in RULES) != (model in _KNOWN_RULES):
                raise TypeError(f"{model.__name__}: the scanner does not know its rule across fields")
            derived, section = derive(model), lexicon.section()
            lexicon.add(topics[topic], derived.tag, len(kinds))
            described = list(_described(derived, topics[topic], lexicon))
            for name, field, _ in described:
                lexicon.add(section, name, len(fields))
                fields.append(field)
            required, cells = _kind(derived.tag, described)
            kinds.append((section, required))
            defaults.append(cells)
    tables = _table(FIELD, fields), _table(KIND, kinds), np.array(defaults, np.uint64)
    return Grammar(lexicon.table, *tables), topics


class _Lexicon:
    """Words by section, hashed into a table with open addressing: the next slot is tried where one is taken."""

    def __init__(self) -> None:
        self.table = np.zeros((_SLOTS, 7), np.uint64)
        self._sections = self._count = 0
        self._lists: dict[tuple[str, ...], int] = {}

    def section(self) -> int:
        """A new section."""
        self._sections += 1
        return self._sections

    def add(self, section: int, word: str, value: int) -> None:
        text = word.encode()
        self._count += 1
        if not 1 <= len(text) <= LONGEST or self._count > _SLOTS // 2:
            raise TypeError(f"the lexicon has no room for {word!r}")
        words = [int.from_bytes(text[at : at + 8], "little") for at in range(0, LONGEST, 8)]
        stirred = section
        for word_of_eight, factor in zip(words, STIR, strict=True):
            stirred ^= word_of_eight * factor
        slot = (stirred * STIR[0] & _MASK) >> SHIFT
        while self.table[slot, 0]:
            slot = (slot + 1) % _SLOTS
        self.table[slot] = (section, len(text), *words, value)

    def listed(self, words: tuple[str, ...], first: int) -> int:
        """The section of a closed list, whose words are numbered from `first`."""
        if words not in self._lists:
            self._lists[words] = self.section()
            for number, word in enumerate(words, first):
                self.add(self._lists[words], word, number)
        return self._lists[words]


def _described(derived: Derived, topic: int, lexicon: _Lexicon) -> Iterator[tuple[str, dict[str, int], Any]]:
    """Name, row of FIELD and default of every field."""
    yield "type", {"form": WORD, "cell": CELL["nothing"], "words": topic, "bit": 1}, msgspec.NODEFAULT
    present = {name: bit for bit, name in PRESENCE.get(derived.tag, ())}
    struct = inspect.type_info(derived.struct)
    assert isinstance(struct, inspect.StructType)  # noqa: S101 - a struct has no other
    for number, field in enumerate(struct.fields, 1):
        row = _shape(derived, field.name, field.type, lexicon)
        if row.get("nullable", 0) > (field.default is None) or number >= 64:
            raise TypeError(f"{derived.tag}.{field.name}: null is not its default")
        row |= {"present": present.get(field.name, 0), "bit": 1 << number}
        yield field.name, row, field.default


def _shape(derived: Derived, name: str, kind: Any, lexicon: _Lexicon) -> dict[str, int]:
    """What the field may be, and which cell gets it."""
    tag = derived.tag
    columns = {"event_id": "event", "time": "time", "currency": "currency"}
    for table in (HASHED, AMOUNTS, NUMBERS, TIMES):
        columns |= {field: column for column, field in table.get(tag, ())}
    lists = {field: words for _, field, words in WORDS.get(tag, ())} | {"currency": CURRENCIES}
    columns |= {field: column for column, field, _ in WORDS.get(tag, ())}
    row = {"cell": CELL[columns.get(name, "nothing")]}
    match kind:
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return _shape(derived, name, inner, lexicon) | {"nullable": 1}
        case inspect.StrType(min_length=int(low), max_length=int(high)) if (
            name in derived.identifiers and low >= 1 and high <= BLOCK
        ):
            place = {REFERENCES.get(tag): "reference", "user_id": "user", "event_id": "id"}.get(name, "nothing")
            return row | {"form": IDENTIFIER, "low": low, "high": high, "place": CELL[place]}
        case inspect.IntType(gt=None, ge=int(low), lt=None, le=int(high)) if low >= 0:
            amounts = [field for _, field in AMOUNTS.get(tag, ())]
            return row | {"form": AMOUNT if name in amounts else INTEGER, "low": low, "high": high}
        case inspect.IntType(gt=None, ge=int(low), lt=int(end), le=None) if low >= 0:
            return row | {"form": INTEGER, "low": low, "high": end - 1}
        case inspect.LiteralType(values=(int(value),)):
            return row | {"form": INTEGER, "low": value, "high": value}
        case inspect.LiteralType(values=values) if set(lists.get(name, values)) == set(values):
            # No currency is 0.
            return row | {"form": WORD, "words": lexicon.listed(lists.get(name, values), int(name == "currency"))}
        case inspect.BoolType():
            bits = {field: bit for bit, field in FLAGS.get(tag, ())}
            return row | {"form": FLAG, "cell": CELL["flags"], "high": bits.get(name, 0)}
    raise TypeError(f"{tag}.{name}: the scanner does not know {kind!r}")


def _kind(tag: str, described: Sequence[tuple[str, dict[str, int], Any]]) -> tuple[int, list[int]]:
    """A row of KIND."""
    required, cells = 0, [0] * len(CELLS)
    for name, field, default in described:
        if default is msgspec.NODEFAULT:
            required |= field["bit"]
        elif default is not None:
            cells[CELL["present"]] |= field["present"]
            if field["form"] == FLAG:
                cells[CELL["flags"]] |= field["high"] * default
            elif field["form"] == WORD and name != "currency":
                words = next(words for _, name_of, words in WORDS.get(tag, ((0, name, (default,)),)) if name_of == name)
                cells[field["cell"]] = words.index(default)
            elif field["form"] == INTEGER or default == 0:
                cells[field["cell"]] = default
            else:
                raise TypeError(f"{tag}.{name}: the scanner does not know what {default!r} becomes")
    cells[CELL["kind"]], cells[CELL["nothing"]] = KINDS[tag], 0
    return required, cells


def _table(dtype: Any, rows: Sequence[Any]) -> NDArray[np.void]:
    table = np.zeros(len(rows), dtype)
    for i, row in enumerate(rows):
        for name, value in row.items() if isinstance(row, dict) else zip(dtype.names, row, strict=True):
            table[i][name] = value
    return table
