"""The optional webhook: the verdict of the embedded server's admission, over HTTPS that the API server is told to trust."""

import asyncio
import base64
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.e2e.plane import HOLDFAST
from tests.e2e.test_install import account, free_port, install
from tests.embedded_fixture import Kubectl, api_server, until

from holdfast.cli import deployment, webhook
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import CLUSTERROLEBINDINGS, SECRETS, VALIDATINGWEBHOOKS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig

__all__ = ["api_server"]

pytestmark = pytest.mark.api

POLICY = {
    "apiVersion": "storage.kubestash.com/v1alpha1",
    "kind": "RetentionPolicy",
    "metadata": {"name": "keep", "namespace": "default"},
    "spec": {"maxRetentionPeriod": "2mo", "successfulSnapshots": {"last": 5}},
}


def question(operation: str, obj: Any, old: Any = None) -> dict[str, Any]:
    kind = {"group": "storage.kubestash.com", "version": "v1alpha1", "kind": "RetentionPolicy"}
    request = {"uid": "u-1", "kind": kind, "operation": operation, "name": "keep", "object": obj, "oldObject": old}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def changed(**spec: Any) -> dict[str, Any]:
    return {**POLICY, "spec": {**POLICY["spec"], **spec}}  # type: ignore[dict-item]


async def test_it_judges_over_a_connection_that_the_api_server_can_trust(api_server: ApiServer, tmp_path: Path) -> None:
    await install(api_server)
    kubectl = Kubectl(api_server.kubeconfig_path)
    kinds = ("Deployment", "ValidatingWebhookConfiguration")
    objects = deployment.webhook_objects()
    await kubectl.apply(*(obj for obj in objects if obj["kind"] not in kinds))
    async with Client(load_kubeconfig(api_server.kubeconfig_path), field_manager="test") as admin:
        await admin.create(VALIDATINGWEBHOOKS, next(obj for obj in objects if obj["kind"] == kinds[1]))
        token = (await kubectl.ok("create", "token", webhook.NAME, "-n", "holdfast-system")).strip()
        config = yaml.safe_load((await account(api_server, tmp_path)).read_text())
        config["users"][0]["user"] = {"token": token}
        (tmp_path / "webhook.kubeconfig").write_text(yaml.safe_dump(config))

        port = free_port()
        arguments = ["--kubeconfig", str(tmp_path / "webhook.kubeconfig"), "--listen", f"127.0.0.1:{port}"]
        running = await asyncio.create_subprocess_exec(HOLDFAST, "webhook", *arguments)
        try:
            trusted = await until(lambda: authority(admin), 20)
            answers = await asked(port, trusted, [
                question("CREATE", POLICY),
                question("CREATE", changed(maxRetentionPeriod="2 fortnights")),
                question("UPDATE", changed(maxRetentionPeriod="bad"), changed(maxRetentionPeriod="bad")),
                question("DELETE", None, POLICY),
            ])  # fmt: skip
            assert [answer["response"]["allowed"] for answer in answers] == [True, False, True, True]
            assert "maxRetentionPeriod" in answers[1]["response"]["status"]["message"]
            assert (await admin.get(SECRETS, webhook.NAME, "holdfast-system"))["type"] == "kubernetes.io/tls"
            assert (await admin.get(CLUSTERROLEBINDINGS, webhook.NAME))["roleRef"]["name"] == webhook.NAME
        finally:
            running.terminate()
            await running.wait()


async def authority(admin: Client) -> str:
    hooks = (await admin.get(VALIDATINGWEBHOOKS, webhook.NAME))["webhooks"]
    return hooks[0]["clientConfig"].get("caBundle", "")


async def asked(port: int, bundle: str, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask as an API server does: by the Service's name, trusting nothing but the bundle."""
    context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    connector = aiohttp.TCPConnector(ssl=context, family=socket.AF_INET)
    async with aiohttp.ClientSession(connector=connector) as session:
        found: list[dict[str, Any]] = []
        for each in questions:
            url = f"https://127.0.0.1:{port}/validate"
            async with session.post(url, json=each, server_hostname=f"{webhook.NAME}.holdfast-system.svc") as answer:
                assert answer.status == 200
                found.append(json.loads(await answer.text()))
        return found
