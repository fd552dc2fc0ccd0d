"""The lives of a book's users as records, and everything that an upstream system gets wrong about them.

Built for speed, because it runs beside the workers that it feeds: random numbers are drawn in blocks, values are
formatted from templates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from messages.inputs import LATEST_MS
from messages.vocabulary import CATEGORIES
from policy.policy import load_default

DAY_MS = 86_400_000
#: Shorter spans see no due date pass a day later, so their bills are older than the stream.
SHORT_MS = 3 * DAY_MS
REGIONS = ("north", "south", "coast", "inland")
_BLOCK = 8_192
_LATENESS_MS = load_default().terms.allowed_lateness * 1_000


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer publishes."""

    topic: str
    key: bytes
    value: bytes


#: Kinds of happenings and how many of 10,000 they are.
_WEIGHTS = {
    "purchase": 4_330,
    "browse": 1_900,
    "login": 1_500,
    "repayment": 450,
    "bill": 360,
    "refund": 220,
    "fund": 330,
    "request": 60,
    "failed_debit": 40,
    "reversal": 25,
    "reschedule": 30,
    "pause": 10,
    "profile": 60,
    "feedback": 40,
    "fraud": 2,
    "closure": 3,
    "erasure": 6,
    "overdue_bill": 8,
    "late": 180,
    "very_late": 60,
    "ancient": 6,
    "bad": 60,
    "repeat": 100,
    "repeat_at_once": 100,
}
_PAYING = 3  # of the first kinds many are a repayment instead, while something is owed
_FIRST_UNKEPT = list(_WEIGHTS).index("bad")  # from here on they are not repeated
_ERASURE = list(_WEIGHTS).index("erasure")
_EDGES = np.cumsum(list(_WEIGHTS.values())) / sum(_WEIGHTS.values())
_CATEGORY = [name.encode() for name in CATEGORIES for _ in range(2 if name in ("cash_like", "gambling") else 5)]
_CURRENCY = [b"CNY"] * 60 + [b"USD", b"JPY", b"EUR", b"HKD"]
_FUND = [b"interrupted", b"withdrawn", b"transferred", b"closed"]
_METHODS = [b"auto_debit", b"manual", b"transfer", b"other"]
_PURPOSES = [b"shopping", b"travel", b"education", b"medical", b"emergency", b"other"]
_VERDICTS = [b"confirmed", b"false_positive", b"undecided"]
_RATES = {b"CNY": 1, b"USD": 7, b"JPY": 5, b"EUR": 8, b"HKD": 1}
_HEAD = b'{"type":"%b","event_id":"%d-%d","user_id":"%b","time":%d'


class Lives:
    """Who the users are and what they owe, as far as it takes to go on plausibly; a slot per user."""

    def __init__(self, seed: int, users: int, start_ms: int, events: int, span_ms: int) -> None:
        self._random, self._seed, count = np.random.default_rng(seed), seed, users
        self._start_ms, self._events, self._span_ms = start_ms, events, span_ms
        self._names = [b"u%d-%d" % (seed, slot) for slot in range(count)]
        self._known = [False] * count
        self._spent, self._owed, self._bills, self._paid = [0] * count, [0] * count, [0] * count, [0] * count
        nothing = Record("", b"", b"")
        self._last, self._before = [nothing] * count, [nothing] * count
        self._number = 0  # of the newest event id
        self._time, self._amount, self._some, self._other = 0, 0, 0.0, 0.0  # drawn for the happening in hand
        self._kinds: list[Callable[[int], Record]] = [getattr(self, f"_{name}") for name in _WEIGHTS]
        self._pace_ms = span_ms * users // max(1, events)  # between two events of a user

    def tell(self, first: int, last: int) -> Iterator[Record]:
        """The happenings from number `first` to `last`."""
        for start in range(first, last, _BLOCK):
            yield from self._block(start, min(start + _BLOCK, last))

    def _block(self, first: int, last: int) -> Iterator[Record]:
        known, owed, latest = self._known, self._owed, self._last
        for slot, kind, time, amount, some, other in self._draw(first, last):
            self._time, self._amount, self._some, self._other = time, amount, some, other
            if not known[slot]:
                known[slot] = True
                latest[slot] = self._opening(slot)
                yield latest[slot]
            elif kind >= _FIRST_UNKEPT:
                yield self._kinds[kind](slot)
            else:
                pays = kind < _PAYING and owed[slot] and other < 0.5 and slot % 32
                record = self._repayment(slot) if pays else self._kinds[kind](slot)
                self._before[slot], latest[slot] = latest[slot], record
                yield record
                if kind == _ERASURE:
                    self._replace(slot)

    def _draw(self, first: int, last: int) -> Iterator[tuple[int, int, int, int, float, float]]:
        """Slot, kind, time, amount and two numbers in [0, 1) of each happening; more users come as time goes by."""
        random, number = self._random, last - first
        share = np.arange(first, last) / self._events
        slots = (random.random(number) ** 1.2 * len(self._names) * (0.25 + 0.75 * share)).astype(np.int64)
        times = self._start_ms + (share * self._span_ms).astype(np.int64)
        amounts = np.exp(random.normal(9.3, 0.6, number)).astype(np.int64) + 1
        kinds = np.minimum(np.searchsorted(_EDGES, random.random(number)), len(_EDGES) - 1)
        columns = (slots, kinds, times, amounts, random.random(number), random.random(number))
        return zip(*(column.tolist() for column in columns), strict=True)

    def _replace(self, slot: int) -> None:
        self._names[slot] = b"u%d-%d-%d" % (self._seed, slot, self._number)
        self._known[slot] = False
        self._spent[slot] = self._owed[slot] = self._bills[slot] = self._paid[slot] = 0

    def _event(self, topic: str, kind: bytes, slot: int, rest: bytes) -> Record:
        self._number = number = self._number + 1
        user = self._names[slot]
        return Record(topic, user, (_HEAD % (kind, self._seed, number, user, self._time)) + rest)

    # --- the account

    def _opening(self, slot: int) -> Record:
        rest = (
            b',"limit":%d,"currency":"CNY","monthly_income":%d,"region":"%b","segment":"s%d",'
            b'"consents_to_increases":%b,"consents_to_automated_decisions":%b}'
        ) % (
            1_500_000 + 100_000 * (slot % 40),
            700_000 + 10_000 * (slot % 97),
            REGIONS[slot % 4].encode(),
            slot % 3,
            b"false" if slot % 9 == 0 else b"true",
            b"false" if slot % 23 == 0 else b"true",
        )
        return self._event("profiles", b"account_opened", slot, rest)

    def _profile(self, slot: int) -> Record:
        if self._some < 0.5:
            rest = b',"monthly_income":%d,"currency":"CNY"}' % (600_000 + int(self._other * 1_000_000))
        else:
            rest = b',"region":"%b","consents_to_automated_decisions":true}' % REGIONS[int(self._other * 4)].encode()
        return self._event("profiles", b"profile_changed", slot, rest)

    def _closure(self, slot: int) -> Record:
        return self._event("profiles", b"account_closed", slot, b"}")

    def _erasure(self, slot: int) -> Record:
        return self._event("profiles", b"erasure_requested", slot, b"}")

    # --- spending

    def _purchase(self, slot: int) -> Record:
        currency, amount = _CURRENCY[int(self._some * 64)], self._amount
        if self._some > 0.9985:
            amount *= 40
        self._spent[slot] += amount * _RATES[currency]
        other, odd = self._other, int(self._other * 1_000_003)
        rest = (
            b',"order_id":"o%d","amount":%d,"currency":"%b","category":"%b","merchant_id":"m%d",'
            b'"device_id":"d%d","city":"c%d","instalments":%d,"green":%b,"energy_intensive":%b}'
        ) % (
            self._number,
            amount,
            currency,
            _CATEGORY[odd % len(_CATEGORY)],
            odd % 700 % (40 + slot % 7),
            slot + (odd % 13 if odd % 97 == 0 else 0),
            (slot if odd % 89 else odd) % 50,
            1 if other < 0.9 else 3 if other < 0.97 else 12,
            b"true" if odd % 11 == 0 else b"false",
            b"true" if odd % 17 == 0 else b"false",
        )
        return self._event("purchases", b"purchase", slot, rest)

    def _refund(self, slot: int) -> Record:
        amount = self._amount // 3 + 1
        self._spent[slot] = max(0, self._spent[slot] - amount)
        return self._event(
            "purchases", b"refund", slot, b',"order_id":"o%d","amount":%d,"currency":"CNY"}' % (self._number, amount)
        )

    def _browse(self, slot: int) -> Record:
        rest = b',"category":"%b","device_id":"d%d"}' % (_CATEGORY[int(self._some * len(_CATEGORY))], slot)
        return self._event("behaviours", b"browse", slot, rest)

    def _login(self, slot: int) -> Record:
        rest = b',"succeeded":%b,"device_id":"d%d","city":"c%d"}' % (
            b"false" if self._some < 0.06 else b"true",
            slot,
            slot % 50,
        )
        return self._event("behaviours", b"login", slot, rest)

    # --- bills

    def _bill(self, slot: int) -> Record:
        """Due a few events later; in a short span the timers of the first, seventh or thirtieth day come by then."""
        due = self._time + min(int((4 + 8 * self._some) * self._pace_ms), 25 * DAY_MS)
        if self._span_ms < SHORT_MS:
            due -= _LATENESS_MS + DAY_MS * (0 if self._other < 0.8 else 6 if self._other < 0.95 else 29)
        return self._issued(slot, due)

    def _overdue_bill(self, slot: int) -> Record:
        """Taken over from another book, long unpaid."""
        return self._issued(slot, self._time - int((20 + 25 * self._some) * DAY_MS))

    def _issued(self, slot: int, due: int) -> Record:
        self._bills[slot] += 1
        amount = self._spent[slot]
        self._spent[slot], self._owed[slot] = 0, amount
        rest = b',"bill_id":"b%d","amount_due":%d,"minimum_due":%d,"currency":"CNY","due_time":%d}' % (
            self._bills[slot],
            amount,
            amount // 10,
            due,
        )
        return self._event("bills", b"bill_issued", slot, rest)

    def _reschedule(self, slot: int) -> Record:
        due = self._time + int(self._some * min(self._span_ms, 20 * DAY_MS) / 4)
        return self._event(
            "bills", b"bill_rescheduled", slot, b',"bill_id":"b%d","due_time":%d}' % (max(1, self._bills[slot]), due)
        )

    def _pause(self, slot: int) -> Record:
        until = self._time + int(self._some * min(self._span_ms, 20 * DAY_MS) / 4) + 1_000
        return self._event("bills", b"hardship_pause", slot, b',"until":%d}' % until)

    # --- money that comes back

    def _repayment(self, slot: int) -> Record:
        """Mostly all that is owed, mostly naming the bill; before anything is due a credit."""
        owed = self._owed[slot]
        amount = owed if owed and self._some < 0.8 else owed // 3 or self._amount
        self._owed[slot] = max(0, owed - amount)
        self._paid[slot] = self._number
        bill = b',"bill_id":"b%d"' % self._bills[slot] if owed and self._other < 0.25 else b""
        rest = b',"repayment_id":"r%d","amount":%d,"currency":"CNY","method":"%b"%b}' % (
            self._number,
            amount,
            _METHODS[int(self._some * 4)],
            bill,
        )
        return self._event("repayments", b"repayment", slot, rest)

    def _failed_debit(self, slot: int) -> Record:
        return self._event("repayments", b"failed_debit", slot, b',"amount":%d,"currency":"CNY"}' % self._amount)

    def _reversal(self, slot: int) -> Record:
        rest = b',"repayment_id":"r%d","amount":%d,"currency":"CNY"}' % (self._paid[slot], self._amount)
        return self._event("repayments", b"reversal", slot, rest)

    # --- the rest of a life

    def _fund(self, slot: int) -> Record:
        status = _FUND[int(self._other * 4)] if self._some < 0.06 else b"normal"
        rest = (
            b',"status":"%b","monthly_amount":%d,"currency":"CNY","months_contributed":%d,'
            b'"employer_id":"e%d","city":"c%d"}'
        ) % (
            status,
            150_000 + 10_000 * (slot % 31),
            6 + self._bills[slot],
            slot % 211,
            slot % 50,
        )
        return self._event("provident-fund", b"provident_fund", slot, rest)

    def _request(self, slot: int) -> Record:
        rest = b',"request_id":"q%d","requested_limit":%d,"currency":"CNY","purpose":"%b"}' % (
            self._number,
            500_000 + int(self._some * 6_000_000),
            _PURPOSES[int(self._other * 6)],
        )
        return self._event("limit-requests", b"limit_request", slot, rest)

    def _feedback(self, slot: int) -> Record:
        rest = b',"warning_id":"w%d","verdict":"%b"}' % (self._number, _VERDICTS[int(self._some * 3)])
        return self._event("feedback", b"warning_feedback", slot, rest)

    def _fraud(self, slot: int) -> Record:
        rest = b',"order_id":"o%d","amount":%d,"currency":"CNY","charge_back":true}' % (self._number, self._amount)
        return self._event("feedback", b"fraud_confirmed", slot, rest)

    # --- what goes wrong upstream

    def _repeat(self, slot: int) -> Record:
        """The user's newest event but one."""
        record = self._before[slot]
        return record if record.key == self._names[slot] else self._last[slot]

    def _repeat_at_once(self, slot: int) -> Record:
        return self._last[slot]

    def _late(self, slot: int) -> Record:
        """Late within the allowed lateness."""
        return self._delayed(slot, int(self._some * 0.9 * _LATENESS_MS))

    def _very_late(self, slot: int) -> Record:
        """Later than the watermark waits."""
        return self._delayed(slot, _LATENESS_MS + int(self._some * 3 * DAY_MS))

    def _ancient(self, slot: int) -> Record:
        """Older than what the tiles keep."""
        return self._delayed(slot, int((95 + 20 * self._some) * DAY_MS))

    def _delayed(self, slot: int, by: int) -> Record:
        self._time -= by
        return self._refund(slot) if self._other < 0.05 else self._purchase(slot)

    def _bad(self, slot: int) -> Record:
        """Something that the contracts refuse; it changes nothing."""
        kept = self._spent[slot], self._owed[slot], self._paid[slot]
        kind = self._purchase if self._other < 0.5 else self._repayment if self._other < 0.75 else self._fund
        good = kind(slot)
        self._spent[slot], self._owed[slot], self._paid[slot] = kept
        return _DEFECTS[int(self._some * len(_DEFECTS))](good)


def _changed(old: bytes, new: bytes) -> Callable[[Record], Record]:
    return lambda good: Record(good.topic, good.key, good.value.replace(old, new, 1))


#: What makes a good record a bad one.
_DEFECTS: tuple[Callable[[Record], Record], ...] = (
    lambda good: Record(good.topic, good.key, good.value[: len(good.value) // 2]),  # broken JSON
    lambda good: Record(good.topic, good.key, b""),
    lambda good: Record(good.topic, good.key, good.value.replace(b"}", b"\xff}")),  # not UTF-8
    lambda good: Record(good.topic, good.key + b"x", good.value),  # another user's key
    _changed(b'"currency":', b'"money":'),  # a field is missing, another unknown
    _changed(b'"type":"', b'"type":"unheard_of_'),
    _changed(b'"currency":"', b'"currency":"X'),
    _changed(b'amount":', b'amount":-'),
    _changed(b'"time":', b'"time":%d,"was":' % (LATEST_MS - 1)),
    lambda good: Record(good.topic, good.key, _far_ahead(good.value)),
)


def _far_ahead(value: bytes) -> bytes:
    """The same event in the year 2099."""
    before, _, rest = value.partition(b'"time":')
    return before + b'"time":%d,' % (LATEST_MS - 1) + rest.partition(b",")[2]
