"""What a node says of itself on its Node object."""

from datetime import UTC, datetime
from pathlib import Path

from tests.unit.node.fakes import FakeClient, host

from holdfast.embedded.node.register import Face, node_status


def test_conditions_say_what_the_node_can_and_what_not_and_since_when(tmp_path: Path) -> None:
    made = host(FakeClient(), tmp_path)
    began, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    good = node_status(made, Face(port=1), [], began)["conditions"]
    assert [(each["type"], each["status"]) for each in good] == [
        ("Ready", "True"),
        ("PodNetwork", "True"),
        ("HostPrograms", "True"),
    ]
    worse = node_status(made, Face(port=1, unconnected="no root"), good, later)["conditions"]
    network = next(each for each in worse if each["type"] == "PodNetwork")
    assert (network["status"], network["reason"], network["message"]) == ("False", "SharedNetwork", "no root")
    since = {each["type"]: each["lastTransitionTime"][:10] for each in worse}
    assert since == {"Ready": "2026-01-01", "PodNetwork": "2026-01-02", "HostPrograms": "2026-01-01"}
    made.limiters.close()
