"""The executor: what the server makes of our objects, what it refuses, and in which order things happen."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.core.diff import stamped
from holdfast.core.effects import Apply, CopySecret, Create, Emit, PatchStatus
from holdfast.core.objects import Kind, Object, Ref
from holdfast.core.plan import Note, Recipe, SecretCopy
from holdfast.engine.cache import Cache
from holdfast.engine.executor import Executor
from holdfast.engine.holds import Holds
from holdfast.engine.interest import Key
from holdfast.kube.builtin import CONFIGMAPS, SECRETS
from holdfast.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from holdfast.kube.resource import Resource

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
CONFIG_MAP, SECRET = Kind("", "ConfigMap"), Kind("", "Secret")
KEY = Key(CONFIG_MAP, "demo", "owner")
OWNER: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "owner", "namespace": "demo", "uid": "u", "resourceVersion": "1"},
}


def config_map(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "demo"}, "data": data}


class FakeClient:
    """Answers with what a test puts in, and writes down what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: dict[str, Any] = {}
        self.applied: list[Object] = []

    async def apply(self, res: Resource, obj: Object) -> Object:
        self.applied.append(obj)
        return self._say("apply", obj)

    async def create(self, res: Resource, obj: Object) -> Object:
        return self._say("create", obj)

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> Object:
        return self._say(f"get {res.kind} {namespace}/{name}", {"metadata": {"name": name, "namespace": namespace}})

    async def merge_patch(self, res: Resource, name: str, namespace: str | None, body: Object, **_: str) -> Object:
        return self._say("patch", {**OWNER, **body})

    def _say(self, verb: str, obj: Object) -> Object:
        self.asked.append(verb)
        answer = self.answer.get(verb, obj)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def emit(self, obj: Object, type_: str, reason: str, message: str) -> None:
        self.events.append((reason, message))


class Scene:
    def __init__(self) -> None:
        self.client, self.recorder, self.holds, self.now = FakeClient(), Recorder(), Holds(monotonic=lambda: self.now), 0.0
        resources = {CONFIG_MAP: CONFIGMAPS, SECRET: SECRETS}
        self.executor = Executor(
            self.client,
            Cache({}),
            resources,
            {},
            "image",
            self.holds,
            self.recorder,
            monotonic=lambda: self.now,  # type: ignore[arg-type]
        )

    async def prepare(self, *effects: Any) -> bool:
        return (await self.executor.prepare(KEY, OWNER, effects, NOW))[1]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_the_server_spells_its_own_way_is_settled_until_somebody_changes_it(scene: Scene) -> None:
    wanted = stamped(config_map(cpu="0.5"))
    made = {**wanted, "metadata": {**wanted["metadata"], "generation": 1}, "data": {"cpu": "500m"}}
    scene.client.answer["apply"] = made
    await scene.prepare(Apply(wanted))
    assert scene.executor.settled(wanted, made)
    assert not scene.executor.settled(wanted, {**made, "metadata": {**made["metadata"], "generation": 2}})
    assert not scene.executor.settled(stamped(config_map(cpu="1")), made)


async def test_a_refusal_is_told_held_and_not_repeated_at_once(scene: Scene) -> None:
    scene.client.answer["apply"] = Invalid(422, "Invalid", "ConfigMap c is invalid: spec.x: no")
    assert not await scene.prepare(Apply(stamped(config_map())))
    assert not await scene.prepare(Apply(stamped(config_map())))
    assert scene.client.asked == ["apply"]
    assert scene.recorder.events == [("ChildRefused", "ConfigMap c is invalid: spec.x: no")]
    scene.now = 2.0
    await scene.prepare(Apply(stamped(config_map())))
    assert scene.client.asked == ["apply", "apply"]


async def test_what_exists_already_is_adopted(scene: Scene) -> None:
    scene.client.answer["create"] = AlreadyExists(409, "AlreadyExists", "there")
    assert await scene.prepare(Create(config_map()))
    assert scene.client.asked == ["create", "get ConfigMap demo/c"]


async def test_a_copy_that_nothing_waits_for_is_compared_rarely(scene: Scene) -> None:
    source = {"metadata": {"name": "s", "namespace": "demo", "resourceVersion": "5"}, "data": {}}
    scene.client.answer["get Secret demo/s"] = source
    scene.client.answer["get Secret app/s"] = {"metadata": {"name": "s", "labels": {"holdfast.dev/owner-uid": "u"}}}
    effect = CopySecret(SecretCopy(Ref(SECRET, "demo", "s"), Ref(SECRET, "app", "s")))
    for _ in range(3):
        assert await scene.prepare(effect)
    assert scene.client.asked.count("apply") == 1
    scene.now = 700.0
    await scene.prepare(effect)
    assert scene.client.asked.count("apply") == 2


async def test_a_note_is_told_once_while_it_holds(scene: Scene) -> None:
    note = Emit(Note("Ready", "all there"))
    for effects in ([note], [note], [], [note]):
        await scene.executor.conclude(KEY, OWNER, effects, NOW)
    assert scene.recorder.events == [("Ready", "all there")] * 2


async def test_after_a_conflict_nothing_that_comes_after_the_status_happens(scene: Scene) -> None:
    scene.client.answer["patch"] = Conflict(409, "Conflict", "changed")
    with pytest.raises(Conflict):
        await scene.executor.conclude(KEY, OWNER, [PatchStatus({"phase": "x"}), Emit(Note("Done", "x"))], NOW)
    assert scene.recorder.events == []


async def test_a_kind_without_a_resource_is_named(scene: Scene) -> None:
    with pytest.raises(LookupError, match=r"no REST resource is known for Job\.batch"):
        await scene.prepare(Create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "demo"}}))


RECIPE = Recipe("1", lambda entries: {"conf": f"key = {entries['key']}"})


async def test_a_recipe_makes_a_secret_of_another_and_again_when_recipe_or_source_change(scene: Scene) -> None:
    source = {"metadata": {"name": "s", "namespace": "demo", "resourceVersion": "5"}, "data": {"key": "dmFsdWU="}}
    scene.client.answer["get Secret demo/s"] = source
    scene.client.answer["get Secret app/s"] = NotFound(404, "NotFound", "none")
    await scene.prepare(CopySecret(SecretCopy(Ref(SECRET, "demo", "s"), Ref(SECRET, "app", "s"), None, RECIPE)))
    made = scene.client.applied[-1]
    assert made["data"] == {"conf": "a2V5ID0gdmFsdWU="}
    assert made["metadata"]["annotations"]["holdfast.dev/copied-from"] == "demo/s@5+1"

    scene.client.answer["get Secret app/s"] = made
    await scene.prepare(
        CopySecret(SecretCopy(Ref(SECRET, "demo", "s"), Ref(SECRET, "app", "s"), None, Recipe("2", RECIPE.make)))
    )
    assert scene.client.applied[-1]["metadata"]["annotations"]["holdfast.dev/copied-from"] == "demo/s@5+2"


async def test_a_recipe_that_fails_says_where_and_never_a_value(scene: Scene) -> None:
    def make(entries: Mapping[str, str]) -> Mapping[str, str]:
        raise ValueError("has no entry user")

    source = {"metadata": {"name": "s", "namespace": "demo", "resourceVersion": "5"}, "data": {"key": "dmFsdWU="}}
    scene.client.answer["get Secret demo/s"] = source
    scene.client.answer["get Secret app/s"] = NotFound(404, "NotFound", "none")
    effect = CopySecret(SecretCopy(Ref(SECRET, "demo", "s"), Ref(SECRET, "app", "s"), None, Recipe("1", make)))
    assert await scene.prepare(effect) is False
    assert scene.holds.message(KEY, "secrets") == "Secret demo/s: has no entry user"


async def test_a_key_that_is_made_once_is_never_made_again_and_outlives_its_owner(scene: Scene) -> None:
    effect = CopySecret(SecretCopy(None, Ref(SECRET, "app", "k"), None, Recipe("1", lambda _: {"password": "p"}, once=True)))
    scene.client.answer["get Secret app/k"] = NotFound(404, "NotFound", "none")
    await scene.prepare(effect)
    made = scene.client.applied[-1]
    assert "ownerReferences" not in made["metadata"]
    assert "labels" not in made["metadata"]

    scene.client.answer["get Secret app/k"] = {"metadata": {"name": "k"}, "data": {"password": "b3RoZXI="}}
    scene.now = 700.0
    assert await scene.prepare(effect)
    assert scene.client.applied == [made]


async def test_the_news_of_a_status_yield_to_the_dialects_own_word_for_it(scene: Scene) -> None:
    own, news = Note("BackupFailed", "the disk is full", warning=True), Note("RunFailed", "failed", warning=True)
    await scene.executor.conclude(KEY, OWNER, [Emit(own)], NOW, [news])
    await scene.executor.conclude(KEY, OWNER, [Emit(own)], NOW, [news])
    assert scene.recorder.events == [("BackupFailed", "the disk is full"), ("RunFailed", "failed")]
