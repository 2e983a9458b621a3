"""How names and texts are written into trees, byte for byte.

A node's name is quoted as a Go string literal without its outer quotes, and then written as a JSON string; other texts are
written as JSON directly. JSON escapes `<`, `>`, `&`, U+2028 and U+2029 too. Bytes that are not UTF-8 travel through Python as
lone surrogates (os.fsdecode), and come out as `\\xNN` in names and as U+FFFD elsewhere.
"""

import re
from collections.abc import Callable

from holdfast.repo.errors import Damaged
from holdfast.repo.printable import is_printable

_PLAIN = re.compile(r"[ !#-%'-;=?-\[\]-~]*").fullmatch
_SHORT = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v", 34: '\\"', 92: "\\\\"}
_JSON = {
    **{code: f"\\u{code:04x}" for code in (*range(32), 0x3C, 0x3E, 0x26, 0x2028, 0x2029)},
    **{8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"},
}
_LONE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _quote_char(char: str) -> str:
    code = ord(char)
    if code in _SHORT:
        return _SHORT[code]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if is_printable(code):
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_text(text: str) -> str:
    """A text as the inside of a JSON string; what is not UTF-8 becomes an escaped U+FFFD."""
    if _PLAIN(text):
        return text
    return _LONE.sub(lambda _: "\\ufffd", text.translate(_JSON))


def json_name(name: str) -> str:
    """A file name as the inside of a JSON string."""
    if _PLAIN(name):
        return name
    return "".join(map(_quote_char, name)).translate(_JSON)


def unquote_name(quoted: str) -> str:
    """The file name behind a node's `name` after JSON decoding, as Python sees names (os.fsdecode). Raises Damaged."""
    if "\\" not in quoted:
        return quoted
    try:
        return _ESCAPE.sub(_unescape, quoted.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    except (ValueError, OverflowError) as error:
        raise Damaged(f"the name {quoted!r} in a tree is not readable") from error


def _unescape(match: "re.Match[bytes]") -> bytes:
    body: bytes = match[1]
    decode: dict[bytes, Callable[[], bytes]] = {
        b"x": lambda: bytes([int(body[1:], 16)]),
        b"u": lambda: chr(int(body[1:], 16)).encode(),
        b"U": lambda: chr(int(body[1:], 16)).encode(),
    }
    if len(body) > 1 and body[:1] in decode:
        return decode[body[:1]]()
    if len(body) == 3:
        return bytes([int(body, 8)])
    return _SIMPLE.get(body, body)
