"""From tokens to the tree of a template. Every mistake is an error with its line; nothing is guessed."""

from collections.abc import Collection
from typing import Final

from holdfast.templates.errors import TemplateError
from holdfast.templates.lexer import Token, tokens_of, unquoted
from holdfast.templates.nodes import (
    Branch,
    Call,
    Command,
    Dot,
    Function,
    Group,
    Jump,
    Literal,
    Node,
    Operand,
    Output,
    Pipe,
    Text,
    Variable,
)

_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
_BRANCHES: Final = ("if", "with", "range")
_DEEPEST: Final = 100


class Parser:
    """Reads one template. `functions` are the names that may be called."""

    def __init__(self, source: str, name: str, functions: Collection[str]) -> None:
        """Split the source at once: a bad action is an error here."""
        self._name, self._functions = name, functions
        self._tokens = list(tokens_of(source, name))
        self._at = 0
        self._scopes: list[set[str]] = [{""}]
        self._depth = self._loops = 0
        self.defined: dict[str, tuple[Node, ...]] = {}

    def parse(self) -> tuple[Node, ...]:
        """Return the whole template. Raises TemplateError."""
        nodes, end = self._nodes(())
        if end:
            raise self._wrong(f"{{{{ {end} }}}} without a beginning")
        return nodes

    def _nodes(self, ends: tuple[str, ...]) -> tuple[tuple[Node, ...], str]:
        """Read until an action of `ends` or of any end; return what came before, and that word with its cursor behind it."""
        nodes: list[Node] = []
        while self._at < len(self._tokens):
            token = self._next()
            if token.kind == "text":
                nodes.append(Text(token.text))
                continue
            word = self._peek()
            if word.kind == "word" and word.text in ("end", "else"):
                if word.text not in ends:
                    raise self._wrong(f"{{{{ {word.text} }}}} without a beginning", word)
                self._next()
                return tuple(nodes), word.text
            nodes += self._action(word)
        if ends:
            raise self._wrong("a block is not closed: {{ end }} is missing")
        return tuple(nodes), ""

    def _action(self, word: Token) -> list[Node]:
        if word.kind == "word" and word.text in _BRANCHES:
            self._next()
            return [self._branch(word.text)]
        if word.kind == "word" and word.text in ("break", "continue"):
            self._next()
            self._close()
            if not self._loops:
                raise self._wrong(f"{{{{ {word.text} }}}} outside of a range", word)
            return [Jump(word.text)]
        if word.kind == "word" and word.text in ("define", "block"):
            self._next()
            return self._define(word)
        if word.kind == "word" and word.text == "template":
            self._next()
            name, pipe = self._string(), None
            if self._peek().kind != "close":
                pipe = self._pipe()
            self._close()
            return [Call(name, pipe, word.line)]
        pipe = self._pipe(may_assign=True)
        self._close()
        return [Output(pipe)]

    def _branch(self, kind: str) -> Branch:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"blocks are nested more than {_DEEPEST} deep")
        self._scopes.append(set())
        self._loops += kind == "range"
        pipe = self._pipe(may_assign=True, ranged=kind == "range")
        self._close()
        body, end = self._nodes(("end", "else"))
        self._loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            follow = self._peek()
            if follow.kind == "word" and follow.text in ("if", "with") and follow.text == kind:
                self._next()
                otherwise = (self._branch(kind),)
                self._scopes.pop()
                self._depth -= 1
                return Branch(kind, pipe, body, otherwise)
            self._close()
            otherwise, _ = self._nodes(("end",))
        self._close()
        self._scopes.pop()
        self._depth -= 1
        return Branch(kind, pipe, body, otherwise)

    def _define(self, word: Token) -> list[Node]:
        name = self._string()
        pipe = self._pipe() if word.text == "block" else None
        self._close()
        scopes, self._scopes, loops, self._loops = self._scopes, [{""}], self._loops, 0
        body, _ = self._nodes(("end",))
        self._close()
        self._scopes, self._loops = scopes, loops
        if name in self.defined:
            raise self._wrong(f"template {name!r} is defined twice", word)
        self.defined[name] = body
        return [Call(name, pipe, word.line)] if pipe else []

    def _pipe(self, *, may_assign: bool = False, ranged: bool = False) -> Pipe:
        line = self._peek().line
        names, declares = self._targets(ranged) if may_assign else ((), False)
        commands = [self._command()]
        while self._sign("|"):
            commands.append(self._command())
            first = commands[-1].operands[0]
            if not isinstance(first, Function):
                raise self._wrong("after | a function must stand")
        if declares:
            self._scopes[-1].update(names)
        return Pipe(tuple(commands), line, names, declares)

    def _targets(self, ranged: bool) -> tuple[tuple[str, ...], bool]:
        """Read `$x :=`, `$x =` or `$i, $x :=` if it stands here."""
        names: list[str] = []
        at = self._at
        while self._peek().kind == "variable":
            names.append(self._next().text[1:])
            if self._sign(","):
                continue
            break
        sign = self._peek()
        if not names or sign.kind != "sign" or sign.text not in (":=", "="):
            self._at = at
            return (), False
        self._next()
        if len(names) > (2 if ranged else 1):
            raise self._wrong("too many variables", sign)
        if sign.text == "=":
            for name in names:
                self._known(name, sign)
        return tuple(names), sign.text == ":="

    def _command(self) -> Command:
        operands: list[Operand] = []
        while (operand := self._operand()) is not None:
            operands.append(operand)
        if not operands:
            raise self._wrong("a value or a function is missing")
        if len(operands) > 1 and not isinstance(operands[0], Function):
            raise self._wrong("only a function can be given arguments")
        return Command(tuple(operands))

    def _operand(self) -> Operand | None:
        token = self._peek()
        if token.kind == "close" or (token.kind == "sign" and token.text != "("):
            return None
        self._next()
        if token.kind == "sign":
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._wrong(f"parentheses are nested more than {_DEEPEST} deep", token)
            pipe = self._pipe()
            self._depth -= 1
            if not self._sign(")"):
                raise self._wrong("a parenthesis is not closed", token)
            return Group(pipe, self._fields())
        if token.kind in ("string", "raw", "char"):
            return Literal(unquoted(token, self._name))
        if token.kind == "number":
            return Literal(self._number(token))
        if token.kind == "dot":
            return Dot()
        if token.kind == "field":
            return Dot((token.text[1:], *self._fields()))
        if token.kind == "variable":
            self._known(token.text[1:], token)
            return Variable(token.text[1:], self._fields())
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text])
        if token.text not in self._functions:
            raise self._wrong(f"function {token.text!r} is not known", token)
        return Function(token.text, self._fields())

    def _fields(self) -> tuple[str, ...]:
        names: list[str] = []
        while self._peek().kind == "field" and self._peek().joined:
            names.append(self._next().text[1:])
        return tuple(names)

    def _number(self, token: Token) -> int | float:
        text = token.text.replace("_", "")
        try:
            return int(text, 0)
        except ValueError:
            pass
        try:
            plain = text.lstrip("+-")
            if plain.isdigit() and plain.startswith("0"):  # Go reads 017 as octal
                return int(text, 8)
            return float(text)
        except ValueError as error:
            raise self._wrong(f"{token.text} is not a number", token) from error

    def _string(self) -> str:
        token = self._next()
        if token.kind not in ("string", "raw"):
            raise self._wrong("the name of a template must stand here, in quotes", token)
        return str(unquoted(token, self._name))

    def _known(self, name: str, token: Token) -> None:
        if not any(name in scope for scope in self._scopes):
            raise self._wrong(f"variable ${name} is not declared", token)

    def _sign(self, text: str) -> bool:
        token = self._peek()
        if token.kind == "sign" and token.text == text:
            self._at += 1
            return True
        return False

    def _close(self) -> None:
        token = self._next()
        if token.kind != "close":
            raise self._wrong(f"unexpected {token.text!r}", token)

    def _peek(self) -> Token:
        if self._at >= len(self._tokens):
            raise self._wrong("the template ends within an action")
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _wrong(self, cause: str, token: Token | None = None) -> TemplateError:
        at = token or (self._tokens[min(self._at, len(self._tokens) - 1)] if self._tokens else None)
        return TemplateError(cause, name=self._name, line=at.line if at else 1)
