"""The parts of a parsed template, as data."""

from typing import Any

import msgspec


class Literal(msgspec.Struct, frozen=True):
    """A constant; None is `nil`."""

    value: Any


class Dot(msgspec.Struct, frozen=True):
    """`.`, with the fields taken of it: `.a.b`."""

    fields: tuple[str, ...] = ()


class Variable(msgspec.Struct, frozen=True):
    """`$name.a.b`; the empty name is `$`, the data of the whole template."""

    name: str
    fields: tuple[str, ...] = ()


class Function(msgspec.Struct, frozen=True):
    """The name of a function, with the fields taken of its result when it stands alone."""

    name: str
    fields: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """`(pipeline).a.b`."""

    pipe: "Pipe"
    fields: tuple[str, ...] = ()


Operand = Literal | Dot | Variable | Function | Group


class Command(msgspec.Struct, frozen=True):
    """A function with its arguments, or one operand."""

    operands: tuple[Operand, ...]


class Pipe(msgspec.Struct, frozen=True):
    """Commands, each getting the last one's result as its last argument; the result may be put into variables."""

    commands: tuple[Command, ...]
    line: int
    variables: tuple[str, ...] = ()
    declares: bool = False


class Text(msgspec.Struct, frozen=True):
    """Literal text."""

    text: str


class Output(msgspec.Struct, frozen=True):
    """`{{ pipeline }}`; nothing is printed when it fills variables."""

    pipe: Pipe


class Branch(msgspec.Struct, frozen=True):
    """`if`, `with` or `range`: what to do when the pipeline is true or has elements, and otherwise."""

    kind: str
    pipe: Pipe
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...] = ()


class Jump(msgspec.Struct, frozen=True):
    """`break` or `continue`."""

    kind: str


class Call(msgspec.Struct, frozen=True):
    """`{{ template "name" pipeline }}`."""

    name: str
    pipe: Pipe | None
    line: int


Node = Text | Output | Branch | Jump | Call
