"""Who may call a node: the API server with its token, a real one with its client certificate, and nobody else."""

import asyncio
import datetime as dates
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.kube.builtin import CONFIGMAPS, NODES, PODS
from tests.e2e.cluster import Cluster
from tests.e2e.test_pods import phase, pod

pytestmark = [pytest.mark.run, pytest.mark.asyncio(loop_scope="module")]

MASTERS, AUTHORITY = "system:masters", "a-client-authority"


def write_certificate(folder: Path, name: str, group: str, signer: str) -> Path:
    """Make a certificate, signed by another one of the folder, and a key beside it in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
    now, by = dates.datetime.now(dates.UTC), folder / f"{signer}.pem"
    issuer = x509.load_pem_x509_certificate(by.read_bytes()).subject if signer != name else x509.Name(names)
    signing = serialization.load_pem_private_key(by.read_bytes(), None) if signer != name else key
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dates.timedelta(hours=1))
        .not_valid_after(now + dates.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer == name, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    for name, group, signer in (
        (AUTHORITY, "", AUTHORITY),
        ("kube-apiserver-kubelet-client", MASTERS, AUTHORITY),
        ("somebody", "people", AUTHORITY),
        ("impostor", "", "impostor"),
        ("forged", MASTERS, "impostor"),
    ):
        write_certificate(made, name, group or "none", signer)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> AsyncIterator[Cluster]:
    """A cluster that publishes its client authority, as real ones do, with a pod that has said something."""
    found = Cluster(tmp_path_factory.mktemp("callers"))
    try:
        await found.start()
        await found.stop_part("node")
        pem = x509.load_pem_x509_certificate((folder / f"{AUTHORITY}.pem").read_bytes())
        authority = pem.public_bytes(serialization.Encoding.PEM).decode()
        meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
        await found.client.create(CONFIGMAPS, {"metadata": meta, "data": {"client-ca-file": authority}})
        await found.start_node()
        await found.apply(pod("said", "echo something"))
        await found.until(PODS, "said", phase("Succeeded"))
        yield found
    finally:
        await found.stop()


async def ask(cluster: Cluster, certificate: Path | None) -> tuple[int, str]:
    """Ask the node itself for the pod's log."""
    node = await cluster.client.get(NODES, "here")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    url = f"https://127.0.0.1:{port}/containerLogs/default/said/main"
    async with asyncio.timeout(20), aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
        return answer.status, await answer.text()


async def test_a_real_api_servers_certificate_is_let_in(cluster: Cluster, folder: Path) -> None:
    assert await ask(cluster, folder / "kube-apiserver-kubelet-client.pem") == (200, "something\n")


async def test_who_has_no_role_for_it_is_refused_by_name(cluster: Cluster, folder: Path) -> None:
    code, text = await ask(cluster, folder / "somebody.pem")
    assert code == 403
    assert "user 'somebody' may not create nodes/proxy" in text


async def test_who_shows_nothing_is_nobody(cluster: Cluster) -> None:
    assert (await ask(cluster, None))[0] == 401


async def test_a_certificate_of_another_authority_gets_no_connection(cluster: Cluster, folder: Path) -> None:
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await ask(cluster, folder / "forged.pem")


async def test_the_embedded_api_server_goes_on_with_its_token(cluster: Cluster) -> None:
    assert await cluster.log("said") == "something\n"
