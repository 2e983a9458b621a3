"""What clients meet on the wire: who may call, how requests are refused, concurrency, paging, dry runs."""

import asyncio
import json
import ssl
import stat

import aiohttp
import pytest
from tests.api_samples import WIDGET_CRD, config_map, cronjob, deployment, job, pod, statefulset, widget
from tests.embedded_fixture import Http, api_server, http, http_client, until  # noqa: F401

from holdfast.embedded.apiserver.server import ApiServer

PROTOBUF = "application/vnd.kubernetes.protobuf"

pytestmark = pytest.mark.api

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


async def test_nobody_without_a_token_reads_more_than_health_and_version(api_server: ApiServer):  # noqa: F811
    async with http_client(api_server, token="") as stranger:
        assert (await stranger.call("GET", "/readyz")).body == "ok"
        assert (await stranger.call("GET", "/version")).body["major"] == "1"
        for path in ("/api", MAPS, "/openapi/v3"):
            reply = await stranger.call("GET", path)
            assert (reply.code, reply.body["reason"]) == (401, "Unauthorized"), path
    async with http_client(api_server, token="a.b.c") as stranger:
        assert (await stranger.call("GET", MAPS)).code == 401
        assert (await stranger.call("GET", MAPS, headers={"Authorization": "Bearer \udcff"})).code == 401


@pytest.mark.own
async def test_plain_http_gets_no_answer(api_server: ApiServer):  # noqa: F811
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(api_server.url.replace("https", "http") + "/healthz")


@pytest.mark.own
async def test_secrets_on_disk_are_for_the_owner_only(api_server: ApiServer):  # noqa: F811
    files = [path for path in api_server.data_dir.rglob("*") if path.is_file() and path.name != "apiserver.port"]
    assert {path.name for path in files} >= {"admin.kubeconfig", "ca.key", "server.key", "state.db"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"metadata": 5}', "metadata must be an object"),
        (b'{"metadata": {"labels": {"a": 1}, "name": "a"}}', "metadata.labels.a must be a string"),
        (b'{"metadata": {"name": 5}}', "metadata.name must be of type string"),
        (b'{"kind": "Pod", "metadata": {"name": "a"}}', "the URL is for 'ConfigMap'"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
async def test_a_malformed_body_gets_a_status_that_names_the_fault(http: Http, body: bytes, message: str):  # noqa: F811
    reply = await http.call("POST", MAPS, body)
    assert (reply.code, reply.body["kind"], reply.body["reason"]) == (400, "Status", "BadRequest")
    assert message in reply.body["message"]
    assert (await http.call("GET", "/healthz")).code == 200


@pytest.mark.own
async def test_garbage_on_the_socket_does_not_end_the_server(api_server: ApiServer, http: Http):  # noqa: F811
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for garbage in (b"\x00" * 64, b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET /" + b"a" * 20_000):
        _, writer = await asyncio.open_connection("127.0.0.1", api_server.port, ssl=context)
        writer.write(garbage)
        writer.close()
    assert (await http.call("GET", "/healthz")).code == 200


async def test_a_body_over_the_limit_is_refused(http: Http):  # noqa: F811
    reply = await http.call("POST", MAPS, config_map("big", text="x" * (3 << 20)))
    assert (reply.code, reply.body["reason"]) == (413, "RequestEntityTooLarge")


async def test_protobuf_bodies_are_read_and_answered_as_json(http: Http):  # noqa: F811
    headers = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
    names = b"\x0a\x02v1\x12\x09Namespace"
    raw = b"\x0a\x04\x0a\x02pb"
    sent = b"k8s\x00\x0a" + bytes([len(names)]) + names + b"\x12" + bytes([len(raw)]) + raw
    reply = await http.call("POST", "/api/v1/namespaces", sent, headers=headers)
    assert (reply.code, reply.body["metadata"]["name"]) == (201, "pb")
    assert (await http.call("POST", "/api/v1/namespaces", sent[:-1], headers=headers)).code == 400
    assert (await http.call("POST", "/api/v1/namespaces", b"{}", headers=headers)).code == 400
    reply = await http.call("GET", "/api/v1/namespaces/pb", headers={"Accept": PROTOBUF})
    assert (reply.code, reply.body["reason"]) == (406, "NotAcceptable")


async def test_unknown_paths_and_verbs(http: Http):  # noqa: F811
    for path in ("/nothing", "/api/v2/pods", "/apis/none.dev/v1/things", f"{PODS}/x/nothing", "/api/v1/pods/x"):
        assert (await http.call("GET", path)).code == 404, path
    assert (await http.call("PUT", MAPS, {})).code == 405
    assert (await http.call("POST", "/api/v1/pods", {})).code == 405


async def test_an_object_needs_an_existing_namespace(http: Http):  # noqa: F811
    reply = await http.call("POST", "/api/v1/namespaces/none/configmaps", config_map("a"))
    assert (reply.code, reply.body["message"]) == (404, 'namespaces "none" not found')


@pytest.mark.parametrize("name", ["Upper", "a b", "-a", "a/b", "x" * 254])
async def test_a_bad_name_is_refused(http: Http, name: str):  # noqa: F811
    reply = await http.call("POST", MAPS, config_map(name))
    assert (reply.code, reply.body["details"]["causes"][0]["field"]) == (422, "metadata.name")


async def test_a_generated_name_is_unique(http: Http):  # noqa: F811
    body = {"metadata": {"generateName": "run-"}}
    names = {(await http.ok("POST", MAPS, body))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


async def test_creating_twice_conflicts(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("a"))
    reply = await http.call("POST", MAPS, config_map("a"))
    assert (reply.code, reply.body["reason"]) == (409, "AlreadyExists")


async def test_only_the_latest_copy_can_be_written_back(http: Http):  # noqa: F811
    first = await http.ok("POST", MAPS, config_map("a", x="1"))
    second = await http.ok("PUT", f"{MAPS}/a", {**first, "data": {"x": "2"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    reply = await http.call("PUT", f"{MAPS}/a", {**first, "data": {"x": "3"}})
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    late = await http.patch(
        f"{MAPS}/a", {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"x": "3"}}
    )
    assert late.code == 409


async def test_of_many_writers_with_the_same_copy_one_wins(http: Http):  # noqa: F811
    first = await http.ok("POST", MAPS, config_map("a", x="0"))
    writes = [http.call("PUT", f"{MAPS}/a", {**first, "data": {"x": str(at)}}) for at in range(1, 17)]
    codes = sorted(reply.code for reply in await asyncio.gather(*writes))
    assert codes == [200] + [409] * 15


async def test_a_write_that_changes_nothing_keeps_the_revision(http: Http):  # noqa: F811
    first = await http.ok("POST", MAPS, config_map("a", x="1"))
    again = await http.ok("PUT", f"{MAPS}/a", first)
    patched = (await http.patch(f"{MAPS}/a", {"data": {"x": "1"}})).body
    assert first == again == patched


async def test_system_fields_cannot_be_written(http: Http):  # noqa: F811
    first = await http.ok("POST", MAPS, config_map("a"))
    meta = {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 9, "deletionTimestamp": "2001-01-01T00:00:00Z"}
    changed = (await http.patch(f"{MAPS}/a", {"metadata": meta})).body
    assert changed["metadata"] == first["metadata"]


async def test_a_dry_run_answers_and_stores_nothing(http: Http):  # noqa: F811
    reply = await http.call("POST", MAPS + "?dryRun=All", config_map("a", x="1"))
    assert (reply.code, reply.body["data"]) == (201, {"x": "1"})
    assert (await http.call("GET", f"{MAPS}/a")).code == 404
    await http.ok("POST", MAPS, config_map("a", x="1"))
    assert (await http.patch(f"{MAPS}/a?dryRun=All", {"data": {"x": "2"}})).body["data"] == {"x": "2"}
    await http.ok("DELETE", f"{MAPS}/a?dryRun=All")
    assert (await http.ok("GET", f"{MAPS}/a"))["data"] == {"x": "1"}


async def test_lists_come_in_pages_that_add_up(http: Http):  # noqa: F811
    for at in range(7):
        await http.ok("POST", MAPS, config_map(f"m{at}"))
    names, left, query = list[str](), list[int](), ""
    while True:
        page = await http.ok("GET", f"{MAPS}?limit=3{query}")
        names += [item["metadata"]["name"] for item in page["items"]]
        left.append(page["metadata"].get("remainingItemCount", 0))
        if not page["metadata"].get("continue"):
            break
        query = f"&continue={page['metadata']['continue']}"
    assert (names, left) == (["kube-root-ca.crt", *(f"m{at}" for at in range(7))], [5, 2, 0])
    selected = await http.ok("GET", f"{MAPS}?limit=3&labelSelector=!none")
    assert "remainingItemCount" not in selected["metadata"]
    assert (await http.call("GET", f"{MAPS}?limit=3&continue=nonsense")).code == 400


async def test_selectors_pick_by_labels_and_fields(http: Http):  # noqa: F811
    for at in range(4):
        await http.ok("POST", MAPS, {**config_map(f"m{at}"), "metadata": {"name": f"m{at}", "labels": {"n": str(at)}}})

    async def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in (await http.ok("GET", f"{MAPS}?{query}"))["items"]]

    assert await names("labelSelector=n%20in%20(1,2)") == ["m1", "m2"]
    assert await names("labelSelector=n!=1,n") == ["m0", "m2", "m3"]
    assert await names("fieldSelector=metadata.name%3Dm3") == ["m3"]
    assert await names("labelSelector=n&limit=2") == ["m0", "m1"]
    assert (await http.call("GET", f"{MAPS}?labelSelector=a%20b")).code == 400


async def test_json_patch_tells_what_failed(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("a", x="1"))
    wrong = await http.patch(f"{MAPS}/a", [{"op": "test", "path": "/data/x", "value": "2"}], "json-patch+json")
    assert (wrong.code, "testing the value failed" in wrong.body["message"]) == (422, True)
    missing = await http.patch(f"{MAPS}/a", [{"op": "remove", "path": "/data/y"}], "json-patch+json")
    assert missing.code == 422
    assert (await http.patch(f"{MAPS}/a", {"op": "add"}, "json-patch+json")).code == 400


async def test_status_and_spec_are_written_apart(http: Http):  # noqa: F811
    await _define_widgets(http)
    path = "/apis/example.dev/v1/namespaces/default/widgets"
    body = {**widget("a", size=1), "metadata": {"name": "a"}, "status": {"phase": "Sneaked"}}
    made = await http.ok("POST", path, body)
    assert "status" not in made
    changed = await http.ok("PUT", f"{path}/a/status", {**made, "spec": {"size": 9}, "status": {"phase": "Ready"}})
    assert (changed["spec"]["size"], changed["status"], changed["metadata"]["generation"]) == (1, {"phase": "Ready"}, 1)
    grown = (await http.patch(f"{path}/a", {"spec": {"size": 2}, "status": {"phase": "Lost"}})).body
    assert (grown["spec"]["size"], grown["status"], grown["metadata"]["generation"]) == (2, {"phase": "Ready"}, 2)


async def test_field_validation_strict_warn_and_ignore(http: Http):  # noqa: F811
    await _define_widgets(http)
    path = "/apis/example.dev/v1/namespaces/default/widgets"
    body = {**widget("a", size=1, colour="red"), "metadata": {"name": "a"}}
    strict = await http.call("POST", f"{path}?fieldValidation=Strict", body)
    assert (strict.code, 'unknown field "spec.colour"' in strict.body["message"]) == (400, True)
    warned = await http.call("POST", f"{path}?dryRun=All", body)
    assert (warned.code, warned.headers["Warning"]) == (201, '299 - "unknown field \\"spec.colour\\""')
    assert "colour" not in warned.body["spec"]
    ignored = await http.call("POST", f"{path}?fieldValidation=Ignore", body)
    assert (ignored.code, ignored.headers.get("Warning")) == (201, None)


async def test_plain_text_of_a_secret_becomes_data(http: Http):  # noqa: F811
    path = "/api/v1/namespaces/default/secrets"
    made = await http.ok("POST", path, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"a": "Yg=="}, "Opaque", False)
    refused = await http.call("POST", path, {"metadata": {"name": "t"}, "data": {"a": "hunter2!"}})
    assert refused.code == 422
    assert "hunter2" not in json.dumps(refused.body)


async def test_a_job_selects_its_own_pods(http: Http):  # noqa: F811
    path = "/apis/batch/v1/namespaces/default/jobs"
    made = await http.ok("POST", path, job("once"))
    uid, spec = made["metadata"]["uid"], made["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert spec["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}
    assert spec["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "once"
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "other"}]}}}}
    refused = await http.patch(f"{path}/once", image, "strategic-merge-patch+json")
    assert (refused.code, "spec.template: Invalid value: field is immutable" in refused.body["message"]) == (422, True)


async def test_rules_of_built_in_kinds(http: Http):  # noqa: F811
    refused = await http.call("POST", "/apis/batch/v1/namespaces/default/cronjobs", _in_default(cronjob("n", "every day")))
    assert "spec.schedule: Invalid value" in refused.body["message"]
    restart = job("a")
    del restart["spec"]["template"]["spec"]["restartPolicy"]
    restart["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    assert (await http.call("POST", "/apis/batch/v1/namespaces/default/jobs", restart)).code == 422
    mount = pod("p")
    mount["spec"]["containers"][0]["volumeMounts"] = [{"name": "none", "mountPath": "/x"}]
    assert "volumeMounts[0].name: Not found" in (await http.call("POST", PODS, mount)).body["message"]
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 5}}}}
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert (await http.ok("POST", claims, claim))["spec"]["resources"]["requests"] == {"storage": "5"}
    assert (await http.patch(f"{claims}/c", {"spec": {"accessModes": ["ReadWriteMany"]}})).code == 422
    assert (await http.patch(f"{claims}/c", {"spec": {"volumeName": "pv-1"}})).code == 200


async def test_the_scheduler_binds_a_pod_once(http: Http):  # noqa: F811
    await http.ok("POST", PODS, pod("p", schedulerName="nobody"))
    assert (await http.ok("GET", f"{PODS}/p"))["status"]["phase"] == "Pending"
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    await http.ok("POST", f"{PODS}/p/binding", binding)
    bound = await http.ok("GET", f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert [item["type"] for item in bound["status"]["conditions"]] == ["PodScheduled"]
    assert (await http.call("POST", f"{PODS}/p/binding", binding)).code == 409
    assert (await http.patch(f"{PODS}/p", {"spec": {"nodeName": "n2"}})).code == 422


async def test_both_forms_of_discovery_name_the_same_resources(http: Http):  # noqa: F811
    await _define_widgets(http)
    media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = await http.call("GET", "/apis", headers={"Accept": media})
    assert answer.headers["Content-Type"] == media
    aggregated = {
        (group["metadata"]["name"], version["version"], resource["resource"])
        for group in answer.body["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    legacy = set[tuple[str, str, str]]()
    for group in (await http.ok("GET", "/apis/"))["groups"]:
        for version in group["versions"]:
            listed = await http.ok("GET", f"/apis/{version['groupVersion']}")
            found = [item["name"] for item in listed["resources"] if "/" not in item["name"]]
            legacy |= {(group["name"], version["version"], name) for name in found}
    assert aggregated == legacy
    assert ("example.dev", "v1", "widgets") in legacy


@pytest.mark.own
async def test_state_and_address_outlive_a_restart(api_server: ApiServer, http: Http):  # noqa: F811
    await _define_widgets(http)
    kept = await http.ok("POST", MAPS, config_map("kept", x="1"))
    url = api_server.url
    await api_server.stop()
    await api_server.start()
    assert api_server.url == url
    assert await http.ok("GET", f"{MAPS}/kept") == kept
    assert (await http.call("GET", "/apis/example.dev/v1/widgets")).code == 200
    later = await http.ok("POST", MAPS, config_map("later"))
    assert int(later["metadata"]["resourceVersion"]) > int(kept["metadata"]["resourceVersion"])


@pytest.mark.own
async def test_two_servers_live_side_by_side(api_server: ApiServer, http: Http, tmp_path):  # noqa: F811
    other = ApiServer(tmp_path / "other")
    await other.start()
    try:
        async with http_client(other) as second:
            await second.ok("POST", MAPS, config_map("only-there"))
        assert (await http.call("GET", f"{MAPS}/only-there")).code == 404
    finally:
        await other.stop()


@pytest.mark.own
async def test_a_second_server_on_the_same_data_is_refused(api_server: ApiServer, http: Http):  # noqa: F811
    second = ApiServer(api_server.data_dir)
    with pytest.raises(RuntimeError, match="another API server uses"):
        await second.start()
    assert (await http.call("GET", "/readyz")).code == 200


@pytest.mark.own
async def test_a_port_in_use_is_named_and_leaves_nothing_behind(api_server: ApiServer, tmp_path):  # noqa: F811
    second = ApiServer(tmp_path / "second", port=api_server.port)
    with pytest.raises(RuntimeError, match=f"127.0.0.1:{api_server.port} cannot be served"):
        await second.start()
    second.port = 0
    await second.start()
    await second.stop()


async def test_one_object_is_served_in_each_version_of_its_kind(http: Http):  # noqa: F811
    crd = json.loads(json.dumps(WIDGET_CRD))
    first = crd["spec"]["versions"][0]
    crd["spec"]["versions"].append({**first, "name": "v2beta1", "storage": False})
    await http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    old, new = (f"/apis/example.dev/{version}/namespaces/default/widgets" for version in ("v1", "v2beta1"))
    made = await http.ok("POST", new, {"metadata": {"name": "a"}, "spec": {"size": 1}})
    assert made["apiVersion"] == "example.dev/v2beta1"
    assert (await http.ok("GET", old))["items"][0]["apiVersion"] == "example.dev/v1"
    async with http.watch(new) as events:
        assert (await events.next())[1]["apiVersion"] == "example.dev/v2beta1"
        await http.patch(f"{old}/a", {"spec": {"size": 2}})
        changed = (await events.next())[1]
        assert (changed["apiVersion"], changed["spec"]["size"]) == ("example.dev/v2beta1", 2)


@pytest.mark.own
async def test_an_admission_check_refuses_with_all_its_messages(tmp_path):
    def check(new, old, reader):
        if reader.get("", "ConfigMap", "default", "allow") is not None:
            return []
        return ["data.x: Invalid value: not today", f"data: Forbidden: {len(reader.list('', 'ConfigMap', 'default'))} exist"]

    server = ApiServer(tmp_path / "api", admission={("", "ConfigMap"): check})
    await server.start()
    try:
        async with http_client(server) as client:
            reply = await client.call("POST", MAPS, config_map("a"))
            assert (reply.code, reply.body["reason"]) == (422, "Invalid")
            assert reply.body["message"].endswith("[data.x: Invalid value: not today, data: Forbidden: 1 exist]")
            assert [cause["field"] for cause in reply.body["details"]["causes"]] == ["data.x", "data"]
    finally:
        await server.stop()


async def test_an_eviction_deletes_the_pod(http: Http):  # noqa: F811
    await http.ok("POST", PODS, pod("p", schedulerName="nobody"))
    await http.ok("POST", f"{PODS}/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}})
    assert (await http.call("GET", f"{PODS}/p")).code == 404


def _in_default(obj):
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}


async def _define_widgets(http: Http) -> None:  # noqa: F811
    await http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGET_CRD)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "ReplicaSet"])
async def test_workloads_are_made_without_a_warning(http: Http, kind: str):  # noqa: F811
    body = {**deployment("web"), "kind": kind, "metadata": {"name": "web"}}
    reply = await http.call("POST", f"/apis/apps/v1/namespaces/default/{kind.lower()}s", body)
    assert (reply.code, reply.headers.get("Warning")) == (201, None)


async def test_creating_what_is_run_says_nothing(http: Http):  # noqa: F811
    body = {**statefulset("db"), "metadata": {"name": "db"}}
    reply = await http.call("POST", "/apis/apps/v1/namespaces/default/statefulsets", body)
    assert (reply.code, reply.headers.get("Warning")) == (201, None)


_FAIL_INDEX = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}}]}
_BAD_JOBS: list[tuple[dict, str]] = [
    ({"completionMode": "Sorted"}, "completionMode"),
    ({"completionMode": "Indexed", "completions": None, "parallelism": 2}, "completions"),
    ({"backoffLimitPerIndex": 1}, "backoffLimitPerIndex"),
    ({"maxFailedIndexes": 1}, "backoffLimitPerIndex"),
    ({"podFailurePolicy": _FAIL_INDEX}, "podFailurePolicy.rules[0].action"),
    ({"podFailurePolicy": {"rules": [{"action": "Count"}]}}, "podFailurePolicy.rules[0]"),
    ({"successPolicy": {"rules": [{"succeededCount": 1}]}}, "successPolicy"),
]


@pytest.mark.parametrize(("spec", "field"), _BAD_JOBS)
async def test_a_job_whose_indexes_or_policies_can_not_work_is_refused(http: Http, spec: dict, field: str):  # noqa: F811
    jobs, cronjobs = (f"/apis/batch/v1/namespaces/default/{each}" for each in ("jobs", "cronjobs"))
    asked, timed = job("j"), {**cronjob("c"), "metadata": {"name": "c"}}
    asked["spec"] |= spec
    reply = await http.call("POST", jobs, asked)
    assert (reply.code, [each["field"] for each in reply.body["details"]["causes"]]) == (422, [f"spec.{field}"])
    timed["spec"]["jobTemplate"]["spec"] |= spec
    reply = await http.call("POST", cronjobs, timed)
    at = f"spec.jobTemplate.spec.{field}"
    assert (reply.code, [each["field"] for each in reply.body["details"]["causes"]]) == (422, [at])


async def test_a_job_may_spell_out_the_mode_that_it_has_anyway(http: Http):  # noqa: F811
    plain = job("j")
    plain["spec"]["completionMode"] = "NonIndexed"
    assert (await http.call("POST", "/apis/batch/v1/namespaces/default/jobs", plain)).code == 201
