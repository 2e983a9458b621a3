"""What a person with kubectl meets: every act by the real program, against the real server."""

import asyncio
import json

import pytest
from tests.api_samples import WIDGET_CRD, cronjob, deployment, statefulset, widget
from tests.embedded_fixture import Kubectl, api_server, kubectl, until  # noqa: F401

pytestmark = pytest.mark.api

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}


async def test_applying_twice_creates_and_then_changes_nothing(kubectl: Kubectl):  # noqa: F811
    objects = (NAMESPACE, cronjob("nightly"))
    assert (await kubectl.apply(*objects)).splitlines() == ["namespace/demo created", "cronjob.batch/nightly created"]
    before = await kubectl.ok("get", "cj,ns", "-A", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    assert (await kubectl.apply(*objects)).splitlines() == ["namespace/demo unchanged", "cronjob.batch/nightly unchanged"]
    assert before == await kubectl.ok("get", "cj,ns", "-A", "-o", "jsonpath={.items[*].metadata.resourceVersion}")


async def test_built_in_objects_get_the_defaults_that_users_expect(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, statefulset("web"), cronjob("nightly"))
    found = json.loads(await kubectl.ok("get", "sts/web", "cj/nightly", "-n", "demo", "-o", "json"))["items"]
    sts, nightly = found[0]["spec"], found[1]["spec"]
    assert sts["template"]["spec"]["restartPolicy"] == "Always"
    assert sts["podManagementPolicy"] == "OrderedReady"
    assert (nightly["concurrencyPolicy"], nightly["successfulJobsHistoryLimit"], nightly["failedJobsHistoryLimit"]) == (
        "Allow",
        3,
        1,
    )
    assert (
        nightly["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    )


async def test_a_misspelt_field_is_refused_with_its_path(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.ok("wait", "--for=condition=established", "crd/widgets.example.dev", "--timeout=5s")
    wrong = widget("a", size=1)
    wrong["spec"]["colour"] = "red"
    assert 'strict decoding error: unknown field "spec.colour"' in await kubectl.refused(wrong)
    sts = statefulset("web")
    sts["spec"]["template"]["spec"]["containers"][0]["comand"] = ["true"]
    assert 'unknown field "spec.template.spec.containers[0].comand"' in await kubectl.refused(sts)


async def test_a_wrong_value_is_refused_and_the_object_keeps_its_last_good_state(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    refusal = await kubectl.refused(widget("a", size=0, color="green"))
    assert 'The Widget "a" is invalid' in refusal
    assert "spec.size: Invalid value: 0" in refusal
    assert 'spec.color: Unsupported value: "green"' in refusal
    assert await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.spec.size}") == "3"


async def test_get_shows_printer_columns_and_ages(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3), statefulset("web"))
    header, row = (await kubectl.ok("get", "wd", "-n", "demo")).splitlines()
    assert header.split() == ["NAME", "SIZE", "PHASE", "AGE"]
    assert row.split()[:2] == ["a", "3"]
    assert row.split()[-1].endswith("s")
    everything = await kubectl.ok("get", "all", "-n", "demo")
    assert "widget.example.dev/a" in everything
    assert "statefulset.apps/web" in everything
    assert (await kubectl.ok("get", "ns", "demo", "--no-headers")).split()[:2] == ["demo", "Active"]


async def test_wait_sees_a_condition_that_comes_later(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    waiting = await kubectl.start("wait", "-n", "demo", "widget/a", "--for=jsonpath={.status.phase}=Ready", "--timeout=10s")
    await kubectl.ok(
        "patch", "widget", "a", "-n", "demo", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Ready"}}'
    )
    out, err = await waiting.communicate()
    assert out.decode() == "widget.example.dev/a condition met\n", err


async def test_get_w_follows_changes(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    process = await kubectl.start("get", "wd", "-n", "demo", "-w", "--no-headers")
    assert process.stdout is not None
    async with asyncio.timeout(10):
        assert (await process.stdout.readline()).split()[:2] == [b"a", b"3"]
        await kubectl.ok("patch", "widget", "a", "-n", "demo", "--type=merge", "-p", '{"spec":{"size":4}}')
        assert (await process.stdout.readline()).split()[:2] == [b"a", b"4"]
    process.kill()
    await process.communicate()


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"spec":{"size":5}}'),
        ("json", '[{"op":"test","path":"/spec/size","value":3},{"op":"replace","path":"/spec/size","value":5}]'),
    ],
)
async def test_a_custom_resource_takes_merge_and_json_patches(kubectl: Kubectl, kind: str, patch: str):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    await kubectl.ok("patch", "widget", "a", "-n", "demo", f"--type={kind}", "-p", patch)
    found = await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.spec.size} {.metadata.generation}")
    assert found == "5 2"


async def test_a_built_in_kind_takes_a_strategic_patch_item_by_item(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, deployment("web", image="one"))
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"two"}]}}}}'
    await kubectl.ok("patch", "deployment", "web", "-n", "demo", "-p", patch)
    images = await kubectl.ok("get", "deploy", "web", "-n", "demo", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
    assert sorted(images.split()) == ["one", "two"]
    await kubectl.ok("set", "image", "deployment/web", "-n", "demo", "main=three")
    images = await kubectl.ok("get", "deploy", "web", "-n", "demo", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
    assert sorted(images.split()) == ["three", "two"]


async def test_a_field_that_leaves_the_manifest_leaves_the_object(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    for args in ((), ("--server-side",)):
        name = "server" if args else "client"
        await kubectl.apply(widget(name, size=3, note="hello"), args=args)
        await kubectl.apply(widget(name, size=3), args=args)
        spec = json.loads(await kubectl.ok("get", "widget", name, "-n", "demo", "-o", "jsonpath={.spec}"))
        assert spec == {"size": 3, "color": "red"}


async def test_two_appliers_share_an_object_and_hear_of_conflicts(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3), args=("--server-side", "--field-manager=one"))
    refusal = await kubectl.refused(widget("a", size=4), args=("--server-side", "--field-manager=two"))
    assert 'conflict with "one"' in refusal
    assert ".spec.size" in refusal
    await kubectl.apply(widget("a", size=4), args=("--server-side", "--field-manager=two", "--force-conflicts"))
    assert await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.spec.size}") == "4"


async def test_an_object_can_move_from_client_side_to_server_side_apply(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, deployment("web", image="one"))
    await kubectl.apply(deployment("web", image="two"), args=("--server-side",))
    image = await kubectl.ok("get", "deploy", "web", "-n", "demo", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "two"
    assert "serverside-applied" in await kubectl.apply(deployment("web", image="two"), args=("--server-side",))


async def test_diff_shows_what_would_change_and_changes_nothing(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    manifest = json.dumps(widget("a", size=9))
    ran = await kubectl.run("diff", "-f", "-", stdin=manifest)
    assert ran.code == 1, ran.err
    assert "+  size: 9" in ran.out
    assert "resourceVersion" not in "".join(line for line in ran.out.splitlines() if line.startswith(("+ ", "- ")))
    assert await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.spec.size}") == "3"


async def test_explain_knows_custom_and_built_in_fields(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(WIDGET_CRD)
    assert "How many parts it has." in await kubectl.ok("explain", "widget.spec.size")
    assert "FIELD: image <string>" in await kubectl.ok(
        "explain", "cronjob.spec.jobTemplate.spec.template.spec.containers.image"
    )


async def test_describe_shows_the_object_and_its_events(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=3))
    uid = await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.metadata.uid}")
    reference = {"kind": "Widget", "apiVersion": "example.dev/v1", "name": "a", "namespace": "demo", "uid": uid}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a.1", "namespace": "demo"}, "involvedObject": reference}
    other = {**event, "metadata": {"name": "b.1", "namespace": "demo"}, "involvedObject": {**reference, "uid": "x"}}
    await kubectl.apply({**event, "reason": "Grown", "message": "it grew"}, {**other, "reason": "Else", "message": "not it"})
    described = await kubectl.ok("describe", "widget", "a", "-n", "demo")
    assert "Size:   3" in described
    assert "it grew" in described
    assert "not it" not in described


async def test_label_annotate_and_select(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=1), widget("b", size=2))
    await kubectl.ok("label", "widget", "a", "-n", "demo", "tier=gold")
    await kubectl.ok("annotate", "widget", "a", "-n", "demo", "why=because")
    assert await kubectl.ok("get", "wd", "-n", "demo", "-l", "tier in (gold,silver)", "-o", "name") == "widget.example.dev/a\n"
    assert await kubectl.ok("get", "wd", "-n", "demo", "-l", "!tier", "-o", "name") == "widget.example.dev/b\n"
    await kubectl.ok("label", "widget", "a", "-n", "demo", "tier-")
    assert await kubectl.ok("get", "wd", "-n", "demo", "-l", "tier", "-o", "name") == ""


async def test_scale_reaches_workloads_and_custom_resources(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=1), statefulset("web"))
    await kubectl.ok("scale", "sts/web", "-n", "demo", "--replicas=4")
    await kubectl.ok("scale", "widget/a", "-n", "demo", "--replicas=7")
    assert (
        await kubectl.ok("get", "sts", "web", "-n", "demo", "-o", "jsonpath={.spec.replicas} {.metadata.generation}") == "4 2"
    )
    assert await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "jsonpath={.spec.size}") == "7"


async def test_replace_edit_and_a_stale_copy(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=1))
    copy = json.loads(await kubectl.ok("get", "widget", "a", "-n", "demo", "-o", "json"))
    copy["spec"]["size"] = 2
    await kubectl.ok("replace", "-f", "-", stdin=json.dumps(copy))
    ran = await kubectl.run("replace", "-f", "-", stdin=json.dumps({**copy, "spec": {"size": 3}}))
    assert ran.code != 0
    assert "the object has been modified" in ran.err


async def test_deleting_a_namespace_takes_everything_in_it(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=1), statefulset("web"), cronjob("nightly"))
    await kubectl.ok("delete", "ns", "demo", "--timeout=10s")
    ran = await kubectl.run("get", "widget", "-A", "-o", "name")
    assert (ran.code, ran.out) == (0, "")
    assert 'namespaces "demo" not found' in await kubectl.refused(widget("a", size=1))


async def test_deleting_a_definition_takes_its_objects_and_its_urls(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(NAMESPACE, WIDGET_CRD)
    await kubectl.apply(widget("a", size=1))
    await kubectl.ok("delete", "crd", "widgets.example.dev", "--timeout=10s")
    ran = await kubectl.run("get", "--raw", "/apis/example.dev/v1/widgets")
    assert ran.code != 0
    await kubectl.apply(WIDGET_CRD)

    async def is_empty() -> bool:
        return (await kubectl.run("get", "--raw", "/apis/example.dev/v1/widgets")).out.endswith('"items":[]}')

    assert await until(is_empty)


async def test_a_definition_that_is_not_structural_is_refused_with_every_fault(kubectl: Kubectl):  # noqa: F811
    broken = json.loads(json.dumps(WIDGET_CRD))
    schema = broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["size"] = {"minimum": 1}
    broken["metadata"]["name"] = "wrong.example.dev"
    refusal = await kubectl.refused(broken)
    assert "spec.versions[0].schema.openAPIV3Schema" in refusal
    assert 'metadata.name: Invalid value: must be spec.names.plural+"."+spec.group' in refusal
