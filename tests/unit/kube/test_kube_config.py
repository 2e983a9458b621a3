"""Kubeconfigs and pod service accounts, as users have them, and what a broken one is told."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.kube.config import ConfigError, foreign_kubeconfig, in_cluster, load_kubeconfig


def write(path: Path, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **top: Any) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "demo"}},
            {"name": "there", "context": {"cluster": "c2", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://one:6443/", **(cluster or {})}},
            {"name": "c2", "cluster": {"server": "https://two:6443"}},
        ],
        "users": [{"name": "u", "user": user or {}}],
        **top,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_is_used_unless_another_is_named(tmp_path: Path):
    path = write(tmp_path / "config")
    assert (load_kubeconfig(path).server, load_kubeconfig(path).namespace) == ("https://one:6443", "demo")
    assert (load_kubeconfig(path, "there").server, load_kubeconfig(path, "there").namespace) == ("https://two:6443", "default")


def test_certificates_come_inline_or_from_files_beside_the_kubeconfig(tmp_path: Path):
    (tmp_path / "client.crt").write_text("CERT")
    (tmp_path / "client.key").write_text("KEY")
    path = write(
        tmp_path / "config",
        cluster={"certificate-authority-data": base64.b64encode(b"CA").decode()},
        user={"client-certificate": "client.crt", "client-key": "client.key"},
    )
    config = load_kubeconfig(path)
    assert (config.ca_data, config.client_certificate, config.client_key) == ("CA", "CERT", "KEY")


def test_a_token_file_wins_over_a_token_since_it_rotates(tmp_path: Path):
    config = load_kubeconfig(write(tmp_path / "config", user={"token": "static", "tokenFile": "token"}))
    assert (config.token, config.token_file) == ("", str(tmp_path / "token"))


def test_a_credential_plugin_is_read_with_its_arguments(tmp_path: Path):
    plugin = {"command": "./login", "args": ["--fast"], "env": [{"name": "A", "value": "1"}], "apiVersion": "x/v1"}
    read = load_kubeconfig(write(tmp_path / "config", user={"exec": plugin})).exec_plugin
    assert read is not None
    assert (read.command, read.args, read.env) == (str(tmp_path / "login"), ("--fast",), (("A", "1"),))


def test_no_secret_is_in_the_repr(tmp_path: Path):
    config = load_kubeconfig(write(tmp_path / "config", user={"token": "s3cret", "username": "me", "password": "hunter2"}))
    assert "s3cret" not in repr(config)
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current-context": ""}, "no current-context is set"),
        ({"current-context": "gone"}, r"contexts has no entry 'gone' \(there: here, there\)"),
        ({"clusters": []}, r"clusters has no entry 'c' \(there: none\)"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "auth-provider was removed"),
        ({"user": {"client-key-data": "%%%"}}, "client-key-data is not base64"),
        ({"user": {"client-key": "missing.key"}}, "cannot read .*missing.key: No such file"),
        ({"user": {"exec": {"args": []}}}, "exec has no command"),
    ],
)
def test_a_broken_kubeconfig_names_the_file_and_the_fault(tmp_path: Path, change: dict[str, Any], message: str):
    path = write(tmp_path / "config", **change)
    with pytest.raises(ConfigError, match=message) as caught:
        load_kubeconfig(path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", ""])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str):
    (tmp_path / "config").write_text(text)
    with pytest.raises(ConfigError, match=str(tmp_path / "config")):
        load_kubeconfig(tmp_path / "config")


def test_a_pod_uses_its_service_account(tmp_path: Path):
    for name, text in (("token", "t"), ("ca.crt", "CA"), ("namespace", "demo\n")):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    config = in_cluster(tmp_path, environ)
    assert (config.server, config.namespace, config.ca_data) == ("https://[fd00::1]:6443", "demo", "CA")
    assert config.token_file == str(tmp_path / "token")


def test_outside_a_pod_the_service_account_says_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="give a kubeconfig instead"):
        in_cluster(tmp_path, {})


def test_a_kubeconfig_of_somebody_else_brings_all_it_needs(tmp_path: Path):
    given = write(tmp_path / "config", user={"token": "t0ken"}).read_text()
    assert foreign_kubeconfig(given, "of Secret a/b").server == "https://one:6443"


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("user", "exec", {"command": "/bin/sh"}),
        ("user", "tokenFile", "/etc/shadow"),
        ("user", "client-key", "/etc/ssl/private/key"),
        ("user", "client-certificate", "client.crt"),
        ("cluster", "certificate-authority", "/etc/passwd"),
    ],
)
def test_a_kubeconfig_of_somebody_else_reaches_nothing_of_this_machine(tmp_path: Path, where: str, name: str, value: object):
    given = write(tmp_path / "config", **{where: {name: value}}).read_text()
    with pytest.raises(ConfigError, match=f"kubeconfig of Secret a/b: {name} reaches into the machine that reads it"):
        foreign_kubeconfig(given, "of Secret a/b")
