"""When Backups go by themselves: by a timer, never the last good one, chains as a whole, and nothing while time passes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.kubeblocks.memory import GROUP, Memory, thing

from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.dialects.kubeblocks import retention
from holdfast.dialects.kubeblocks.expiry import Verdict, verdict

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def backup(
    name: str, *, age: int = 10, keep: int | None = 7, phase: str = "Completed", method: str = "full", **more: Any
) -> Object:
    """Build a Backup that ended `age` days ago and is kept `keep` days."""
    ended = NOW - timedelta(days=age)
    status: Object = {"phase": phase, "completionTimestamp": format_time(ended), **more}
    if keep is not None:
        status["expiration"] = format_time(ended + timedelta(days=keep))
    meta = {"labels": {f"{GROUP}/backup-policy": "shop"}}
    return thing("Backup", name, meta=meta, status=status, backupPolicyName="shop", backupMethod=method)


def judge(name: str, *objects: Object) -> Verdict:
    memory = Memory(*objects, now=NOW)
    return verdict(memory.find("Backup", name, "default"), memory, NOW)


def policy(rule: str) -> Object:
    target = {"podSelector": {"matchLabels": {"a": "b"}}}
    methods = [{"name": "full", "actionSetName": "dump"}]
    return thing("BackupPolicy", "shop", retentionPolicy=rule, backupMethods=methods, target=target)


NEWER = backup("newer", age=1)


def test_21_an_expired_backup_goes_when_a_newer_one_is_good() -> None:
    assert judge("old", backup("old"), NEWER) == Verdict(expired=True)


def test_of_backups_that_ended_in_one_second_exactly_one_is_the_last() -> None:
    twins = (backup("a", keep=7), backup("b", keep=7), backup("c", keep=8))
    assert [judge(name, *twins).expired for name in "abc"] == [True, True, False]
    assert [judge(name, *twins[:2]).expired for name in "ab"] == [True, False]


@pytest.mark.parametrize("phase", ["Running", "New", "Deleting"])
def test_21_a_backup_that_is_not_over_is_never_collected(phase: str) -> None:
    assert judge("old", backup("old", phase=phase), NEWER) == Verdict()


def test_without_an_expiration_nothing_is_asked_again() -> None:
    assert judge("old", backup("old", keep=None), NEWER) == Verdict()


def test_before_its_time_a_backup_asks_for_one_look_at_that_time() -> None:
    assert judge("young", backup("young", age=1)) == Verdict(wake_at=NOW + timedelta(days=6))


def test_the_last_good_backup_of_a_policy_outlives_its_expiration_and_says_so() -> None:
    told = judge("old", backup("old"), backup("failed", age=1, phase="Failed"), backup("running", age=0, phase="Running"))
    assert told.expired is False
    assert "it is the last good backup of BackupPolicy shop" in told.kept


def test_a_failed_backup_goes_at_its_time_even_as_the_only_one() -> None:
    assert judge("old", backup("old", phase="Failed")).expired is True


@pytest.mark.parametrize(("rule", "expired"), [("none", True), ("retainLatestBackup", False)])
def test_21_the_policy_may_give_up_the_last_one_or_keep_one_of_each_method(rule: str, expired: bool) -> None:
    other = backup("other-method", age=1, method="snapshot")
    assert judge("old", backup("old"), other, policy(rule)).expired is expired
    assert judge("old", backup("old"), policy(rule)).expired is expired


def test_a_chain_goes_as_a_whole_leaf_first() -> None:
    full = backup("full", age=30)
    one = backup("one", age=20, method="inc", parentBackupName="full", baseBackupName="full")
    two = backup("two", age=15, method="inc", parentBackupName="one", baseBackupName="full")
    assert judge("full", full, one, two, NEWER).kept == "it expired, and one builds on it"
    assert judge("one", full, one, two, NEWER).kept == "it expired, and two builds on it"
    assert judge("two", full, one, two, NEWER) == Verdict(expired=True)
    assert judge("one", full, one, NEWER) == Verdict(expired=True)
    assert judge("full", full, NEWER) == Verdict(expired=True)


def test_21_an_expired_incremental_stays_while_its_chain_is_needed() -> None:
    full = backup("full", age=8, keep=30)
    leaf = backup("leaf", age=8, method="inc", parentBackupName="full", baseBackupName="full")
    told = judge("leaf", full, leaf, NEWER)
    assert told == Verdict(
        kept="it expired, and its chain is kept by full until 2026-12-12T12:00:00Z", wake_at=NOW + timedelta(days=22)
    )
    held = judge("leaf", backup("full", age=8, keep=None), leaf, NEWER)
    assert "which does not expire" in held.kept


def test_the_chain_of_the_last_good_backup_stays_whole() -> None:
    full = backup("full", age=30)
    leaf = backup("leaf", age=20, method="inc", parentBackupName="full", baseBackupName="full")
    assert "last good" in judge("leaf", full, leaf).kept
    assert judge("full", full, leaf).expired is False


def test_a_backup_that_was_found_again_waits_for_a_person() -> None:
    found = backup("old")
    found["metadata"]["labels"]["holdfast.dev/rediscovered"] = "true"
    assert "remove the label" in judge("old", found, NEWER).kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1y2mo3w4d5h6m", timedelta(days=365 + 60 + 21 + 4, hours=5, minutes=6)),
        ("6m1y", timedelta(days=365, minutes=6)),
        (" 30d12h ", timedelta(days=30, hours=12)),
        ("", None),
        ("0d", None),
    ],
)
def test_a_period_adds_up_its_units_and_nothing_means_for_ever(text: str, expected: timedelta | None) -> None:
    assert retention.period(text) == expected


@pytest.mark.parametrize("text", ["7d7d", "7", "d", "7D", "7 d", "-7d", "9999999y"])
def test_a_period_that_is_ambiguous_or_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|twice|longer"):
        retention.period(text)
