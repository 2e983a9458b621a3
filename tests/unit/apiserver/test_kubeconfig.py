"""The kubeconfig that a server writes at each start."""

from pathlib import Path

import yaml

from holdfast.embedded.apiserver.kubeconfig import write_kubeconfig


def test_the_namespace_that_was_chosen_outlives_a_restart(tmp_path: Path):
    path = tmp_path / "admin.kubeconfig"
    write_kubeconfig(path, "admin", "https://127.0.0.1:1", b"ca", "one")
    document = yaml.safe_load(path.read_text())
    assert "namespace" not in document["contexts"][0]["context"]
    document["contexts"][0]["context"]["namespace"] = "demo"
    path.write_text(yaml.safe_dump(document))
    write_kubeconfig(path, "admin", "https://127.0.0.1:2", b"ca", "two")
    again = yaml.safe_load(path.read_text())
    assert again["contexts"][0]["context"] == {"cluster": "holdfast", "user": "admin", "namespace": "demo"}
    assert (again["clusters"][0]["cluster"]["server"], again["users"][0]["user"]["token"]) == ("https://127.0.0.1:2", "two")
