"""Kubernetes' own types as fields of ours: opaque objects that are preserved, with their name for the reference pages.

They are not spelled out: a real API server checks them when the pod is made, they change with its release, and a CRD
that expands them is larger than all the rest together.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

Affinity: TypeAlias = Annotated[dict[str, Any], Meta(title="Affinity")]
Container: TypeAlias = Annotated[dict[str, Any], Meta(title="Container")]
ContainerPort: TypeAlias = Annotated[dict[str, Any], Meta(title="ContainerPort")]
EnvFromSource: TypeAlias = Annotated[dict[str, Any], Meta(title="EnvFromSource")]
EnvVar: TypeAlias = Annotated[dict[str, Any], Meta(title="EnvVar")]
ExecAction: TypeAlias = Annotated[dict[str, Any], Meta(title="ExecAction")]
HTTPGetAction: TypeAlias = Annotated[dict[str, Any], Meta(title="HTTPGetAction")]
HTTPHeader: TypeAlias = Annotated[dict[str, Any], Meta(title="HTTPHeader")]
JSONSchemaProps: TypeAlias = Annotated[dict[str, Any], Meta(title="JSONSchemaProps")]
LabelSelector: TypeAlias = Annotated[dict[str, Any], Meta(title="LabelSelector")]
LabelSelectorRequirement: TypeAlias = Annotated[dict[str, Any], Meta(title="LabelSelectorRequirement")]
Lifecycle: TypeAlias = Annotated[dict[str, Any], Meta(title="Lifecycle")]
LocalObjectReference: TypeAlias = Annotated[dict[str, Any], Meta(title="LocalObjectReference")]
ObjectMeta: TypeAlias = Annotated[dict[str, Any], Meta(title="ObjectMeta")]
ObjectReference: TypeAlias = Annotated[dict[str, Any], Meta(title="ObjectReference")]
OwnerReference: TypeAlias = Annotated[dict[str, Any], Meta(title="OwnerReference")]
PersistentVolumeClaim: TypeAlias = Annotated[dict[str, Any], Meta(title="PersistentVolumeClaim")]
PersistentVolumeClaimSpec: TypeAlias = Annotated[dict[str, Any], Meta(title="PersistentVolumeClaimSpec")]
PodDNSConfig: TypeAlias = Annotated[dict[str, Any], Meta(title="PodDNSConfig")]
PodReadinessGate: TypeAlias = Annotated[dict[str, Any], Meta(title="PodReadinessGate")]
PodSecurityContext: TypeAlias = Annotated[dict[str, Any], Meta(title="PodSecurityContext")]
Probe: TypeAlias = Annotated[dict[str, Any], Meta(title="Probe")]
ResourceRequirements: TypeAlias = Annotated[dict[str, Any], Meta(title="ResourceRequirements")]
SecurityContext: TypeAlias = Annotated[dict[str, Any], Meta(title="SecurityContext")]
TCPSocketAction: TypeAlias = Annotated[dict[str, Any], Meta(title="TCPSocketAction")]
Toleration: TypeAlias = Annotated[dict[str, Any], Meta(title="Toleration")]
TopologySpreadConstraint: TypeAlias = Annotated[dict[str, Any], Meta(title="TopologySpreadConstraint")]
TypedLocalObjectReference: TypeAlias = Annotated[dict[str, Any], Meta(title="TypedLocalObjectReference")]
Volume: TypeAlias = Annotated[dict[str, Any], Meta(title="Volume")]
VolumeDevice: TypeAlias = Annotated[dict[str, Any], Meta(title="VolumeDevice")]
VolumeMount: TypeAlias = Annotated[dict[str, Any], Meta(title="VolumeMount")]

_NUMBER: Final = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"

Quantity: TypeAlias = Annotated[
    int | str,
    Meta(
        title="Quantity",
        extra_json_schema={"pattern": rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_NUMBER}))?$"},
    ),
]
"""An amount with an optional suffix, such as `20Gi`."""
