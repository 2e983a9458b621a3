"""What of a status is told in an event."""

from typing import Any

import pytest

from holdfast.core.news import news

REFUSED = {"type": "RestoreFailed", "status": "True", "reason": "NoSpace", "message": "the volume is full"}
BEGUN = {"type": "Ensured", "status": "True", "reason": "Ok", "message": "its Job runs"}


@pytest.mark.parametrize(
    ("before", "after", "reason", "message", "warning"),
    [
        ({"phase": "Running"}, {"phase": "Succeeded"}, "RunSucceeded", "it is succeeded", False),
        ({"phase": "Running"}, {"phase": "Succeeded", "conditions": [BEGUN]}, "RunSucceeded", "it is succeeded", False),
        ({"phase": "Running"}, {"phase": "Failed", "failureReason": "no pod"}, "RunFailed", "no pod", True),
        ({}, {"phase": "Skipped", "conditions": [BEGUN]}, "RunSkipped", "its Job runs", True),
        ({"conditions": [BEGUN]}, {"phase": "Failed", "conditions": [REFUSED, BEGUN]}, "RunFailed", "the volume is full", True),
        ({"phase": "Ready"}, {"phase": "NotReady", "reason": "no answer"}, "RunNotReady", "no answer", True),
        ({"state": "RUNNING"}, {"state": "PARTIAL", "message": "one volume is lost"}, "RunPartial", "one volume is lost", True),
    ],
)
def test_an_end_and_a_fall_are_told_in_the_status_own_words(
    before: Any, after: Any, reason: str, message: str, *, warning: bool
) -> None:
    (told,) = news("Run", before, after)
    assert (told.reason, told.message, told.warning) == (reason, message, warning)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"phase": "NotReady", "reason": "its storage is not there yet"}),
        ({"phase": "NotReady"}, {"phase": "Ready"}),
        ({"phase": "Pending"}, {"phase": "Running"}),
        ({"phase": "Failed"}, {"phase": "Failed", "failureReason": "said in other words"}),
    ],
)
def test_what_only_goes_on_is_not_news(before: Any, after: Any) -> None:
    assert news("Run", before, after) == ()
