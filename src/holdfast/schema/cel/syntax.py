"""From text to a tree: the grammar of CEL, without message literals, which Kubernetes has no use for."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from holdfast.schema.cel.errors import CompileError

RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for",
    "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)  # fmt: skip
"""Words that can't be names."""

_MOST_DEPTH: Final = 50


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Any part of an expression; `column` counts from 1."""

    column: int


class Literal(Node, frozen=True):
    """A constant: `kind` is null, bool, int, uint, double, string or bytes."""

    kind: str
    value: Any


class Name(Node, frozen=True):
    """A variable."""

    name: str


class Select(Node, frozen=True):
    """`operand.field`; `test` for has(), `optional` for `.?`."""

    operand: Expression
    field: str
    test: bool = False
    optional: bool = False


class Call(Node, frozen=True):
    """A function or operator; a method has its receiver in `target`."""

    function: str
    target: Expression | None
    args: tuple[Expression, ...]


class ListLiteral(Node, frozen=True):
    """`[a, b]`; `optional` are the positions written `?a`."""

    items: tuple[Expression, ...]
    optional: frozenset[int] = frozenset()


class MapLiteral(Node, frozen=True):
    """`{k: v}`; `optional` are the positions of entries written `?k: v`."""

    entries: tuple[tuple[Expression, Expression], ...]
    optional: frozenset[int] = frozenset()


class Macro(Node, frozen=True):
    """A comprehension over `target`: `names` are its variables, `parts` its expressions."""

    name: str
    target: Expression
    names: tuple[str, ...]
    parts: tuple[Expression, ...]


Expression = Literal | Name | Select | Call | ListLiteral | MapLiteral | Macro

MACROS: Final[dict[tuple[str, int], int]] = {
    ("all", 2): 1, ("exists", 2): 1, ("exists_one", 2): 1, ("existsOne", 2): 1, ("map", 2): 1, ("map", 3): 1, ("filter", 2): 1,
    ("all", 3): 2, ("exists", 3): 2, ("existsOne", 3): 2, ("transformList", 3): 2, ("transformList", 4): 2,
    ("transformMap", 3): 2, ("transformMap", 4): 2, ("optMap", 2): 1, ("optFlatMap", 2): 1,
}  # fmt: skip
"""Macros by name and number of arguments, and how many of these are names of variables."""

_STRING: Final = (
    r'[rR]?(?:"""(?:[^\\]|\\.)*?"""|' + r"'''(?:[^\\]|\\.)*?'''" + r'|"(?:[^"\\\n\r]|\\.)*"|' + r"'(?:[^'\\\n\r]|\\.)*')"
)
_RAW: Final = r'[rR](?:"""(?:.)*?"""|' + r"'''(?:.)*?'''" + r'|"[^"\n\r]*"|' + r"'[^'\n\r]*')"
_TOKEN: Final = re.compile(
    rf"(?P<space>(?:\s|//[^\n]*)+)"
    rf"|(?P<bytes>[bB](?:{_RAW}|{_STRING})|[rR][bB](?:{_STRING[5:]}))"
    rf"|(?P<string>{_RAW}|{_STRING})"
    r"|(?P<double>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?))"
    r"|(?P<int>(?:0[xX][0-9a-fA-F]+|\d+)[uU]?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>\?\.|&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LEVELS: Final = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    column: int


def parse(text: str) -> Expression:
    """Read an expression. Raises CompileError."""
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CompileError(f"{text[at]!r} does not belong to the language", at + 1)
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup or "", match.group(), at + 1))
        at = match.end()
    found.append(_Token("end", "", len(text) + 1))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        tree = self._expression()
        if self._here.kind != "end":
            raise self._unexpected("the end")
        return tree

    @property
    def _here(self) -> _Token:
        return self._tokens[self._at]

    def _unexpected(self, wanted: str) -> CompileError:
        found = repr(self._here.text) if self._here.text else "the end"
        return CompileError(f"found {found} where {wanted} was expected", self._here.column)

    def _next(self) -> _Token:
        token = self._here
        self._at += 1
        return token

    def _accept(self, *texts: str) -> _Token | None:
        if self._here.kind in ("op", "name") and self._here.text in texts:
            return self._next()
        return None

    def _expect(self, text: str) -> _Token:
        token = self._accept(text)
        if token is None:
            raise self._unexpected(repr(text))
        return token

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise CompileError(f"it is nested deeper than {_MOST_DEPTH} levels", self._here.column)
        left = self._binary(0)
        mark = self._accept("?")
        if mark is not None:
            middle = self._binary(0)
            self._expect(":")
            left = Call(column=mark.column, function="?:", target=None, args=(left, middle, self._expression()))
        self._depth -= 1
        return left

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (token := self._accept(*_LEVELS[level])) is not None:
            left = Call(column=token.column, function=f"_{token.text}_", target=None, args=(left, self._binary(level + 1)))
        return left

    def _unary(self) -> Expression:
        token = self._accept("!", "-")
        if token is None:
            return self._member(self._primary())
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise CompileError(f"it is nested deeper than {_MOST_DEPTH} levels", token.column)
        if token.text == "-" and self._here.kind in ("int", "double") and self._here.text[-1] not in "uU":
            tree = self._member(self._number(negative=True))
        else:
            tree = Call(column=token.column, function=f"{token.text}_", target=None, args=(self._unary(),))
        self._depth -= 1
        return tree

    def _member(self, tree: Expression) -> Expression:
        while True:
            if (token := self._accept(".")) is not None:
                optional = self._accept("?") is not None
                tree = self._selected(tree, token.column, optional)
            elif (token := self._accept("[")) is not None:
                optional = self._accept("?") is not None
                index = self._expression()
                self._expect("]")
                tree = Call(column=token.column, function="_[?_]" if optional else "_[_]", target=None, args=(tree, index))
            elif self._here.text == "{" and self._here.kind == "op":
                raise CompileError("message literals are not part of this language", self._here.column)
            else:
                return tree

    def _selected(self, tree: Expression, column: int, optional: bool) -> Expression:
        if self._here.kind != "name":
            raise self._unexpected("the name of a field or function")
        name = self._next().text
        if optional or self._accept("(") is None:
            return Select(column=column, operand=tree, field=name, optional=optional)
        args = self._arguments()
        names = MACROS.get((name, len(args)))
        if names is not None:
            return self._macro(column, name, tree, args, names)
        return Call(column=column, function=name, target=tree, args=args)

    def _macro(self, column: int, name: str, target: Expression, args: tuple[Expression, ...], names: int) -> Expression:
        variables: list[str] = []
        for arg in args[:names]:
            if not isinstance(arg, Name):
                raise CompileError(f"{name}() wants the name of a variable here", arg.column)
            if arg.name in variables:
                raise CompileError(f"{name}() has two variables of the name {arg.name}", arg.column)
            variables.append(arg.name)
        return Macro(column=column, name=name, target=target, names=tuple(variables), parts=args[names:])

    def _arguments(self) -> tuple[Expression, ...]:
        args: list[Expression] = []
        while self._accept(")") is None:
            if args:
                self._expect(",")
            args.append(self._expression())
        return tuple(args)

    def _primary(self) -> Expression:
        token = self._here
        match token.kind:
            case "int" | "double":
                return self._number(negative=False)
            case "string" | "bytes":
                self._next()
                return Literal(column=token.column, kind=token.kind, value=_unquote(token))
            case "name":
                return self._name()
            case _:
                return self._bracketed()

    def _bracketed(self) -> Expression:
        if self._accept("(") is not None:
            tree = self._expression()
            self._expect(")")
            return tree
        if (token := self._accept("[")) is not None:
            return self._list(token.column)
        if (token := self._accept("{")) is not None:
            return self._map(token.column)
        if self._accept(".") is not None:
            return self._name()
        raise self._unexpected("a value")

    def _list(self, column: int) -> Expression:
        items: list[Expression] = []
        optional: set[int] = set()
        while self._accept("]") is None:
            if self._accept("?") is not None:
                optional.add(len(items))
            items.append(self._expression())
            if self._accept(",") is None:
                self._expect("]")
                break
        return ListLiteral(column=column, items=tuple(items), optional=frozenset(optional))

    def _map(self, column: int) -> Expression:
        entries: list[tuple[Expression, Expression]] = []
        optional: set[int] = set()
        while self._accept("}") is None:
            if self._accept("?") is not None:
                optional.add(len(entries))
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
            if self._accept(",") is None:
                self._expect("}")
                break
        return MapLiteral(column=column, entries=tuple(entries), optional=frozenset(optional))

    def _name(self) -> Expression:
        if self._here.kind != "name":
            raise self._unexpected("a name")
        token = self._next()
        if token.text in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[token.text]
            return Literal(column=token.column, kind="null" if value is None else "bool", value=value)
        if token.text in RESERVED or token.text == "in":
            raise CompileError(f"{token.text!r} is a reserved word", token.column)
        if self._accept("(") is None:
            return Name(column=token.column, name=token.text)
        args = self._arguments()
        if token.text == "has":
            return _presence(token.column, args)
        return Call(column=token.column, function=token.text, target=None, args=args)

    def _number(self, *, negative: bool) -> Expression:
        token = self._next()
        sign = "-" if negative else ""
        if token.kind == "double":
            return Literal(column=token.column, kind="double", value=float(sign + token.text))
        unsigned = token.text[-1] in "uU"
        value = int(sign + token.text.rstrip("uU"), 16 if "x" in token.text.lower() else 10)
        low, high = (0, 1 << 64) if unsigned else (-(1 << 63), 1 << 63)
        if not low <= value < high:
            raise CompileError(f"{sign}{token.text} does not fit into 64 bits", token.column)
        return Literal(column=token.column, kind="uint" if unsigned else "int", value=value)


def _presence(column: int, args: tuple[Expression, ...]) -> Expression:
    if len(args) != 1 or not isinstance(args[0], Select) or args[0].optional:
        raise CompileError("has() wants one field selection, such as has(self.field)", column)
    return Select(column=column, operand=args[0].operand, field=args[0].field, test=True)


def _unquote(token: _Token) -> str | bytes:
    text = token.text
    raw = False
    while text[0] in "rRbB":
        raw = raw or text[0] in "rR"
        text = text[1:]
    width = 3 if text[:3] in ('"""', "'''") else 1
    text = text[width:-width]
    octets = token.kind == "bytes"
    if raw:
        return text.encode() if octets else text
    out: list[bytes] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        out.append(text[at : match.start()].encode())
        out.append(_unescape(match, octets, token.column))
        at = match.end()
    out.append(text[at:].encode())
    joined = b"".join(out)
    return joined if octets else joined.decode()


def _unescape(match: re.Match[str], octets: bool, column: int) -> bytes:
    simple, hexed, short, long, octal, other = match.groups()
    if simple is not None:
        return _SIMPLE.get(simple, simple).encode()
    if other is not None:
        raise CompileError(f"\\{other} is no escape sequence", column)
    code = int(octal, 8) if octal is not None else int(hexed or short or long, 16)
    if octets:
        if short is not None or long is not None:
            raise CompileError("\\u and \\U stand in strings only", column)
        return bytes([code])
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise CompileError(f"{match.group()} is no character", column)
    return chr(code).encode()
