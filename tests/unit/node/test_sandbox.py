"""What becomes a bubblewrap command line, and what never does."""

from pathlib import Path

import pytest

from holdfast.core.objects import Object
from holdfast.embedded.node import images, layout, sandbox
from holdfast.embedded.node.environment import expand
from holdfast.embedded.node.identity import DEFAULT_CAPABILITIES, IdentityError, identity_of
from holdfast.embedded.node.images import Image, ImageTable
from holdfast.embedded.node.sandbox import Identity, Kind, Mount, Sandbox


def identity(inner: Object | None = None, outer: Object | None = None) -> Identity:
    return identity_of({"spec": {"securityContext": outer or {}}}, {"name": "c", "securityContext": inner or {}})


def test_the_environment_is_not_on_the_command_line() -> None:
    job = Sandbox(command=("run",), environment={"PASSWORD": "s3cret"}, mounts=())
    for privileged in (True, False):
        assert "s3cret" not in " ".join(sandbox.command(job, privileged=privileged))
        assert b"s3cret" in sandbox.encode(sandbox.options(job, privileged=privileged))


def test_variables_that_steer_the_loader_come_only_after_privileges_are_dropped() -> None:
    job = Sandbox(command=("run",), environment={"LD_PRELOAD": "/x.so", "A": "1"}, mounts=())
    assert "/x.so" not in sandbox.options(job, privileged=True)
    line = sandbox.command(job, privileged=True)
    assert line.index("LD_PRELOAD=/x.so") > line.index("--no-new-privs")


def test_an_option_can_not_be_smuggled_in_by_a_value() -> None:
    job = Sandbox(command=("run",), environment={"A": "x\0--bind\0/\0/"}, mounts=())
    words = sandbox.encode(sandbox.options(job, privileged=True)).split(b"\0")
    assert b"--bind" not in words


def test_without_root_a_user_namespace_stands_for_the_user() -> None:
    job = Sandbox(command=("run",), environment={}, mounts=(), identity=Identity(uid=0, gid=0))
    found = sandbox.options(job, privileged=False)
    assert found[found.index("--uid") + 1] == "0"
    assert "--unshare-user" in found


def test_nobody_without_capabilities_is_the_default() -> None:
    assert identity() == Identity(uid=65534, gid=65534, groups=(), capabilities=())


def test_root_has_the_default_capabilities_unless_they_are_dropped() -> None:
    assert set(identity({"runAsUser": 0}).capabilities) == DEFAULT_CAPABILITIES
    context = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["CAP_CHOWN", "fowner"]}}
    assert identity(context).capabilities == ("CHOWN", "FOWNER")
    assert "MKNOD" not in DEFAULT_CAPABILITIES


def test_the_container_wins_over_the_pod() -> None:
    assert identity({"runAsUser": 7}, {"runAsUser": 0, "runAsGroup": 8, "fsGroup": 9}) == Identity(uid=7, gid=8, groups=(9,))


def test_contradictions_and_unknown_capabilities_are_refused_by_name() -> None:
    with pytest.raises(IdentityError, match="runAsNonRoot"):
        identity({"runAsUser": 0, "runAsNonRoot": True})
    with pytest.raises(IdentityError, match="FLY"):
        identity({"capabilities": {"add": ["FLY"]}})


@pytest.mark.parametrize(
    ("text", "shown"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A $$ $(", "$A $ $("), ("$(A$(A)", "$(A1"), ("$$$(A)", "$1")],
)
def test_references_are_expanded_as_kubernetes_does(text: str, shown: str) -> None:
    assert expand(text, {"A": "1"}) == shown


def test_images_are_known_by_the_last_part_of_their_name() -> None:
    table = ImageTable({"holdfast": Image(command=("x",))})
    for name in ("holdfast", "ghcr.io/a/holdfast:1", "localhost:5000/holdfast@sha256:00", "holdfast:v1@sha256:00"):
        assert table.find(name) is not None, name
    assert table.find("example/holdfast-not:1") is None


def test_the_root_shows_programs_and_never_secrets_of_the_machine() -> None:
    targets = {mount.target for mount in images.root_mounts()}
    assert {"/usr", "/etc/passwd"} <= targets
    assert not {"/etc", "/etc/shadow", "/root/.ssh", "/var"} & {mount.target for mount in images.root_mounts() if mount.source}


def test_a_mount_path_below_a_read_only_directory_opens_a_hole_and_keeps_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    root = [Mount(Kind.READ_ONLY, "/image", str(tmp_path))]
    placed = layout.arrange(root, [Mount(Kind.BIND, "/image/a/new/deep", "/data")])
    added = [(mount.kind, mount.target) for mount in placed if mount.target.startswith("/image/")]
    assert added == [
        (Kind.TMPFS, "/image/a"),
        (Kind.READ_ONLY, "/image/a/b"),
        (Kind.READ_ONLY, "/image/a/file"),
        (Kind.DIRECTORY, "/image/a/new"),
        (Kind.BIND, "/image/a/new/deep"),
    ]


def test_an_existing_directory_needs_no_hole_and_parents_come_first(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    root = [Mount(Kind.READ_ONLY, "/image", str(tmp_path))]
    volumes = [Mount(Kind.BIND, "/v/inner/most", "/2"), Mount(Kind.BIND, "/v", "/1"), Mount(Kind.BIND, "/image/a", "/3")]
    placed = layout.arrange(root, volumes)
    targets = [mount.target for mount in placed if mount.kind is Kind.BIND]
    assert targets == ["/v", "/image/a", "/v/inner/most"]
    assert not any(mount.kind is Kind.TMPFS and mount.target.startswith("/image") for mount in placed)


def test_links_of_the_root_are_followed() -> None:
    root = [Mount(Kind.READ_ONLY, "/usr", "/usr"), Mount(Kind.SYMLINK, "/bin", "usr/bin")]
    assert layout.arrange(root, [Mount(Kind.BIND, "/bin/made-up", "/x")])[-1].target == "/usr/bin/made-up"


@pytest.mark.parametrize("above", ["/tmp", "/tmp/a", "/var/run", "/dev/shm"])
def test_what_an_image_has_is_mounted_after_a_volume_above_it_and_before_one_in_it(above: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    own = [Mount(Kind.READ_ONLY, f"{above}/x/venv", str(tmp_path))]
    volumes = [Mount(Kind.BIND, f"{above}/x/venv/data", "/2"), Mount(Kind.BIND, above, "/1")]
    sources = [mount.source for mount in layout.arrange(images.root_mounts(), volumes, own)]
    assert sources.index("/1") < sources.index(str(tmp_path)) < sources.index("/2")


def test_an_image_below_tmp_leaves_tmp_writable_for_all() -> None:
    placed = layout.arrange(images.root_mounts(), [], images.own_mounts(Image(paths=("/tmp/x/venv",))))
    assert next(mount for mount in placed if mount.target == "/tmp").mode == 0o1777
