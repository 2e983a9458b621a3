"""Repositories in containers of Azure Blob Storage: URL and environment as restic has them.

`azure:container:/path`, AZURE_ACCOUNT_NAME, and AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS; AZURE_ENDPOINT_SUFFIX for other
clouds, AZURE_ENDPOINT (ours) for any other address. Without key and token an application signs in with AZURE_TENANT_ID,
AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, as restic has it too, else the managed or workload identity of the machine is
used. An upload is one request and appears whole; `config` is written on the condition that there is none.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import AzureStore

from holdfast.repo.errors import BadCredentials, BadLocation
from holdfast.repo.stores.bucket import Bucket, Place
from holdfast.repo.stores.http import is_on, read_ca

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig

DEFAULT_SUFFIX = "core.windows.net"
REQUEST_TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=10)


def service_principal(env: Mapping[str, str]) -> "AzureConfig":
    """Return the settings of an application that signs in; empty without AZURE_CLIENT_SECRET."""
    if not env.get("AZURE_CLIENT_SECRET"):
        return {}
    return {
        "tenant_id": env.get("AZURE_TENANT_ID", ""),
        "client_id": env.get("AZURE_CLIENT_ID", ""),
        "client_secret": env["AZURE_CLIENT_SECRET"],
    }


def open_azure(url: str, env: Mapping[str, str]) -> Bucket:
    """The store of an Azure URL. Raises BadLocation, BadCredentials."""
    container, _, path = url.removeprefix("azure:").partition(":")
    if not container or "/" in container:
        raise BadLocation(f"{url!r} is not an Azure repository: write azure:<container>:/<path>")
    account = env.get("AZURE_ACCOUNT_NAME")
    if not account:
        raise BadCredentials(f"{url}: AZURE_ACCOUNT_NAME is not set: check the storage secret")
    endpoint = env.get("AZURE_ENDPOINT") or f"https://{account}.blob.{env.get('AZURE_ENDPOINT_SUFFIX') or DEFAULT_SUFFIX}"
    config: AzureConfig = {"account_name": account, "endpoint": endpoint}
    if key := env.get("AZURE_ACCOUNT_KEY"):
        config["account_key"] = key
    elif token := env.get("AZURE_ACCOUNT_SAS"):
        config["sas_key"] = token.lstrip("?")
    else:
        config |= service_principal(env)
    client: ClientConfig = {
        "allow_http": endpoint.startswith("http:"),
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
    }
    ca, insecure = read_ca(env), is_on(env, "RESTIC_INSECURE_TLS")
    if ca:
        client["root_certificate"] = ca
    if insecure:
        client["allow_invalid_certificates"] = True
    store = AzureStore(container, config=config, client_options=client, retry_config={"max_retries": 0})
    return Bucket(store, Place(url, container, path.strip("/")), ca, insecure=insecure)
