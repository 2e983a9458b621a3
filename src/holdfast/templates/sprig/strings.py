"""Sprig's functions on texts. The text itself comes last, so that it can be piped in."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.templates.errors import TemplateError
from holdfast.templates.printf import quoted
from holdfast.templates.sprig.arguments import bounded, items, text, whole
from holdfast.templates.values import is_list, text_of

_SPACE: Final = " \t\n\v\f\r\x85\xa0"
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _repeat(count: int, value: str) -> str:
    bounded(count * len(text(value)))
    return value * max(count, 0)


def _substr(start: int, end: int, value: str) -> str:
    value = text(value)
    if start < 0:
        return value[: max(end, 0)]
    return value[start:] if end < 0 or end > len(value) else value[start:end]


def _trunc(count: int, value: str) -> str:
    value = text(value)
    return value[count:] if count < 0 and len(value) + count > 0 else value[:count] if count >= 0 else value


def _abbrev(width: int, value: str) -> str:
    value = text(value)
    if width < 4:
        return value
    return value if len(value) <= width else f"{value[: width - 3]}..."


def _quote(*values: object) -> str:
    return " ".join(quoted(text_of(value)) for value in values if value is not None)


def _squote(*values: object) -> str:
    return " ".join(f"'{text_of(value)}'" for value in values if value is not None)


def _cat(*values: object) -> str:
    return " ".join(text_of(value) for value in values if value is not None)


def _indent(width: int, value: str) -> str:
    value = text(value)
    bounded(len(value) + width * (value.count("\n") + 1))
    pad = " " * width
    return pad + value.replace("\n", f"\n{pad}")


def _plural(one: str, many: str, count: object) -> str:
    return text(one) if whole(count) == 1 else text(many)


def _words(value: str) -> list[str]:
    return _WORDS.findall(text(value))


def _camelcase(value: str) -> str:
    return "".join(word[0].upper() + word[1:].lower() for word in _words(value))


def _joined_words(sign: str) -> Callable[[str], str]:
    def joined(value: str) -> str:
        return sign.join(word.lower() for word in _words(value))

    return joined


def _title(value: str) -> str:
    return re.sub(r"(^|\s)(\S)", lambda match: match.group(1) + match.group(2).upper(), text(value))


def _untitle(value: str) -> str:
    return re.sub(r"(^|\s)(\S)", lambda match: match.group(1) + match.group(2).lower(), text(value))


def _split_list(separator: str, value: str) -> list[str]:
    return text(value).split(text(separator)) if separator else list(text(value))


def _split(separator: str, value: str) -> dict[str, str]:
    return {f"_{at}": part for at, part in enumerate(_split_list(separator, value))}


def _splitn(separator: str, count: int, value: str) -> dict[str, str]:
    parts = text(value).split(text(separator), max(count - 1, 0)) if count else []
    return {f"_{at}": part for at, part in enumerate(parts)}


def _strings(value: object) -> list[str]:
    return [text_of(item) for item in items(value) if item is not None] if is_list(value) else [text_of(value)]


def _join(separator: str, value: object) -> str:
    return text(separator).join(_strings(value))


def _trim_prefix(prefix: str, value: str) -> str:
    return text(value).removeprefix(text(prefix))


def _trim_suffix(suffix: str, value: str) -> str:
    return text(value).removesuffix(text(suffix))


def _trim_all(cut: str, value: str) -> str:
    return text(value).strip(text(cut))


def _replace(old: str, new: str, value: str) -> str:
    value = text(value)
    bounded(len(value) + value.count(text(old)) * len(text(new)))
    return value.replace(old, new)


def _contains(part: str, value: str) -> bool:
    return text(part) in text(value)


def _has_prefix(prefix: str, value: str) -> bool:
    return text(value).startswith(text(prefix))


def _has_suffix(suffix: str, value: str) -> bool:
    return text(value).endswith(text(suffix))


def _initials(value: str) -> str:
    return "".join(word[0] for word in text(value).split())


def _fail(message: str) -> str:
    raise TemplateError(text(message))


def _required(message: str, value: object) -> object:
    if value is None or value == "":
        raise TemplateError(text(message))
    return value


def _trim(value: str) -> str:
    return text(value).strip(_SPACE)


def _upper(value: str) -> str:
    return text(value).upper()


def _lower(value: str) -> str:
    return text(value).lower()


def _nospace(value: str) -> str:
    return "".join(text(value).split())


def _nindent(width: int, value: str) -> str:
    return "\n" + _indent(width, value)


def _swapcase(value: str) -> str:
    return text(value).swapcase()


STRINGS: Final[Mapping[str, Callable[..., Any]]] = {
    "abbrev": _abbrev,
    "camelcase": _camelcase,
    "cat": _cat,
    "contains": _contains,
    "fail": _fail,
    "hasPrefix": _has_prefix,
    "hasSuffix": _has_suffix,
    "indent": _indent,
    "initials": _initials,
    "join": _join,
    "kebabcase": _joined_words("-"),
    "lower": _lower,
    "nindent": _nindent,
    "nospace": _nospace,
    "plural": _plural,
    "quote": _quote,
    "repeat": _repeat,
    "replace": _replace,
    "required": _required,
    "snakecase": _joined_words("_"),
    "split": _split,
    "splitList": _split_list,
    "splitn": _splitn,
    "squote": _squote,
    "substr": _substr,
    "swapcase": _swapcase,
    "title": _title,
    "toString": text_of,
    "toStrings": _strings,
    "trim": _trim,
    "trimAll": _trim_all,
    "trimPrefix": _trim_prefix,
    "trimSuffix": _trim_suffix,
    "trunc": _trunc,
    "untitle": _untitle,
    "upper": _upper,
}
