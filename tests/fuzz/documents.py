"""What must hold for every text that is given as a policy: it is refused with problems, or it judges."""

import random
import re
import time
from functools import cache

import numpy as np

from messages.columns import Events
from policy.policy import MOST_PROBLEMS, PolicyError, default_text, load
from tests.decisions.streams import decode, random_stream
from tests.fuzz import deciding
from tests.fuzz.decoding import Broken

#: Bounds, not measurements: minutes of work or megabytes of message are what they are to catch.
SECONDS, LONGEST_MESSAGE = 20.0, 100_000

_SCALARS = (
    "", "~", "null", "true", "yes", "0", "-1", "1", "1.5", "-0.0", "1e3", "1e400",
    ".inf", "-.inf", ".nan", "0x10", "0o7",
    "1_000", "1:30:00", "1:99:99", "=", "<<", "2024-01-01", "2024-13-45",
    "2024-01-01T00:00:00Z", "9" * 30, "9" * 5_000,
    "4000000001", "7d", "-7d", "9999999d", "99999999d", "7 d",
    "٣d", '"\\ud800"', '"\\UFFFFFFFF"', '"\\x00"', "'a'", '"',
    "'", "[]", "{}", "[1, 2]", "{a: 1}",
    "[" * 30 + "]" * 30, "[" * 5_000, "{a: " * 30 + "1" + "}" * 30, "|", ">-", "&a 1",
    "*a", "&a [*a]", "&a {b: *a}", "!!bool x", "!!int ''", "!!int x", "!!float _",
    "!!timestamp x", "!!binary '%'",
    "!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!!set {a}",
    "!!omap [a: 1]", "!local x", "! x",
    "!!str 7d", "!<tag:yaml.org,2002:bool> q", "owed", "OWED", "critical", "freeze",
    "CNY", "A", "\ud800", "\x00", "\x85",
    "\u2028", "\ufeff", "贷", "x" * 2_000, "a b", "# x", "- x", "? x",
    "%TAG ! tag:x,2000:", "---", "...", "@x", "`x`",
)  # fmt: skip
_EXPRESSIONS = (
    "owed > 0", "owed", "limit / owed > 2", "1 / 0 > 1", "0 / 0 == 0",
    "not (owed / owed > 1)", "owed > 1e15", "owed > 1e16",
    "owed == owed", "-owed < 0", "+owed > 0", "abs(owed) > 0", "min(owed, limit) > 0",
    "max(owed, 1, 2) > 0", "abs() > 1",
    "min(*owed) > 1", "owed ** 2 > 1", "owed // 2 > 1", "owed % 2 > 1", "owed > 'a'",
    "owed > True", "owed > None", "owed is 1",
    "owed in [1]", "owed if owed else owed", "lambda: 1", "__import__('os') > 1",
    "owed.__class__ > 1", "owed[0] > 1",
    "f'{owed}' > 1", "(owed := 1) > 1", "[x for x in owed]", "owed > 1j", "owed > 0x10",
    "owed > 1_0", "owed > 00", "owed > 01",
    "1 < owed < 2 < 3", "1 < 2", "1 / 0 > 1 or owed > 1",
    "owed > 0 and limit / owed < 2", "owed >", "> owed", "owed &&", "",
    "ｏｗｅｄ > 0", "owed > 0 # x", "owed > 0; 1", "owed\u00a0> 0", "await owed", "yield",
    "...", "owed > ...", "default_probability > 0.5",
    "default_probability / 0 > 1", "event_is_purchase", "GRADE_A == 1", "PURCHASE",
    "unknown_name > 1", "o" * 1_990 + " > 1",
    "-" * 1_900 + "1 > 0", "not " * 400 + "owed > 0", "1 + " * 400 + "1 > 0",
    "(" * 190 + "owed" + ")" * 190 + " > 0",
    "(" * 900 + "owed" + ")" * 900 + " > 0", "abs(" * 150 + "owed" + ")" * 150 + " > 0",
    "owed > 1" + "0" * 1_900,
    "owed" + " < owed" * 280, "owed > 0" + " or owed > 0" * 160, "owed > 0 " * 300,
)  # fmt: skip
_VALUE = re.compile(r"(?<=: )[^\n{}]+?(?=[,}\n])")
_CONDITION = re.compile(r"(?<=when: )[^\n{}>]+?(?=[}\n])")


def text_of(seed: int) -> str:
    """A policy's text with something changed in it; the same for the same seed."""
    chance = random.Random(seed)
    text = default_text()
    if chance.random() < 0.04:
        return "".join(
            chance.choice(_SCALARS) + chance.choice((" ", ": ", "\n", ", ")) for _ in range(chance.randrange(20))
        )
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        text = _changed(chance, text)
    return text


def _changed(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    match chance.randrange(14):
        case 0:
            del lines[at : at + chance.choice((1, 1, 1, 5, 60))]
        case 1:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at] = " " * chance.randrange(4) + lines[at].removeprefix("  ")
        case 3:
            lines[at] = lines[at].replace(": ", chance.choice((":", ": &a ", ": *a", ": !!bool ", " : ", ": - ")), 1)
        case 4:
            lines.insert(at, chance.choice(_SCALARS) + ": " + chance.choice(_SCALARS))
        case 5:
            place = chance.randrange(len(text) + 1)
            return text[:place] + chance.choice(_SCALARS) + text[place + chance.randrange(3) :]
        case 6 | 7 | 8:
            return _replaced(chance, text, _VALUE, chance.choice(_SCALARS))
        case _:
            expression = chance.choice(_EXPRESSIONS)
            quoted = '"' + expression.replace('"', '\\"') + '"' if chance.random() < 0.8 else expression
            return _replaced(chance, text, _CONDITION, quoted)
    return "\n".join(lines)


def _replaced(chance: random.Random, text: str, pattern: re.Pattern[str], new: str) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text
    chosen = chance.choice(found)
    return text[: chosen.start()] + new + text[chosen.end() :]


@cache
def _events() -> Events:
    return decode(random_stream(5, 6, 80))


def check(text: str, chance: random.Random) -> bool:
    """Load `text`, and judge with it where that can be done; whether it was accepted. Raises Broken."""
    began = time.monotonic()
    try:
        policy = load(text)
    except PolicyError as error:
        if not error.problems or not all(error.problems) or len(error.problems) > MOST_PROBLEMS + 1:
            raise Broken(f"refused with {len(error.problems)} problems") from error
        if len(str(error)) > LONGEST_MESSAGE:
            raise Broken(f"refused with {len(str(error))} characters") from error
        _in_time(began)
        return False
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Broken(f"loading the policy raised {error!r}") from error
    _in_time(began)
    if load(text).version != policy.version:
        raise Broken("one text gives two versions")
    try:
        deciding.check([_events().take(np.arange(len(_events())))], chance, policy)
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"judging by the policy raised {error!r}") from error
    return True


def _in_time(began: float) -> None:
    if time.monotonic() - began > SECONDS:
        raise Broken(f"took {time.monotonic() - began:.0f} s")
