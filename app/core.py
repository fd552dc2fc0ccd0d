"""What decides, and in which currency: the parts that a worker, a replay and a look into the store share."""

from pathlib import Path

from app.settings import Settings
from decisions.in_force import InForce
from features.market import Market
from messages.decoding import Decoder
from messages.money import DEFAULT_RATES, Money
from policy.policy import Policy, PolicyError, load, load_default
from scoring.scorecard import Scorecard


def load_policy(path: Path | None) -> Policy:
    """The policy of a file, or the one that ships.

    Raises:
        PolicyError: with all problems of the file.
        OSError: when it cannot be read.
    """
    if path is None:
        return load_default()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError([f"{path}: not UTF-8 ({error.reason} at byte {error.start})"]) from None
    return load(text)


def money(settings: Settings) -> Money:
    """Conversion into the book's currency: the configured rates, static approximations for all others.

    Raises:
        ValueError: for a currency that the contracts do not know.
    """
    if settings.currency not in DEFAULT_RATES:
        raise ValueError(f"currency: {settings.currency!r} is not one that the contracts know")
    book = DEFAULT_RATES[settings.currency]
    rates = {code: rate / book for code, rate in DEFAULT_RATES.items()}
    return Money(settings.currency, rates | settings.exchange_rates)


def decoder(settings: Settings) -> Decoder:
    """Decodes into the book's currency."""
    return Decoder(money(settings))


def first_in_force(settings: Settings) -> InForce:
    """What decides before any policy, indicator or model was published.

    Raises:
        PolicyError: also where the policy's amounts are in another currency than the book.
    """
    policy = load_policy(settings.policy_file)
    if policy.currency != settings.currency:
        text = f"currency: the policy's amounts are in {policy.currency}, the book is kept in {settings.currency}"
        raise PolicyError(
            [f"{text}; amounts of events are converted to the book's currency, those of a policy are not"]
        )
    return InForce(policy, Scorecard(), Market())
