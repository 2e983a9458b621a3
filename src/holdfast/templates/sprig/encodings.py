"""Sprig's encodings and digests, and Helm's `toYaml` and `fromYaml`."""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import yaml

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.arguments import text
from holdfast.templates.values import is_list

_HTML: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _plain(value: Any) -> Any:
    """Return a value with keys in order and without a fraction where there is none, as Go writes numbers."""
    if isinstance(value, Mapping):
        pairs = cast(Mapping[Any, Any], value)
        return {str(key): _plain(pairs[key]) for key in sorted(pairs, key=str)}
    if is_list(value):
        return [_plain(item) for item in cast(Sequence[Any], value)]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def _raw_json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _json(value: Any) -> str:
    return "".join(_HTML.get(sign, sign) for sign in _raw_json(value))


def _pretty_json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, indent=2, allow_nan=False)


def _from_json(value: str) -> Any:
    return json.loads(text(value))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(_plain(value), default_flow_style=False, allow_unicode=True).removesuffix("...\n").rstrip("\n")


def _from_yaml(value: str) -> Any:
    try:
        return yaml.safe_load(text(value))
    except yaml.YAMLError as error:
        raise TemplateError(f"not YAML: {error}") from error


def _b64enc(value: str) -> str:
    return base64.b64encode(text(value).encode()).decode()


def _b64dec(value: str) -> str:
    try:
        return base64.b64decode(text(value).encode(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise TemplateError("the text is not base64 of a text") from error


def _b32enc(value: str) -> str:
    return base64.b32encode(text(value).encode()).decode()


def _digest(algorithm: str) -> Callable[[str], str]:
    def digest(value: str) -> str:
        return hashlib.new(algorithm, text(value).encode(), usedforsecurity=False).hexdigest()

    return digest


def _adler(value: str) -> str:
    return str(zlib.adler32(text(value).encode()))


ENCODINGS: Final[Mapping[str, Callable[..., Any]]] = {
    "adler32sum": _adler,
    "b32enc": _b32enc,
    "b64dec": _b64dec,
    "b64enc": _b64enc,
    "fromJson": _from_json,
    "fromYaml": _from_yaml,
    "mustFromJson": _from_json,
    "mustToJson": _json,
    "sha1sum": _digest("sha1"),
    "sha256sum": _digest("sha256"),
    "sha512sum": _digest("sha512"),
    "toJson": _json,
    "toPrettyJson": _pretty_json,
    "toRawJson": _raw_json,
    "toYaml": _yaml,
}
