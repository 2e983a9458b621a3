"""The TLS settings of a cluster's configuration, as the standard library wants them."""

import os
import ssl
import tempfile

from holdfast.kube.config import ClusterConfig, ConfigError


def ssl_context(config: ClusterConfig) -> ssl.SSLContext | bool:
    """Build the context: the cluster's own authority only, when it names one. True for plain HTTP, where none is used."""
    if not config.server.startswith("https://"):
        return True
    try:
        context = ssl.create_default_context(cadata=config.ca_data or None)
    except ssl.SSLError as error:
        raise ConfigError(f"cluster {config.server}: the certificate authority is not a usable PEM: {error.reason}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate:
        _load_pair(context, config)
    return context


def _load_pair(context: ssl.SSLContext, config: ClusterConfig) -> None:
    """Load the client's certificate through a private file, the only way that ssl offers; the file lives for this call."""
    handle, name = tempfile.mkstemp(prefix="holdfast-", suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{config.client_certificate}\n{config.client_key}\n")
        context.load_cert_chain(name)
    except ssl.SSLError as error:
        raise ConfigError(f"cluster {config.server}: the client certificate and key do not fit: {error.reason}") from None
    finally:
        os.unlink(name)
