"""What several KubeStash kinds share: references, conditions, usage policies, retries, hook results."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, field

from holdfast.schema.fields import Duration, Maybe, Time, Wire, doc
from holdfast.schema.kubernetes import LabelSelector

HookPhase = Literal["Pending", "Succeeded", "Failed"]
RunPhase = Literal["Pending", "Running", "Succeeded", "Failed"]
ReadyPhase = Literal["Ready", "NotReady"]


class Ref(Wire):
    """Names another object."""

    name: Annotated[str, doc("Name of the object.")]
    namespace: Maybe[Annotated[str, doc("Namespace of the object; that of the referring object when absent.")]] = UNSET


class TypedRef(Wire):
    """Names another object of any kind."""

    name: Annotated[str, doc("Name of the object.")]
    api_group: Maybe[Annotated[str, doc("API group of its kind; blank for the core group.")]] = UNSET
    kind: Maybe[Annotated[str, doc("Its kind.")]] = UNSET
    namespace: Maybe[Annotated[str, doc("Namespace of the object; that of the referring object when absent.")]] = UNSET


class Dependency(TypedRef):
    """An object that is needed, and whether it is there."""

    found: Maybe[Annotated[bool, doc("Whether it exists.")]] = UNSET


class Invoker(Wire):
    """The object on whose behalf a session runs."""

    kind: Annotated[str, doc("Kind of the invoker.")]
    name: Annotated[str, doc("Name of the invoker, in the session's own namespace.")]
    api_group: Maybe[Annotated[str, doc("API group of the invoker.")]] = UNSET


class Condition(Wire):
    """One thing that holds, does not hold or is not known, with the reason."""

    type: Annotated[str, doc("What this condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Maybe[Annotated[str, doc("The cause as one word, for programs.")]] = UNSET
    message: Maybe[Annotated[str, doc("The cause as a sentence, for people.")]] = UNSET
    last_transition_time: Maybe[Annotated[Time, doc("When it last changed.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET
    severity: Maybe[Annotated[str, doc("How bad it is when it does not hold.")]] = UNSET


class AllowedNamespaces(Wire):
    """A choice of namespaces."""

    from_: Annotated[
        Literal["All", "Selector", "Same"],
        doc("Every namespace, those that the selector matches, or only the namespace of this object."),
    ] = field(name="from", default="Same")
    selector: Maybe[Annotated[LabelSelector, doc("Labels of the namespaces; required with Selector.")]] = UNSET


class UsagePolicy(Wire):
    """Who may refer to this object."""

    allowed_namespaces: Maybe[Annotated[AllowedNamespaces, doc("Namespaces whose objects may refer to this one.")]] = UNSET


class RetryConfig(Wire):
    """What to do after a failure."""

    max_retry: Annotated[int, doc("Most repetitions after a failure.", ge=1)] = 1
    delay: Maybe[Annotated[Duration, doc("Wait before a repetition; none when absent.")]] = UNSET


class Parameter(Wire):
    """A parameter that a task or hook declares."""

    name: Maybe[Annotated[str, doc("Name under which a value is given.")]] = UNSET
    usage: Maybe[Annotated[str, doc("What the value is for.")]] = UNSET
    required: Annotated[bool, doc("Whether a value must be given.")] = False
    default: Maybe[Annotated[str, doc("Value used when none is given.")]] = UNSET


class HookResult(Wire):
    """How a hook ended."""

    name: Maybe[Annotated[str, doc("Name of the hook.")]] = UNSET
    phase: Maybe[Annotated[HookPhase, doc("Its outcome.")]] = UNSET


class HookResults(Wire):
    """How the hooks of a session ended."""

    pre_hooks: Maybe[Annotated[list[HookResult], doc("Hooks that ran before.")]] = UNSET
    post_hooks: Maybe[Annotated[list[HookResult], doc("Hooks that ran after.")]] = UNSET
