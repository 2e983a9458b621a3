"""Bodies in, stored bytes out. The bytes that are stored are the bytes that are served.

`apiVersion` and `kind` always come first in stored bytes, so that another served version of a custom resource is a change
of prefix and not a decode.
"""

from typing import Any, cast

from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.objects import Object
from holdfast.kube.codec import CodecError, decode_any, encode


def encode_object(obj: Object) -> bytes:
    """Compact JSON with apiVersion, kind and metadata first."""
    head = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": obj.get("metadata")}
    return encode({**head, **obj})


def parse_body(data: bytes, *, allow_yaml: bool = False) -> Any:
    """A request body as JSON (or YAML where the content type says so); 400 when it cannot be read."""
    try:
        return decode_any(data)
    except (CodecError, RecursionError) as error:
        if not allow_yaml:
            raise bad_request(f"the request body is not valid JSON: {error}") from None
    from holdfast.embedded.apiserver.yamlbody import parse  # few bodies are YAML: a server that starts does not pay for it

    return parse(data)


def parse_object(data: bytes, *, allow_yaml: bool = False) -> Object:
    """A request body that must be one object; 400 otherwise."""
    body = parse_body(data, allow_yaml=allow_yaml)
    if not isinstance(body, dict):
        raise bad_request("the request body must be a JSON object")
    return cast(Object, body)


def with_version(data: bytes, stored: str, wanted: str) -> bytes:
    """Stored bytes as another apiVersion of the same kind."""
    if stored == wanted:
        return data
    head = b'{"apiVersion":' + encode(stored)
    if not data.startswith(head):
        return encode_object({**decode_any(data), "apiVersion": wanted})
    return b'{"apiVersion":' + encode(wanted) + data[len(head) :]
