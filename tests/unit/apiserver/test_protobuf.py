"""Bodies in Kubernetes' protobuf form, written by hand here so that the table is judged and not repeated."""

import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.protobuf import parse


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    names = field(1, api_version) + field(2, kind)
    return b"k8s\x00" + field(1, names) + field(2, b"".join(fields)) + field(3, "") + field(4, "")


def entry(key: str, value: bytes | str) -> bytes:
    return field(1, key) + field(2, value)


META = field(1, field(1, "a") + field(2, "") + field(8, b"") + field(11, entry("app", "web")))
VOLUMES = field(1, field(1, "tmp") + field(2, field(2, b""))) + field(
    1, field(1, "c") + field(2, field(19, field(1, field(1, "cm")) + field(3, 0o644)))
)
PROBE = field(1, field(2, field(1, "/ready") + field(2, field(1, 1) + field(2, 0) + field(3, "http")))) + field(2, 5)
CONTAINER = field(
    2,
    field(1, "main")
    + field(2, "img")
    + field(3, "sh")
    + field(8, field(1, entry("memory", field(1, "1Gi"))))
    + field(10, PROBE)
    + field(14, "IfNotPresent"),
)
POD = body("v1", "Pod", META, field(2, VOLUMES + CONTAINER + field(4, 0) + field(21, 0) + field(13, 0)), field(3, b""))


def test_a_pod_reads_as_its_json_would():
    assert parse(POD) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"app": "web"}},
        "spec": {
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "c", "configMap": {"name": "cm", "defaultMode": 0o644}},
            ],
            "containers": [
                {
                    "name": "main",
                    "image": "img",
                    "command": ["sh"],
                    "resources": {"limits": {"memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 5},
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        },
    }


def test_secrets_keep_their_bytes_and_empty_values():
    found = parse(body("v1", "Secret", META, field(2, entry("raw", b"\x00\xff")) + field(2, field(1, "empty"))))
    assert found["data"] == {"raw": base64.b64encode(b"\x00\xff").decode(), "empty": ""}


def test_times_have_the_precision_of_their_field():
    micro = field(2, field(1, "holder") + field(4, field(1, 1_700_000_000) + field(2, 123_456_000)))
    assert parse(body("coordination.k8s.io/v1", "Lease", micro))["spec"] == {
        "holderIdentity": "holder",
        "renewTime": "2023-11-14T22:13:20.123456Z",
    }
    meta = field(1, field(9, field(1, -1)))
    assert parse(body("v1", "ConfigMap", meta))["metadata"] == {"deletionTimestamp": "1969-12-31T23:59:59Z"}


def test_a_definition_with_a_schema_reads_as_its_json_would():
    inner = field(29, entry("size", field(5, "integer") + field(11, 1.5) + field(8, field(1, "3"))))
    schema = field(1, inner + field(30, field(1, 1)) + field(24, field(1, field(5, "string"))))
    version = field(7, field(1, "v1") + field(2, 1) + field(3, 1) + field(4, schema))
    found = parse(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, version)))
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "properties": {"size": {"type": "integer", "minimum": 1.5, "default": 3}},
        "additionalProperties": True,
        "items": {"type": "string"},
    }


def test_numbers_that_are_not_in_the_table_are_skipped():
    assert parse(body("v1", "ConfigMap", META, field(900, "later"), field(901, 7)))["metadata"]["name"] == "a"


def test_delete_options_are_read_whatever_their_group():
    found = parse(body("batch/v1", "DeleteOptions", field(1, 0), field(4, "Orphan"), field(5, "All")))
    assert (found["gracePeriodSeconds"], found["propagationPolicy"], found["dryRun"]) == (0, "Orphan", ["All"])


@pytest.mark.parametrize("kind", [("example.dev/v1", "Widget"), ("v1", "Nothing"), ("", "")])
def test_a_kind_without_a_protobuf_form_is_415(kind: tuple[str, str]):
    with pytest.raises(StatusError) as refusal:
        parse(body(*kind))
    assert refusal.value.code == 415


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        POD[:-30],
        b"k8s\x00\xff\xff",
        b"k8s\x00" + b"\x00\x01",
        body("v1", "Pod", b"\x0b"),
        body("v1", "Pod", b"\x08\x01"),
    ],
)
def test_what_cannot_be_read_is_400(data: bytes):
    with pytest.raises(StatusError) as refusal:
        parse(data)
    assert refusal.value.code == 400


def test_messages_nested_without_end_are_400():
    deep = b""
    for _ in range(3000):
        deep = field(28, deep)
    schema = field(7, field(4, field(1, deep)))
    with pytest.raises(StatusError):
        parse(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, schema)))


def outcome(data: bytes) -> int:
    try:
        parse(data)
    except StatusError as refusal:
        return refusal.code
    return 200


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    at=st.integers(0, len(POD) - 1),
    junk=st.binary(max_size=12),
    cut=st.integers(0, 8),
    kind=st.sampled_from(["Pod", "Secret", "Event"]),
)
def test_damaged_bodies_are_read_or_refused_and_nothing_else(at: int, junk: bytes, cut: int, kind: str):
    for data in (POD[:at] + junk + POD[at + cut :], body("v1", kind, POD[at:], junk), b"k8s\x00" + junk):
        assert outcome(data) in (200, 400, 415)
