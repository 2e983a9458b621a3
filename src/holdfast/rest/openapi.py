"""The OpenAPI 3 document of the API, made from the same types as everything else.

Structural schemas of CRDs become ordinary ones: an object takes no fields that it does not name, since an unknown field is
refused; what only a server sets is read-only, credentials are write-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import AGENT, IDENT
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection
from holdfast.dialects.cloudcasa.types.definitions import OrganizationSpec
from holdfast.rest.drafts import body_schema, spec_schema
from holdfast.rest.keys import ROLES
from holdfast.schema.emit import openapi_of
from holdfast.schema.wellformed import PRESERVE

ID: Final = f"^{IDENT.pattern}$"
_DATE: Final = {"type": "string", "description": "A time as HTTP writes it, such as `Wed, 31 Mar 2021 08:28:41 GMT`."}
_LINK: Final = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "href": {"type": "string"}},
    "required": ["title", "href"],
    "additionalProperties": False,
}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "_status": {"type": "string", "enum": ["ERR"]},
        "_error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        },
        "_issues": {
            "type": "object",
            "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        },
    },
    "required": ["_status", "_error"],
}


def openapi() -> Object:
    """Return the document."""
    paths: Object = {"/": _root()}
    schemas: Object = {"Error": _ERROR, "Meta": _meta()}
    for collection in COLLECTIONS.values():
        schemas |= _schemas(collection)
        paths |= _paths(collection)
    paths |= _own_paths()
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "CloudCasa API on Holdfast",
            "version": "v1",
            "description": "Snapshots, copies and restores of Kubernetes clusters.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def plain(schema: Any) -> Any:
    """Turn a structural schema into one of OpenAPI."""
    if isinstance(schema, list):
        return [plain(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast(Object, schema)
    out: Object = {key: plain(value) for key, value in given.items() if not key.startswith("x-kubernetes-")}
    if "properties" in given:
        out["properties"] = {name: plain(value) for name, value in given["properties"].items()}
    if given.get("type") == "object":
        if given.get(PRESERVE):
            out["additionalProperties"] = True
        elif "additionalProperties" not in given:
            out["additionalProperties"] = False
    return out


def _schemas(collection: Collection) -> Object:
    """Return the schema of what is sent, and of what is shown."""
    spec = plain(spec_schema(collection))
    found = {f"{collection.title.title()}": _shown(collection, spec)}
    if collection.written:
        sent = dict(spec)
        if "credentials" in (access := sent["properties"].get("s3provider", {}).get("properties", {})):
            access["credentials"]["writeOnly"] = True
        found[f"{collection.title.title()}Draft"] = sent
    return found


def _shown(collection: Collection, spec: Object) -> Object:
    status = plain(openapi_of(collection.spec.type)["properties"].get("status", {"properties": {}}))["properties"]
    fields: Object = dict(spec["properties"])
    if "s3provider" in fields:
        inner = {name: each for name, each in fields["s3provider"]["properties"].items() if name != "credentials"}
        fields["s3provider"] = {**fields["s3provider"], "properties": inner}
    visible = {name: each for name, each in status.items() if name not in collection.internal}
    if collection.flat:
        fields = {name: each for name, each in {**fields, **visible}.items() if name not in collection.internal}
    else:
        fields |= {name: visible.pop(name) for name in collection.shown}
        if visible:
            fields["status"] = {
                "type": "object",
                "readOnly": True,
                "description": "What the server says of it; may appear late.",
                "properties": visible,
                "additionalProperties": False,
            }
    return {
        "type": "object",
        "description": spec.get("description", ""),
        "properties": {**fields, **_metadata()},
        "required": ["_id", "_etag", "_created", "_updated", "_links", *spec.get("required", ())],
        "additionalProperties": False,
    }


def _metadata() -> Object:
    related = {"type": "object", "additionalProperties": _LINK}
    return {
        "_id": {"type": "string", "pattern": ID, "readOnly": True},
        "_etag": {"type": "string", "pattern": "^[0-9a-f]{40}$", "readOnly": True},
        "_created": {**_DATE, "readOnly": True},
        "_updated": {**_DATE, "readOnly": True},
        "_status": {"type": "string", "enum": ["OK"], "readOnly": True},
        "_links": {
            "type": "object",
            "readOnly": True,
            "properties": {"self": _LINK, "related": related},
            "required": ["self"],
            "additionalProperties": False,
        },
    }


def _paths(collection: Collection) -> Object:
    name, title = collection.plural, collection.title.title()
    shown, sent = {"$ref": f"#/components/schemas/{title}"}, {"$ref": f"#/components/schemas/{title}Draft"}
    found: Object = {
        f"/{name}": {
            "get": {
                "summary": f"List {name}",
                "operationId": f"list_{name}",
                "tags": [name],
                "parameters": _list_parameters(),
                "responses": {
                    "200": {
                        "description": "A page of documents.",
                        "headers": {"X-Total-Count": {"schema": {"type": "integer"}}},
                        "content": _json(_listing(shown)),
                    },
                    **_errors(400, 401, 403, 429, 503),
                },
            }
        },
        f"/{name}/{{id}}": {"get": _get(name, shown), "parameters": [_id()]},
    }
    if collection.written:
        found[f"/{name}"]["post"] = _post(name, shown, sent)
        for method in ("put", "patch"):
            found[f"/{name}/{{id}}"][method] = _change(method, name, shown, sent)
    if collection.deletable:
        found[f"/{name}/{{id}}"]["delete"] = {
            "summary": f"Delete one of {name}",
            "operationId": f"delete_{name}",
            "tags": [name],
            "parameters": [_if_match(required=False)],
            "responses": {"204": {"description": "Deleted."}, **_errors(401, 403, 404, 409, 412, 429, 503)},
        }
    for action, body in collection.actions.items():
        found[f"/{name}/{{id}}/action/{action}"] = {
            "parameters": [_id()],
            "post": _action(name, action, plain(body_schema(body)), shown),
        }
    return found


def _post(name: str, shown: Object, sent: Object) -> Object:
    bulk = {
        "type": "object",
        "properties": {"_status": {"type": "string"}, "_items": {"type": "array", "items": shown}},
        "required": ["_status", "_items"],
    }
    return {
        "summary": f"Create one of {name}, or several at once",
        "operationId": f"create_{name}",
        "tags": [name],
        "requestBody": {"required": True, "content": _json({"oneOf": [sent, {"type": "array", "items": sent, "minItems": 1}]})},
        "responses": {
            "201": {
                "description": "Created.",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": _json({"oneOf": [shown, bulk]}),
            },
            **_errors(400, 401, 403, 409, 413, 415, 422, 429, 503),
        },
    }


def _get(name: str, shown: Object) -> Object:
    return {
        "summary": f"Read one of {name}",
        "operationId": f"get_{name}",
        "tags": [name],
        "responses": {
            "200": {"description": "The document.", "content": _json(shown)},
            **_errors(400, 401, 403, 404, 429, 503),
        },
    }


def _change(method: str, name: str, shown: Object, sent: Object) -> Object:
    body = sent if method == "put" else {"type": "object"}
    what = "Replace every field" if method == "put" else "Change some fields"
    return {
        "summary": f"{what} of one of {name}",
        "operationId": f"{'replace' if method == 'put' else 'change'}_{name}",
        "tags": [name],
        "parameters": [_if_match(required=True)],
        "requestBody": {"required": True, "content": _json(body)},
        "responses": {
            "200": {"description": "The document as it is now.", "content": _json(shown)},
            **_errors(400, 401, 403, 404, 409, 412, 413, 415, 422, 428, 429, 503),
        },
    }


def _action(name: str, action: str, body: Object, shown: Object) -> Object:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key makes the same job, however often it is sent.",
        "schema": {"type": "string", "maxLength": 255},
    }
    return {
        "summary": f"{action.capitalize()} one of {name}",
        "operationId": f"{action}_{name}",
        "tags": [name],
        "parameters": [key] if action == "run" else [],
        "requestBody": {"required": bool(body.get("required")), "content": _json(body)},
        "responses": {
            "200": {
                "description": "The document.",
                "headers": {"Location": {"description": "The job, if one was made.", "schema": {"type": "string"}}},
                "content": _json(shown),
            },
            **_errors(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
        },
    }


def _own_paths() -> Object:
    """Return the paths of keys, settings and providers."""
    key = {
        "type": "object",
        "properties": {
            "_id": {"type": "string", "pattern": ID},
            "_status": {"type": "string"},
            "name": {"type": "string"},
            "roles": {"type": "array", "items": {"type": "string", "enum": [*ROLES, AGENT]}},
            "cluster": {"type": "string", "pattern": ID, "description": "The one cluster that an agent's key is for."},
            "expires": {"type": "integer"},
            "key": {"type": "string", "description": "The key itself: shown this once."},
        },
        "required": ["_id", "name", "roles"],
    }
    wanted = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 253},
            "roles": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "string", "enum": list(ROLES)}},
            "expires": {"type": "integer", "description": "Unix seconds.", "minimum": 1},
        },
        "required": ["name", "roles"],
        "additionalProperties": False,
    }
    settings = plain(body_schema(OrganizationSpec))
    named = {**settings, "properties": {"name": {"type": "string"}, "_status": {"type": "string"}, **settings["properties"]}}
    provider = {
        "type": "object",
        "properties": {"provider": {"type": "string"}, "regions": {"type": "array", "items": {"type": "string"}}},
    }
    listing = {"type": "object", "properties": {"_items": {"type": "array", "items": key}}, "required": ["_items"]}
    many = {"type": "object", "properties": {"_items": {"type": "array", "items": provider}}, "required": ["_items"]}

    texts = {"type": "array", "items": {"type": "string"}}
    mover = {
        "type": "object",
        "properties": {
            "pod": {"type": "string"},
            "namespace": {"type": "string"},
            "running": {"type": "boolean", "description": "Whether more may come."},
            "lines": texts,
        },
        "required": ["pod", "namespace", "running", "lines"],
    }
    logs = {"type": "object", "properties": {"_items": {"type": "array", "items": mover}}, "required": ["_items"]}

    def answer(schema: Object, status: str = "200", *errors: int) -> Object:
        return {status: {"description": "Done.", "content": _json(schema)}, **_errors(401, 403, 429, 503, *errors)}

    body = (400, 413, 415, 422)
    return {
        "/apikeys": {
            "get": {"tags": ["apikeys"], "operationId": "list_apikeys", "responses": answer(listing)},
            "post": {
                "tags": ["apikeys"],
                "operationId": "create_apikeys",
                "requestBody": {"required": True, "content": _json(wanted)},
                "responses": answer(key, "201", *body),
            },
        },
        "/apikeys/{id}": {
            "parameters": [_id()],
            "get": {"tags": ["apikeys"], "operationId": "get_apikeys", "responses": answer(key, "200", 404)},
            "delete": {
                "tags": ["apikeys"],
                "operationId": "delete_apikeys",
                "responses": {"204": {"description": "Revoked."}, **_errors(401, 403, 404, 429, 503)},
            },
        },
        "/settings": {
            "get": {"tags": ["settings"], "operationId": "get_settings", "responses": answer(named)},
            "put": {
                "tags": ["settings"],
                "operationId": "replace_settings",
                "requestBody": {"required": True, "content": _json(settings)},
                "responses": answer(named, "200", *body),
            },
        },
        "/kubeclusters/{id}/agent": _agent(),
        "/jobs/{id}/logs": {
            "parameters": [_id()],
            "get": {
                "summary": "Read what the movers of a job printed last",
                "tags": ["jobs"],
                "operationId": "get_job_logs",
                "responses": answer(logs, "200", 404),
            },
        },
        "/objectstores/provider-info": {
            "get": {"tags": ["objectstores"], "operationId": "list_providers", "responses": answer(many)}
        },
    }


def _agent() -> Object:
    """Return the path of an agent: its manifest, and its reports."""
    many = {"type": "object", "additionalProperties": {"type": "object"}}
    count = {"type": "integer", "minimum": 0}
    report = {
        "type": "object",
        "properties": {
            "version": {"type": "string"},
            "kubernetes_version": {"type": "string"},
            "nodes": count,
            "namespaces": count,
            "jobs": {**many, "description": "The status of each job that the agent has."},
            "points": {**many, "description": "The recovery points that these made."},
            "logs": {**many, "description": "What their movers printed last."},
        },
    }
    orders = {
        "type": "object",
        "properties": {
            "every": {"type": "number", "description": "Seconds until the next report."},
            "ended": {"type": "array", "items": {"type": "string"}, "description": "Jobs that the agent can forget."},
            "jobs": {"type": "array", "items": {"type": "object"}, "description": "Jobs to carry out, and what they need."},
            "objectstores": {"type": "array", "items": {"type": "string"}, "description": "Those that there are."},
        },
        "required": ["every", "ended", "jobs", "objectstores"],
    }
    part = {"name": "part", "in": "query", "schema": {"type": "string", "enum": ["agent"]}}
    return {
        "parameters": [_id()],
        "get": {
            "summary": "Read the manifest that installs the agent of a cluster, with the operator unless only a part is wanted",
            "tags": ["kubeclusters"],
            "operationId": "get_agent",
            "parameters": [{**part, "description": "`agent` leaves the operator out, where there is one."}],
            "responses": {
                "200": {"description": "Objects to apply.", "content": {"application/yaml": {"schema": {"type": "string"}}}},
                **_errors(400, 401, 403, 404, 409, 429, 503),
            },
        },
        "post": {
            "summary": "Report as the agent of a cluster, and get its orders",
            "tags": ["kubeclusters"],
            "operationId": "report_agent",
            "requestBody": {"required": True, "content": _json(report)},
            "responses": {
                "200": {"description": "The orders.", "content": _json(orders)},
                **_errors(400, 401, 403, 404, 413, 415, 422, 429, 503),
            },
        },
    }


def _root() -> Object:
    links = {"type": "object", "properties": {"_links": {"type": "object"}}, "required": ["_links"]}
    return {
        "get": {
            "summary": "List the collections",
            "operationId": "home",
            "responses": {"200": {"description": "Links.", "content": _json(links)}, **_errors(401, 429, 503)},
        }
    }


def _listing(shown: Object) -> Object:
    return {
        "type": "object",
        "properties": {
            "_items": {"type": "array", "items": shown},
            "_meta": {"$ref": "#/components/schemas/Meta"},
            "_links": {"type": "object", "additionalProperties": _LINK},
        },
        "required": ["_items", "_meta", "_links"],
        "additionalProperties": False,
    }


def _meta() -> Object:
    number = {"type": "integer", "minimum": 0}
    names = ("page", "max_results", "total")
    return {
        "type": "object",
        "properties": dict.fromkeys(names, number),
        "required": list(names),
        "additionalProperties": False,
    }


def _list_parameters() -> list[Object]:
    words = {
        "where": 'A filter, such as `{"state": {"$nin": ["FAILED"]}, "start_time": {"$gt": 1617179321}}`.',
        "sort": "Fields to sort by, such as `-start_time,name`.",
        "projection": 'Fields to show, such as `{"name": 1}`, or to leave out.',
        "embedded": 'References to replace by their documents, such as `{"policy": 1}`.',
    }
    numbers = {"page": "Which page, from 1.", "max_results": "Documents on a page: 25, or up to 50."}
    texts = [{"name": name, "in": "query", "description": said, "schema": {"type": "string"}} for name, said in words.items()]
    return texts + [
        {"name": name, "in": "query", "description": said, "schema": {"type": "integer", "minimum": 1}}
        for name, said in numbers.items()
    ]


def _id() -> Object:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": ID}}


def _if_match(*, required: bool) -> Object:
    said = "The `_etag` of the document that was read."
    return {"name": "If-Match", "in": "header", "required": required, "description": said, "schema": {"type": "string"}}


def _json(schema: Object) -> Object:
    return {"application/json": {"schema": schema}}


def _errors(*codes: int) -> Object:
    content = _json({"$ref": "#/components/schemas/Error"})
    return {str(code): {"description": _WORDS[code], "content": content} for code in _in_order(codes)}


def _in_order(codes: Sequence[int]) -> list[int]:
    return sorted({*codes, 405})


_WORDS: Final = {
    400: "The request can't be read.",
    401: "Who asks is not known.",
    403: "Who asks may not do this.",
    404: "There is no such thing.",
    405: "The method is not for this resource.",
    409: "Something else is in the way.",
    412: "The document has changed since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The document is wrong; `_issues` says where.",
    428: "If-Match is missing.",
    429: "Too many requests.",
    503: "The Kubernetes API does not answer.",
}
