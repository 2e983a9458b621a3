"""The operator's way to Secrets: none of the cluster's, those of one namespace after a grant that everybody can see."""

from pathlib import Path

import pytest

from holdfast.cli.apiserver import operator_roles
from holdfast.core.objects import Kind, Ref
from holdfast.core.plan import SecretCopy
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.engine.grants import Grants
from holdfast.engine.secrets import SecretCopier
from holdfast.kube.builtin import NAMESPACES, ROLEBINDINGS, SECRETS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.errors import Forbidden

pytestmark = [pytest.mark.api, pytest.mark.own]


async def test_a_secret_is_read_after_a_grant_for_its_namespace_alone(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "api", roles=operator_roles())
    await server.start()
    try:
        async with (
            Client(load_kubeconfig(server.kubeconfig_path), field_manager="test") as admin,
            Client(load_kubeconfig(server.data_dir / "operator.kubeconfig"), field_manager="test") as operator,
        ):
            for name in ("one", "two"):
                await admin.create(NAMESPACES, {"metadata": {"name": name}})
                await admin.create(SECRETS, {"metadata": {"name": "s", "namespace": name}, "stringData": {"key": "value"}})
            with pytest.raises(Forbidden):
                await operator.get(SECRETS, "s", "one")
            with pytest.raises(Forbidden):
                await operator.list(SECRETS)

            grants = Grants(operator)
            assert await SecretCopier(operator, grants).missing([_copy("one")]) == ""

            assert (await operator.get(SECRETS, "s", "one"))["metadata"]["name"] == "s"
            with pytest.raises(Forbidden):
                await operator.get(SECRETS, "s", "two")
            assert list(await grants.namespaces()) == ["one"]
            async with Client(load_kubeconfig(server.data_dir / "rest.kubeconfig"), field_manager="test") as rest:
                await Grants(rest).call("one", lambda: rest.get(SECRETS, "s", "one"))
                assert list(await grants.namespaces()) == ["one"]
            await operator.get(SECRETS, "s", "one")  # not taken away by the grant of another
            binding, _ = (await admin.list(ROLEBINDINGS, "one")).items
            assert binding["roleRef"]["name"] == "holdfast-secrets"

            await admin.delete(ROLEBINDINGS, binding["metadata"]["name"], "one")
            with pytest.raises(Forbidden):
                await operator.get(SECRETS, "s", "one")
    finally:
        await server.stop()


async def test_the_operator_can_not_give_itself_more(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "api", roles=operator_roles())
    await server.start()
    try:
        async with Client(load_kubeconfig(server.data_dir / "operator.kubeconfig"), field_manager="test") as operator:
            for role in ("cluster-admin", "edit", "admin"):
                binding = {
                    "metadata": {"name": "more", "namespace": "default"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "holdfast:operator"}],
                }
                with pytest.raises(Forbidden):
                    await operator.create(ROLEBINDINGS, binding)
    finally:
        await server.stop()


def _copy(namespace: str) -> SecretCopy:

    place = Ref(Kind("", "Secret"), namespace, "s")
    return SecretCopy(place, place)
