"""The ledger of one user, naively: lists of dicts, one event after the other, as features/ledger.py documents it."""

from dataclasses import dataclass, field
from math import ceil

DAY = 86_400
KEPT_BILLS, KEPT_PAYMENTS = 6, 8


@dataclass
class Bill:
    name: int
    issued: int = 0
    due: int = 0
    first_due: int = 0
    agreed: int = 0
    last_paid: int = 0
    amount: int = 0
    minimum: int = 0
    paid: int = 0
    by_due: int = 0
    carries: bool = False
    # what counts once payments without a bill are spread
    all_paid: int = 0
    all_by_due: int = 0
    all_last: int = 0

    @property
    def met(self) -> bool:
        return self.all_paid >= self.minimum

    @property
    def rest(self) -> int:
        return max(self.amount - self.all_paid, 0)

    def agree(self, time: int, due: int) -> None:
        if (time, due) > (self.agreed, self.due if time == self.agreed else 0):
            self.agreed, self.due = time, due

    def state(self, time: int, due: int, amount: int, minimum: int, carries: bool) -> None:
        self.issued, self.amount, self.minimum, self.carries = time, amount, minimum, carries
        self.agree(time, due)


@dataclass
class Past:
    """What bills that fell out leave behind."""

    bills: int = 0
    on_time: int = 0
    minimum_only: int = 0
    early: int = 0
    lead_days: int = 0


def lead(due: int, paid: int) -> int:
    return max(-180, min(180, (due - paid) // DAY))


@dataclass
class Ledger:
    bills: list[Bill] = field(default_factory=list)
    payments: list[tuple[int, int]] = field(default_factory=list)
    fallen_credit: int = 0
    fallen_arrears: int = 0
    arrears_due: int = 0
    past: Past = field(default_factory=Past)
    pause: tuple[int, int] = (0, 0)

    # --- events -------------------------------------------------------------------------------------------------

    def issue(self, name: int, time: int, due: int, amount: int, minimum: int, carries: bool) -> None:
        bill = self._bill(name, due)
        if bill is None:
            bill = Bill(name)
            bill.first_due = due
            bill.state(time, due, amount, minimum, carries)
            self._fall_out(bill)
            return
        if not bill.issued:
            bill.by_due = bill.paid if bill.last_paid <= due else 0
            bill.first_due = due
            bill.state(time, due, amount, minimum, carries)
        elif (time, amount, minimum) > (bill.issued, bill.amount, bill.minimum):
            bill.state(time, due, amount, minimum, carries)
        else:
            bill.agree(time, due)

    def reschedule(self, name: int, time: int, due: int) -> None:
        bill = self._bill(name, due)
        if bill is not None:
            bill.agree(time, due)

    def pay(self, name: int, time: int, amount: int) -> None:
        if not name:
            self.payments.append((time, amount))
            self.payments.sort()
            if len(self.payments) > KEPT_PAYMENTS:
                self.fallen_credit += self.payments.pop(0)[1]
            return
        bill = self._bill(name, time)
        if bill is None:
            self.fallen_credit += amount
            return
        bill.paid += amount
        if not bill.issued or time <= bill.first_due:
            bill.by_due += amount
        if amount > 0:
            bill.last_paid = max(bill.last_paid, time)
        if not bill.agreed:
            bill.due = max(bill.due, time)

    def hardship(self, time: int, until: int) -> None:
        self.pause = max(self.pause, (time, until))

    def _ordered(self) -> list[Bill]:
        return sorted(self.bills, key=lambda bill: (bill.due, bill.name))

    def _bill(self, name: int, time: int) -> Bill | None:
        for bill in self.bills:
            if bill.name == name:
                return bill
        if len(self.bills) == KEPT_BILLS:
            oldest = self._ordered()[0]
            if (time, name) < (oldest.due, oldest.name):
                return None
            self.settle()
            self.bills.remove(oldest)
            self._fall_out(oldest)
        self.bills.append(Bill(name, due=time))
        return self.bills[-1]

    def _fall_out(self, bill: Bill) -> None:
        if not any(other.carries for other in self.bills):
            if bill.amount > bill.paid:
                self.fallen_arrears += bill.amount - bill.paid
                self.arrears_due = min(self.arrears_due or bill.due, bill.due)
            else:
                self.fallen_credit += bill.paid - bill.amount
        if bill.amount:
            past, last = self.past, bill.all_last
            past.bills += 1
            past.on_time += bill.all_by_due >= bill.minimum
            past.minimum_only += bill.minimum <= bill.all_paid < bill.amount
            past.early += bill.all_paid >= bill.amount and 0 < last <= bill.first_due - 3 * DAY
            past.lead_days += lead(bill.first_due, last) if last else -180

    # --- reading ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Spread payments without a bill; leaves what counts in `all_*` of the bills, `credit` and `arrears`."""
        self.issued = [bill for bill in self._ordered() if bill.issued]
        self.carrying = [bill for bill in self.issued if bill.carries]
        unknown = sum(bill.paid for bill in self.bills if not bill.issued)
        for bill in self.bills:
            bill.all_paid, bill.all_by_due, bill.all_last = bill.paid, bill.by_due, bill.last_paid
        self.credit, self.arrears = self.fallen_credit + unknown, 0
        if not self.carrying:
            net = self.fallen_arrears - self.credit
            self.arrears = min(max(net, 0), self.fallen_arrears)
            self.credit = self.arrears - net
        unnamed = self._without_reversals()
        if not self.carrying and self.payments:
            begins = self.payments[0][0]
            self._cover(unknown, [bill for bill in self.issued if bill.issued <= begins], begins)
        for time, amount in unnamed:
            self._spread(time, amount)
        if not self.carrying:
            self._cover(unknown, self.issued, 0)
        named = [bill.last_paid for bill in self.bills if bill.paid > 0]
        self.repaid_at = sorted(named + [time for time, _ in unnamed])
        met = [self.issued.index(bill) for bill in self.carrying if bill.met]
        self.current = self.issued[met[-1] :] if met else self.issued
        self.counted = self.issued[self.issued.index(self.carrying[-1]) :] if self.carrying else self.issued

    def _without_reversals(self) -> list[tuple[int, int]]:
        kept: list[tuple[int, int]] = []
        for time, amount in self.payments:
            while amount < 0 and kept:
                paid_at, paid = kept.pop()
                if paid + amount > 0:
                    kept.append((paid_at, paid + amount))
                amount = min(paid + amount, 0)
            if amount > 0:
                kept.append((time, amount))
            else:
                self.credit += amount
        return kept

    def _cover(self, unknown: int, bills: list[Bill], paid_at: int) -> None:
        for bill in bills:
            part = min(self.credit - max(unknown, 0), bill.rest)
            if part > 0:
                self._count(bill, max(bill.issued, min(bill.first_due, paid_at)), part)
                self.credit -= part

    def _spread(self, time: int, left: int) -> None:
        carrying = [bill for bill in self.carrying if bill.issued <= time]
        if carrying:
            self._count(carrying[-1], time, left)
            return
        to_arrears = min(left, self.arrears)
        self.arrears -= to_arrears
        left -= to_arrears
        for bill in self.issued:
            if bill.issued <= time:
                part = min(left, bill.rest)
                if part:
                    self._count(bill, time, part)
                left -= part
        self.credit += left

    @staticmethod
    def _count(bill: Bill, time: int, amount: int) -> None:
        bill.all_paid += amount
        bill.all_by_due += amount if time <= bill.first_due else 0
        bill.all_last = max(bill.all_last, time)

    def days_late(self, due: int, end: int) -> int:
        paused = max(min(end, self.pause[1]) - max(due, self.pause[0]), 0)
        return max(ceil((end - due - paused) / DAY), 0)

    def unmet(self, t: int) -> list[Bill]:
        """Bills past due at t, after `settle`."""
        return [bill for bill in self.current if not bill.met and bill.due < t]

    def days_past_due(self, t: int) -> int:
        dues = [bill.due for bill in self.unmet(t)] + ([self.arrears_due] if self.arrears > 0 else [])
        return self.days_late(min(dues), t) if dues else 0

    def worst(self, t: int) -> int:
        worst = self.days_past_due(t)
        for i, bill in enumerate(self.issued):
            if bill.due >= t or bill.all_by_due >= bill.minimum or (bill in self.current and not bill.met):
                continue
            end = bill.all_last
            if not bill.met:
                cure = next(later for later in self.issued[i + 1 :] if later.carries and later.met)
                end = max(cure.all_last, cure.issued)
            if end > t - 90 * DAY:
                worst = max(worst, self.days_late(bill.due, min(end, t)))
        return worst
