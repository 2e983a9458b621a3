"""What the handlers of all documents share: judging an object, holding its unique name, finding other documents.

Nothing is done for an object outside of an organisation: whoever may write in some namespace must not get at others by a copy.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Child, Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, text
from holdfast.dialects.cloudcasa import validate
from holdfast.dialects.cloudcasa.kinds import (
    API_VERSION,
    IDENT,
    NAMECLAIM,
    NAMESPACE,
    ORGANIZATION_LABEL,
    PENDING_BULK,
    claim_name,
)
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection


class Documents:
    """Finds documents of one organisation through a view; the `Lookup` of validation."""

    def __init__(self, refs: Refs, organization: str) -> None:
        self.refs, self.organization = refs, organization

    def get(self, plural: str, ident: str) -> Object | None:
        """Return the object of a document."""
        return self.refs.get(COLLECTIONS[plural].kind, self.organization, ident) if ident else None

    def spec_of(self, plural: str, ident: str) -> Object | None:
        """Return the user's fields of a document."""
        found = self.get(plural, ident)
        return mapping(found, "spec") if found is not None else None


def documents_of(obj: Object, refs: Refs) -> Documents:
    """Return the documents of an object's organisation."""
    return Documents(refs, namespace_of(obj))


class DocumentHandler:
    """A handler of one collection. A subclass says what follows from a document that is in order."""

    collection: Collection
    finalizer = ""

    def __init__(self, plural: str) -> None:
        self.collection = COLLECTIONS[plural]
        self.kind = self.collection.kind

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge an object as REST judges a document, and that its name is an id and its namespace an organisation."""
        found = list(self._place(obj, refs))
        spec, before = mapping(obj, "spec"), mapping(old, "spec") if old is not None else None
        for problem in validate.problems(self.collection, spec, before, documents_of(obj, refs)):
            found.append(Problem(f"spec.{problem.field}", problem.message, problem.reason))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Hold the unique name, and do what the subclass says once the document is in order."""
        if is_pending(obj):
            return Desired()
        if deleting(obj):
            return self.going(obj, view, now)
        problems = self.validate(obj, None, view)
        if problems is not None:
            return problems
        desired = self.wanted(obj, view, now)
        claim = self._claim(obj, view)
        if claim is None or isinstance(desired, Problems):
            return desired
        return msgspec.structs.replace(desired, children=(claim, *desired.children))

    def wanted(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what shall be because of a document that is in order."""
        return Desired()

    def going(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what shall be while an object is being deleted."""
        return Desired(release=True)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        if is_pending(obj) or deleting(obj):
            return mapping(obj, "status")
        return self.status(obj, view, outcome, now)

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status of an object that exists and stays."""
        return mapping(obj, "status")

    def _place(self, obj: Object, refs: Refs) -> list[Problem]:
        found: list[Problem] = []
        if not IDENT.fullmatch(name_of(obj)):
            found.append(Problem("metadata.name", f"{name_of(obj)!r} is no _id: use 24 hex digits (openssl rand -hex 12)"))
        namespace = refs.get(NAMESPACE, "", namespace_of(obj))
        if namespace is None or text(namespace, "metadata", "labels", ORGANIZATION_LABEL) != "true":
            hint = f"label it {ORGANIZATION_LABEL}=true if it is to be one"
            found.append(Problem("metadata.namespace", f"{namespace_of(obj)} is no organisation: {hint}"))
        if self.collection.unique:
            name = text(obj, "spec", "name")
            held = refs.get(NAMECLAIM, namespace_of(obj), claim_name(self.collection.plural, name))
            if held is not None and text(held, "spec", "holder") != name_of(obj):
                found.append(Problem("spec.name", f"{name!r} is taken by {text(held, 'spec', 'holder')}: choose another name"))
        return found

    def _claim(self, obj: Object, view: View) -> Child | None:
        """Return the claim of a name that kubectl brought, so that REST finds it taken."""
        if not self.collection.unique:
            return None
        name = text(obj, "spec", "name")
        meta: Object = {"name": claim_name(self.collection.plural, name), "namespace": namespace_of(obj)}
        spec: Object = {"resource": self.collection.plural, "name": name, "holder": name_of(obj)}
        claim: Object = {"apiVersion": API_VERSION, "kind": NAMECLAIM.kind, "metadata": meta, "spec": spec}
        return Child(claim, create_only=True)


def is_pending(obj: Object) -> bool:
    """Whether an object is part of a bulk request that may not have been committed."""
    return bool(text(obj, "metadata", "labels", PENDING_BULK))
