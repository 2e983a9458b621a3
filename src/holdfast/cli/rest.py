"""`holdfast rest`: the CloudCasa REST API in front of an API server; and its keys, made and revoked by hand.

With `--data-dir` the server takes its certificate from there, remembers its port, and leaves the first API key in
`cloudcasa.key`, readable by its owner only. In a cluster certificate and key come from files, as a mounted Secret has them.
"""

import argparse
import asyncio
import contextlib
import ssl
import time
from pathlib import Path

from holdfast.cli.agent_manifest import agent_manifest
from holdfast.cli.children import signal_ready
from holdfast.cli.datadir import DataDir
from holdfast.cli.errors import HoldfastError
from holdfast.cli.members import Members
from holdfast.cli.probe import probe_objectstore
from holdfast.cli.rest_import import import_points
from holdfast.cli.service import add_kubeconfig, connect, serve, settle
from holdfast.dialects.cloudcasa.kinds import APIKEY, ORGANIZATION
from holdfast.embedded.apiserver.pki import ensure_server_certificate, write_private
from holdfast.engine.grants import Grants
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import ApiError
from holdfast.rest import keys
from holdfast.rest.app import REQUESTS_PER_SECOND, Options, ensure_organization, serving
from holdfast.rest.state import RESOURCES

_FIRST_KEY = "first"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_kubeconfig(parser)
    actions = parser.add_subparsers(dest="action", metavar="action")
    key = actions.add_parser("create-key", help="make an API key and print it, this once")
    key.add_argument("name", help="what it is for")
    key.add_argument("--role", action="append", choices=keys.ROLES, help="what it may do (default: viewer); may be repeated")
    key.add_argument("--days", type=int, help="when it ends (default: never)")
    key.add_argument("--organization", default=ORGANIZATION, help="whose it is; made if missing (default: %(default)s)")
    revoke = actions.add_parser("revoke-key", help="end an API key")
    revoke.add_argument("name", help="its name, or its id")
    revoke.add_argument("--organization", default=ORGANIZATION, help="whose it is (default: %(default)s)")
    found = actions.add_parser("import", help="make the copies that an objectstore lists known here")
    found.add_argument("objectstore", help="the id of the objectstore")
    found.add_argument("--organization", default=ORGANIZATION, help="whose it is (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="that of `holdfast up`: certificate, port and first key lie there")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 chooses one, once, and keeps it (default: %(default)s)")
    parser.add_argument("--tls-cert", type=Path, help="certificate chain, where there is no --data-dir")
    parser.add_argument("--tls-key", type=Path, help="its private key")
    parser.add_argument("--tls-ca", type=Path, help="what agents of other clusters are to trust (default: their own system)")
    parser.add_argument(
        "--requests-per-second", type=float, default=REQUESTS_PER_SECOND, help="limit of each key (default: %(default)g)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop, or do what is asked with a key."""
    config = connect(arguments)
    match arguments.action:
        case "create-key":
            return asyncio.run(_create_key(config, arguments))
        case "revoke-key":
            return asyncio.run(_revoke_key(config, arguments))
        case "import":
            return asyncio.run(_import(config, arguments))
        case _:
            return serve(_serve(arguments, config))


async def _serve(arguments: argparse.Namespace, config: ClusterConfig) -> None:
    data = DataDir(arguments.data_dir) if arguments.data_dir else None
    async with Client(config, field_manager="holdfast-rest", max_in_flight=128) as client:
        await _serve_with(client, arguments, data)


async def _serve_with(client: Client, arguments: argparse.Namespace, data: DataDir | None) -> None:
    options = Options(
        host=arguments.host,
        port=arguments.port or _remembered(data),
        tls=_tls(arguments, data),
        per_second=arguments.requests_per_second,
        probe=probe_objectstore,
        secrets=Grants(client),
        manifest=agent_manifest,
        ca=_trust(arguments, data),
        beside=lambda state, pages: Members(state, pages).run(),
    )
    async with serving(client, options) as port:
        if data is not None:
            write_private(data.rest_url, f"https://{arguments.host}:{port}/api/v1\n".encode())
            await _first_key(client, data)
        settle()
        signal_ready(arguments.ready_fd)
        await asyncio.Event().wait()


def _tls(arguments: argparse.Namespace, data: DataDir | None) -> ssl.SSLContext:
    if data is not None:
        _, certificate, key = ensure_server_certificate(data.root / "pki", (arguments.host,))
    elif arguments.tls_cert and arguments.tls_key:
        certificate, key = arguments.tls_cert, arguments.tls_key
    else:
        raise HoldfastError("keys must not travel in clear: give --tls-cert and --tls-key, or --data-dir")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise HoldfastError(f"{certificate} and {key} can't be used: {error.strerror or error}") from error
    return context


def _trust(arguments: argparse.Namespace, data: DataDir | None) -> str:
    """Return the certificates that agents are to trust; empty for those of their systems."""
    path = data.root / "pki" / "ca.crt" if data is not None else arguments.tls_ca
    try:
        return path.read_text() if path else ""
    except OSError as error:
        raise HoldfastError(f"{path} can't be read: {error.strerror}") from error


def _remembered(data: DataDir | None) -> int:
    """Return the port of the last life, so that clients stay valid across restarts."""
    if data is None or not data.rest_url.is_file():
        return 0
    with contextlib.suppress(ValueError):
        return int(data.rest_url.read_text().split("/")[2].rpartition(":")[2])
    return 0


async def _first_key(client: Client, data: DataDir) -> None:
    """Leave an administrator's key beside the kubeconfig, unless there is one."""
    if data.rest_key.is_file():
        return
    made = keys.make(ORGANIZATION, _FIRST_KEY, ["admin"])
    await client.create(RESOURCES[APIKEY], made.object)
    write_private(data.rest_key, f"{made.key}\n".encode())


async def _create_key(config: ClusterConfig, arguments: argparse.Namespace) -> int:
    organization: str = arguments.organization
    expires = int(time.time()) + 86_400 * arguments.days if arguments.days else None
    try:
        async with Client(config, field_manager="holdfast-rest") as client:
            await ensure_organization(client, organization, local=organization == ORGANIZATION)
            present = (await client.list(RESOURCES[APIKEY], organization)).items
            if keys.active(present, time.time()) >= keys.MOST:
                raise HoldfastError(f"organisation {organization} has {keys.MOST} active keys, the most there are: revoke one")
            made = keys.make(organization, arguments.name, arguments.role or ["viewer"], expires)
            await client.create(RESOURCES[APIKEY], made.object)
    except ApiError as error:
        raise HoldfastError(str(error)) from error
    print(made.key)
    return 0


async def _import(config: ClusterConfig, arguments: argparse.Namespace) -> int:
    try:
        async with Client(config, field_manager="holdfast-rest") as client:
            made = await import_points(client, arguments.organization, arguments.objectstore)
    except ApiError as error:
        raise HoldfastError(str(error)) from error
    print("\n".join([*made, f"{len(made)} recovery points imported"]))
    return 0


async def _revoke_key(config: ClusterConfig, arguments: argparse.Namespace) -> int:
    organization: str = arguments.organization
    try:
        async with Client(config, field_manager="holdfast-rest") as client:
            present = (await client.list(RESOURCES[APIKEY], organization)).items
            wanted = [obj for obj in present if arguments.name in (obj["metadata"]["name"], obj["spec"]["name"])]
            if not wanted:
                raise HoldfastError(f"organisation {organization} has no key {arguments.name!r}")
            for obj in wanted:
                await client.delete(RESOURCES[APIKEY], obj["metadata"]["name"], organization, uid=obj["metadata"]["uid"])
    except ApiError as error:
        raise HoldfastError(str(error)) from error
    print(f"revoked {len(wanted)}")
    return 0
