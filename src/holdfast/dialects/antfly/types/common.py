"""What the kinds of the Antfly API share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.schema.fields import Maybe, Time, Wire, doc

LOCATION: str = "^(s3://|file://).+"
"""What a location begins with; `gs://` does not exist: Google's buckets are reached through their S3 API."""


class ClusterReference(Wire):
    """Names an AntflyCluster."""

    name: Annotated[str, doc("Name of the AntflyCluster.")]
    namespace: Maybe[Annotated[str, doc("Its namespace; that of this object when absent.")]] = UNSET


class SecretReference(Wire):
    """Names a Secret of this object's namespace."""

    name: Annotated[
        str,
        doc(
            "Name of the Secret. Its keys: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and optionally `AWS_REGION`, "
            "`AWS_ENDPOINT_URL`, and `ANTFLY_TOKEN` for a server that asks for authentication."
        ),
    ]


class Condition(Wire):
    """One thing that holds, does not hold or is not known, with the reason."""

    type: Annotated[str, doc("What this condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Maybe[Annotated[str, doc("The cause as one word, for programs.")]] = UNSET
    message: Maybe[Annotated[str, doc("The cause as a sentence, for people.")]] = UNSET
    last_transition_time: Maybe[Annotated[Time, doc("When its status last changed.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET
