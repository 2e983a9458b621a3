"""The Sprig functions that templates may use, under Sprig's names and with its order of arguments.

What would make a template's text depend on anything but its data is refused by name, so that a mistake shows where it is
made and not as an unknown function.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.choices import CHOICES
from holdfast.templates.sprig.dicts import DICTS
from holdfast.templates.sprig.encodings import ENCODINGS
from holdfast.templates.sprig.lists import LISTS
from holdfast.templates.sprig.numbers import NUMBERS
from holdfast.templates.sprig.patterns import PATTERNS
from holdfast.templates.sprig.strings import STRINGS
from holdfast.templates.sprig.times import TIMES

_REFUSED: Final = {
    "the environment of the operator is not for templates": ("env", "expandenv"),
    "a template may not ask the network": ("getHostByName",),
    "the text must be the same each time": (
        *("now", "ago", "htmlDate", "uuidv4", "randAlpha", "randAlphaNum", "randNumeric", "randAscii", "randBytes", "randInt"),
        *("shuffle", "derivePassword", "genPrivateKey", "genCA", "genSelfSignedCert", "genSignedCert", "bcrypt", "htpasswd"),
        "encryptAES",
    ),
}


def _refusal(why: str) -> Callable[..., Any]:
    def refused(*_: object) -> Any:
        raise TemplateError(f"is not offered: {why}")

    return refused


SPRIG: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _refusal(why) for why, names in _REFUSED.items() for name in names},
    **STRINGS,
    **PATTERNS,
    **LISTS,
    **DICTS,
    **NUMBERS,
    **ENCODINGS,
    **TIMES,
    **CHOICES,
}
