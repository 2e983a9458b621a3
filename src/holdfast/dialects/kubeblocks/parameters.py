"""The parameters of a BackupRepo: what its provider declares, what the repo gives, and what only its Secret knows.

Defaults of the schema are overridden by `config`, and both by the entries of the credential Secret. What is declared as a
credential must come from that Secret. Every value is text and goes into INI files and YAML, so none may hold a line break.
"""

from collections.abc import Mapping
from typing import Any, cast

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import flag, mapping, name_of, strings
from holdfast.schema.errors import SchemaError
from holdfast.schema.structural import Schema
from holdfast.templates import Strings

CREDENTIAL = "holdfast-stands-in-for-a-credential"
"""Stands for each credential where a template is tried without its Secret."""


def schema_of(provider: Object) -> Object:
    """Return the schema of the parameters."""
    return mapping(provider, "spec", "parametersSchema", "openAPIV3Schema")


def credential_fields(provider: Object) -> list[str]:
    """Return the parameters that must come from a Secret."""
    return strings(provider, "spec", "parametersSchema", "credentialFields")


def known(repo: Object, provider: Object) -> Strings:
    """Return the parameters without credentials."""
    declared = cast("Mapping[str, Any]", mapping(schema_of(provider), "properties"))
    values = Strings({name: _text(item["default"]) for name, item in declared.items() if _has_default(item)})
    for name in credential_fields(provider):
        values.pop(name, None)
    values.update({name: str(value) for name, value in mapping(repo, "spec", "config").items()})
    return values


def with_stand_ins(repo: Object, provider: Object) -> Strings:
    """Return the parameters with a stand-in for each credential."""
    return Strings({**known(repo, provider), **dict.fromkeys(credential_fields(provider), CREDENTIAL)})


def with_credentials(repo: Object, provider: Object, entries: Mapping[str, str]) -> Strings:
    """Return all parameters. Raises ValueError, without a value, for entries that are missing or hold a line break."""
    given = {name: value.rstrip("\r\n") for name, value in entries.items()}
    for name, value in given.items():
        if any(char in value for char in "\r\n\0"):
            raise ValueError(f"entry {name} has more than one line")
    missing = [name for name in _required(provider) if name in credential_fields(provider) and not given.get(name)]
    if missing:
        raise ValueError(f"has no entry {', '.join(missing)}, which StorageProvider {name_of(provider)} needs")
    return Strings({**known(repo, provider), **given})


def schema_problem(provider: Object) -> str:
    """Return what is wrong with the schema; empty when nothing is."""
    declared = schema_of(provider)
    if not declared:
        return ""
    try:
        Schema.compile(_wrapped(declared))
    except SchemaError as error:
        return f"spec.parametersSchema.openAPIV3Schema can't be used: {error}"
    properties = mapping(declared, "properties")
    unknown = [name for name in credential_fields(provider) if name not in properties]
    return f"spec.parametersSchema.credentialFields: {', '.join(unknown)} is not in the schema" if unknown else ""


def problems(repo: Object, provider: Object) -> list[Problem]:
    """Judge `config`. The schema must be in order."""
    config, secret = mapping(repo, "spec", "config"), credential_fields(provider)
    found = [
        Problem(f"spec.config.{name}", "is a credential: put it into the Secret that spec.credential names")
        for name in secret
        if name in config
    ]
    found += [
        Problem(f"spec.config.{name}", "must be one line") for name, value in config.items() if set(str(value)) & set("\r\n\0")
    ]
    if found or not schema_of(provider):
        return found
    found += _unknown(config, provider)
    values = known(repo, provider)
    need = [name for name in _required(provider) if name not in secret and not values.get(name)]
    found += [Problem(f"spec.config.{name}", f"is needed by StorageProvider {name_of(provider)}") for name in need]
    if not mapping(repo, "spec", "credential").get("name") and (
        lacking := [name for name in _required(provider) if name in secret]
    ):
        found.append(Problem("spec.credential.name", f"is needed: the Secret with {', '.join(lacking)}"))
    return found or _wrong(values, provider, secret)


def _unknown(config: Object, provider: Object) -> list[Problem]:
    declared = schema_of(provider)
    open_ = flag(declared, "x-kubernetes-preserve-unknown-fields") or "additionalProperties" in declared
    names = mapping(declared, "properties")
    if open_:
        return []
    known_names = ", ".join(sorted(names)) or "none"
    return [
        Problem(f"spec.config.{name}", f"is no parameter of StorageProvider {name_of(provider)} (it has: {known_names})")
        for name in config
        if name not in names
    ]


def _wrong(values: Mapping[str, str], provider: Object, secret: list[str]) -> list[Problem]:
    """Hold the values against the schema, each read as the type that is declared for it."""
    declared = dict(schema_of(provider))
    declared["required"] = [name for name in _required(provider) if name not in secret]
    properties = mapping(declared, "properties")
    typed = {name: _typed(value, mapping(properties, name)) for name, value in values.items() if name in properties}
    outcome = Schema.compile(_wrapped(declared)).process({"values": typed})
    return [
        Problem(str(error.path).replace("values", "spec.config", 1), error.detail.replace("values.", "spec.config.", 1))
        for error in outcome.errors
    ]


def _required(provider: Object) -> list[str]:
    return strings(schema_of(provider), "required")


def _wrapped(declared: Object) -> Object:
    return {"type": "object", "properties": {"values": {"type": "object", **declared}}}


def _has_default(item: object) -> bool:
    return isinstance(item, dict) and cast("Object", item).get("default") is not None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(value: str, declared: Object) -> object:
    """Read a text as the declared type; what can't be read stays text, and the schema says why it is wrong."""
    match declared.get("type"):
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "integer" | "number":
            try:
                return int(value) if declared["type"] == "integer" else float(value)
            except ValueError:
                return value
        case _:
            return value
