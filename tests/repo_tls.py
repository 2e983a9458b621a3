"""A CA of one's own and an S3 server behind it."""

import contextlib
import datetime
import ipaddress
import os
import select
import subprocess
from collections.abc import Generator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import tools
from tests.movers_builders import KEY, SECRET


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, issuer: str, *, ca: bool
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextlib.contextmanager
def tls_s3_server(folder: Path) -> Generator[tuple[str, Path]]:
    """Serve `folder` as S3 over TLS; yields the endpoint and the CA's file."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    paths = {name: folder.parent / f"{name}.pem" for name in ("ca", "cert", "key")}
    paths["ca"].write_bytes(_certificate("test CA", authority, authority, "test CA", ca=True))
    paths["cert"].write_bytes(_certificate("server", key, authority, "test CA", ca=False))
    clear = serialization.NoEncryption()
    paths["key"].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear))
    command = [tools.rclone(), "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{KEY},{SECRET}", str(folder)]
    command += ["--cert", str(paths["cert"]), "--key", str(paths["key"])]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), "RCLONE_CONFIG": "/dev/null"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        text = b""
        while b"/]" not in text:
            ready, _, _ = select.select([process.stderr], [], [], 10)
            chunk = os.read(process.stderr.fileno(), 4096) if ready else b""
            assert chunk, f"rclone does not serve: {text!r}"
            text += chunk
        yield text.partition(b"[")[2].partition(b"/]")[0].decode(), paths["ca"]
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()
