"""Cron expressions as this API takes them: five fields, at most one run an hour.

The interval of one hour is the documented minimum. It holds exactly when the minute is one number: with two of them some hour
has both. The documentation's own sample has typographic quotes round the expression; one matching pair is taken off.
"""

from typing import Final

from holdfast.core.cron import Cron, CronError, Grammar

GRAMMAR: Final = Grammar(name="Mirantis", macros=False, sunday_seven=True)

_PAIRS: Final = (("\u201c", "\u201d"), ("\u2018", "\u2019"))
_CURLY: Final = "\u201c\u201d\u2018\u2019\u201e\u201a"


def unquoted(text: str) -> str:
    """Return the text without one outer pair of typographic quotes."""
    for opening, closing in _PAIRS:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            return text[1:-1]
    return text


def parse(text: str, zone: str) -> Cron:
    """Read an expression in a time zone (an IANA name, empty for UTC). Raises CronError, which quotes the limit of one hour."""
    plain = unquoted(text)
    if any(quote in plain for quote in _CURLY):
        raise CronError(f"schedule {text!r} has typographic quotes in it: remove them")
    cron = Cron.parse(plain, grammar=GRAMMAR, zone=zone)
    if len(cron.minutes) != 1:
        raise CronError(
            f"schedule {text!r} is due more than once an hour: the smallest interval is one hour, so its minute is one number"
        )
    return cron
