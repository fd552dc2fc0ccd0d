"""Records to rows of `EVENT` in one compiled loop over their bytes.

The scanner accepts only what is plainly acceptable: JSON without escapes, repeated keys or anything unusual, whose
every value is what the grammar allows. It refuses nothing: what it does not accept is *doubtful* and goes to the
validators, whose verdict counts. What it accepts it reads as they do.
"""

from typing import Annotated, Any

import numpy as np

from messages.columns import EVENT
from messages.compiled import Rows, compiled, inlined, part, signed
from messages.digest import hashed, hashed_again
from messages.grammar import AMOUNT, CELL, FIELD, FLAG, HASHED_CELLS, IDENTIFIER, KIND, LONGEST, SHIFT, STIR, WORD
from messages.inputs import LARGEST_AMOUNT
from messages.words import first_of, same, visible_end, word_at

_u8: Any = np.uint64

#: A name and its value, where they stand in the text: lexically sound, not understood yet.
TOKEN = np.dtype(
    [("at", "i8"), ("length", "i8"), ("value", "u8"), ("value_length", "i8"), ("form", "i8")],
    align=True,
)  # `value` is a number, or where a text begins
_TEXT, _NUMBER, _TRUE, _FALSE, _NULL = range(5)
#: No contract has as many fields.
MOST_TOKENS = 32
#: More digits may not fit 64 bits, and no contract allows them.
_MOST_DIGITS = 18

_SPACE, _QUOTE, _COMMA, _ZERO, _NINE, _COLON, _OPEN, _CLOSE = b' ",09:{}'
_WORD_TRUE, _WORD_FALS, _WORD_NULL, _WORD_TYPE = (
    _u8(int.from_bytes(word, "little")) for word in (b"true", b"fals", b"null", b"type")
)
_FOUR = _u8(0xFFFFFFFF)
_LETTER_E = ord("e")
_STIR = tuple(map(_u8, STIR))
_SHIFT, _NONE, _ONE, _THOUSAND, _START_BITS, _LENGTH = map(_u8, (SHIFT, 0, 1, 1000, 16, 0xFFFF))
_LARGEST = float(LARGEST_AMOUNT)

_KIND, _CATEGORY, _STATUS, _METHOD = CELL["kind"], CELL["category"], CELL["status"], CELL["method"]
_FLAGS, _PRESENT, _INSTALMENTS, _MONTHS = CELL["flags"], CELL["present"], CELL["instalments"], CELL["months"]
_TIME, _EVENT, _AMOUNT, _MINIMUM, _INCOME = (CELL[name] for name in ("time", "event", "amount", "minimum", "income"))
_UNTIL, _BILL, _MERCHANT, _DEVICE = CELL["until"], CELL["bill"], CELL["merchant"], CELL["device"]
_CITY, _REGION, _EMPLOYER = CELL["city"], CELL["region"], CELL["employer"]
_CURRENCY, _PRICED, _NOTHING = CELL["currency"], CELL["priced"], CELL["nothing"]
_HASHED, _HASHED_END = CELL[HASHED_CELLS[0]], CELL[HASHED_CELLS[-1]] + 1
_USER, _ID, _REFERENCE = CELL["user"], CELL["id"], CELL["reference"]


@part
def _skip(text: Any, at: int) -> int:
    """The first place from `at` on that is not white."""
    while text[at] <= _SPACE and (text[at] == _SPACE or text[at] == 9 or text[at] == 10 or text[at] == 13):
        at += 1
    return at


@part
def _number(text: Any, at: int, token: Any) -> int:
    """Read a number from its first digit on; returns its end, or -1."""
    first, value = at, _NONE
    while _ZERO <= text[at] <= _NINE and at - first <= _MOST_DIGITS:
        value = value * _u8(10) + _u8(text[at] - _ZERO)
        at += 1
    if at - first > _MOST_DIGITS or (text[first] == _ZERO and at - first > 1):
        return -1
    token.form = _NUMBER
    token.value = value
    return at


@part
def _value(text: Any, at: int, token: Any) -> int:
    """Read the value that begins at `at`; returns its end, or -1."""
    if text[at] == _QUOTE:
        end = visible_end(text, at + 1)
        token.form = _TEXT
        token.value = _u8(at + 1)
        token.value_length = end - at - 1
        return end + 1 if text[end] == _QUOTE else -1
    if _ZERO <= text[at] <= _NINE:
        return _number(text, at, token)
    word = word_at(text, at) & _FOUR
    if word == _WORD_TRUE:
        token.form = _TRUE
        return at + 4
    if word == _WORD_NULL:
        token.form = _NULL
        return at + 4
    if word == _WORD_FALS and text[at + 4] == _LETTER_E:
        token.form = _FALSE
        return at + 5
    return -1


@part
def _read(text: Any, at: int, stop: int, tokens: Any) -> int:
    """Take the object that text[at:stop] consists of apart; returns the number of its tokens, or -1 where unsure."""
    at = _skip(text, at)
    if text[at] != _OPEN:
        return -1
    at = _skip(text, at + 1)
    for count in range(MOST_TOKENS):
        token = tokens[count]
        end = visible_end(text, at + 1)
        if text[at] != _QUOTE or text[end] != _QUOTE:
            return -1
        token.at = at + 1
        token.length = end - at - 1
        at = _skip(text, end + 1)
        if text[at] != _COLON:
            return -1
        at = _value(text, _skip(text, at + 1), token)
        if at < 0:
            return -1
        at = _skip(text, at)
        if text[at] == _CLOSE:
            # A record that is cut short may go on in the next one, but then it ends too late.
            return count + 1 if at < stop <= _skip(text, at + 1) else -1
        if text[at] != _COMMA:
            return -1
        at = _skip(text, at + 1)
    return -1


@inlined
def _look_up(lexicon: Any, section: Any, text: Any, at: int, length: int) -> int:
    """The value of a word in a section of the lexicon; -1 where it is not there."""
    if length > LONGEST:
        return -1
    w0 = first_of(text, at, length)
    w1 = first_of(text, at + 8, length - 8) if length > 8 else _NONE
    w2 = first_of(text, at + 16, length - 16) if length > 16 else _NONE
    w3 = first_of(text, at + 24, length - 24) if length > 24 else _NONE
    stirred = section ^ w0 * _STIR[0] ^ w1 * _STIR[1] ^ w2 * _STIR[2] ^ w3 * _STIR[3]
    slot = stirred * _STIR[0] >> _SHIFT
    while lexicon[slot, 0] != _NONE:
        if (
            lexicon[slot, 0] == section
            and lexicon[slot, 1] == _u8(length)
            and lexicon[slot, 2] == w0
            and lexicon[slot, 3] == w1
            and lexicon[slot, 4] == w2
            and lexicon[slot, 5] == w3
        ):
            return signed(lexicon[slot, 6])
        slot = (slot + _ONE) % _u8(len(lexicon))
    return -1


@part
def _kind_of(text: Any, tokens: Any, count: int, lexicon: Any, topic: Any) -> int:
    """The kind that the record says it is, or -1."""
    for i in range(count):
        token = tokens[i]
        if token.length == 4 and word_at(text, token.at) & _FOUR == _WORD_TYPE:
            if token.form != _TEXT:
                return -1
            return _look_up(lexicon, topic, text, signed(token.value), token.value_length)
    return -1


@inlined
def _take(text: Any, token: Any, field: Any, lexicon: Any, cells: Any) -> bool:
    """Put the token's value where the field wants it; False where it is not plainly acceptable."""
    if token.form == _NULL:
        return bool(field.nullable)
    if field.form == IDENTIFIER:
        length = _u8(token.value_length)
        if token.form != _TEXT or length < field.low or length > field.high:
            return False
        # Not hashed before the whole record is known to be sound.
        cells[field.cell] = token.value << _START_BITS | length
        cells[field.place] = token.value << _START_BITS | length
    elif field.form == WORD:
        if token.form != _TEXT:
            return False
        number = _look_up(lexicon, field.words, text, signed(token.value), token.value_length)
        if number < 0:
            return False
        cells[field.cell] = _u8(number)
    elif field.form == FLAG:
        if token.form != _TRUE and token.form != _FALSE:
            return False
        cells[_FLAGS] = cells[_FLAGS] | field.high if token.form == _TRUE else cells[_FLAGS] & ~field.high
    else:
        if token.form != _NUMBER or token.value < field.low or token.value > field.high:
            return False
        cells[field.cell] = token.value
        if field.form == AMOUNT:
            cells[_PRICED] = _ONE
    cells[_PRESENT] |= field.present
    return True


@part
def _understood(
    text: Any, tokens: Any, count: int, topic: Any, lexicon: Any, fields: Any, kinds: Any, defaults: Any, cells: Any
) -> bool:
    """Put all tokens into the cells; False where a field is unknown, repeated, missing, or not plainly acceptable."""
    number = _kind_of(text, tokens, count, lexicon, topic)
    if number < 0:
        return False
    kind, seen = kinds[number], _NONE
    for i in range(len(cells)):
        cells[i] = defaults[number, i]
    for i in range(count):
        token = tokens[i]
        number = _look_up(lexicon, kind.names, text, token.at, token.length)
        if number < 0:
            return False
        field = fields[number]
        if seen & field.bit != _NONE or not _take(text, token, field, lexicon, cells):
            return False
        seen |= field.bit
    return bool(seen & kind.required == kind.required)


@part
def _convert(cells: Any, rates: Any) -> bool:
    """Bring the amounts into the book's currency; False where that is not plainly possible."""
    if cells[_MINIMUM] > cells[_AMOUNT]:
        return False
    currency = cells[_CURRENCY]
    if currency == _NONE:
        return bool(cells[_PRICED] == _NONE)
    rate = rates[currency]
    amount = np.rint(np.float64(cells[_AMOUNT]) * rate)
    minimum = np.rint(np.float64(cells[_MINIMUM]) * rate)
    income = np.rint(np.float64(cells[_INCOME]) * rate)
    if rate <= 0.0 or amount > _LARGEST or minimum > _LARGEST or income > _LARGEST:
        return False
    cells[_AMOUNT], cells[_MINIMUM], cells[_INCOME] = _u8(amount), _u8(minimum), _u8(income)
    return True


@part
def _write(cells: Any, row: Any) -> None:
    """An accepted record's row of EVENT."""
    row.kind = cells[_KIND]
    row.category = cells[_CATEGORY]
    row.status = cells[_STATUS]
    row.method = cells[_METHOD]
    row.flags = cells[_FLAGS]
    row.present = cells[_PRESENT]
    row.instalments = cells[_INSTALMENTS]
    row.months = cells[_MONTHS]
    row.time = cells[_TIME] // _THOUSAND
    row.event = cells[_EVENT]
    row.amount = cells[_AMOUNT]
    row.minimum = cells[_MINIMUM]
    row.income = cells[_INCOME]
    row.until = cells[_UNTIL] // _THOUSAND
    row.bill = cells[_BILL]
    row.merchant = cells[_MERCHANT]
    row.device = cells[_DEVICE]
    row.city = cells[_CITY]
    row.region = cells[_REGION]
    row.employer = cells[_EMPLOYER]


@compiled
def scan(
    text: Annotated[Any, Rows(np.uint8)],
    starts: Annotated[Any, Rows(np.int64)],
    ends: Annotated[Any, Rows(np.int64)],
    key_starts: Annotated[Any, Rows(np.int64)],
    key_ends: Annotated[Any, Rows(np.int64)],
    latest: Annotated[Any, Rows(np.int64)],
    topics: Annotated[Any, Rows(np.uint8)],
    lexicon: Annotated[Any, Rows(np.uint64, 2)],
    fields: Annotated[Any, Rows(FIELD)],
    kinds: Annotated[Any, Rows(KIND)],
    defaults: Annotated[Any, Rows(np.uint64, 2)],
    rates: Annotated[Any, Rows(np.float64)],
    cache: Annotated[Any, Rows(np.uint64, 2)],
    tokens: Annotated[Any, Rows(TOKEN)],
    block: Annotated[Any, Rows(np.uint64)],
    cells: Annotated[Any, Rows(np.uint64)],
    rows: Annotated[Any, Rows(EVENT)],
    places: Annotated[Any, Rows(np.uint64, 2)],
    accepted: Annotated[Any, Rows(np.bool_)],
) -> int:
    """Scan the n records text[starts[i]:ends[i]]; returns how many are accepted.

    `text` is u1[] that ends with `PADDING`; the keys are in it, too, with bounds i8[n] like the records. `latest` is
    i8[n], the greatest time (ms) that each may have, `topics` u1[n] the sections of the lexicon that their topics have;
    then come the members of `Grammar`. `rates` f8[1 + currencies] is what amounts are multiplied with: 0 where there is
    no rate, and for no currency. `cache` remembers hashes. Scratch: `tokens` TOKEN[MOST_TOKENS], `block` u8[16],
    `cells` u8[CELLS].

    Results: `accepted` bool[n], and from the front on for each of those `rows` EVENT[n], zero before, and `places`
    u8[3, n], `start << 16 | length` of user, id and reference in `text`.
    """
    done = 0
    for i in range(len(accepted)):
        accepted[i], section = False, _u8(topics[i])
        count = _read(text, starts[i], ends[i], tokens)
        if not _understood(text, tokens, count, section, lexicon, fields, kinds, defaults, cells):
            continue
        user, length = cells[_USER], key_ends[i] - key_starts[i]
        if signed(cells[_TIME]) > latest[i] or signed(user & _LENGTH) != length:
            continue
        if not same(text, signed(user >> _START_BITS), text, key_starts[i], length) or not _convert(cells, rates):
            continue
        cells[_EVENT] = hashed(text, signed(cells[_ID] >> _START_BITS), signed(cells[_ID] & _LENGTH), block)
        for j in range(_HASHED, _HASHED_END):
            if cells[j] != _NONE:
                start, length = signed(cells[j] >> _START_BITS), signed(cells[j] & _LENGTH)
                cells[j] = hashed_again(text, start, length, block, cache)
        _write(cells, rows[done])
        places[0, done] = _u8(key_starts[i]) << _START_BITS | _u8(key_ends[i] - key_starts[i])
        places[1, done] = cells[_ID]
        places[2, done] = cells[_REFERENCE]
        accepted[i] = True
        done += 1
    return done
