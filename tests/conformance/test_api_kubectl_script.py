"""A day's work with kubectl: each line is a command and a pattern that its output must hold; `!` in front means it must fail.

Nothing runs here, only the API server: pods stay Pending, Jobs are never done.
"""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from tests import tools
from tests.api_samples import WIDGET_CRD, cronjob, pod, statefulset, widget
from tests.embedded_fixture import Kubectl, api_server, kubectl  # noqa: F401

from holdfast.embedded.apiserver.pki import ensure_server_certificate

pytestmark = pytest.mark.api

ACCOUNT = "--as=system:serviceaccount:demo:ci"

LOOKING_AROUND = r"""
version                                           => Server Version: v1\.
cluster-info                                      => running at
api-versions                                      => authentication\.k8s\.io/v1[\s\S]*rbac\.authorization\.k8s\.io/v1
api-resources                                     => configmaps +cm +v1 +true +ConfigMap
api-resources --namespaced=false -o name          => clusterroles\.rbac\.authorization\.k8s\.io
api-resources --verbs=create --api-group=authorization.k8s.io => selfsubjectaccessreviews
get --raw /healthz                                => ok
get --raw /apis/apps/v1                           => statefulsets/scale
get namespaces                                    => kube-system +Active
explain statefulset.spec.volumeClaimTemplates     => FIELD: volumeClaimTemplates
explain pod.spec.containers.resources --recursive => limits
auth whoami                                       => kubernetes-admin
auth can-i create pods                            => yes
config view                                       => holdfast
"""

CREATING = r"""
create namespace demo                                                   => namespace/demo created
config set-context --current --namespace=demo                           => modified
! create namespace demo                                                 => AlreadyExists
create namespace dry --dry-run=server -o name                           => namespace/dry
! get namespace dry                                                     => not found
create configmap plain --from-literal=a=1 --from-literal=b=2            => created
create secret generic hidden --from-literal=password=x                  => created
create secret docker-registry pull --docker-server=r --docker-username=u --docker-password=p => created
create secret tls pair --cert={cert} --key={key}                        => created
create serviceaccount ci                                                => created
create token ci --duration=20m                                          => ^[\w-]+\.[\w-]+\.[\w-]+
create role reader --verb=get,list --resource=pods,configmaps           => created
create rolebinding reader --role=reader --serviceaccount=demo:ci        => created
create clusterrole nodes --verb=get --resource=nodes                    => created
create clusterrolebinding nodes --clusterrole=nodes --group=ops         => created
create job once --image=busybox -- true                                 => created
create cronjob hourly --image=busybox --schedule="0 * * * *" -- true    => created
create job from-cron --from=cronjob/hourly                              => created
create service clusterip web --tcp=80:8080                              => created
create quota most --hard=pods=10                                        => created
create poddisruptionbudget calm --selector=app=web --min-available=1    => created
create priorityclass urgent --value=1000                                => created
run lone --image=busybox --restart=Never --labels=app=lone              => pod/lone created
apply -f {crd}                                                          => created
wait --for=condition=Established crd/widgets.example.dev --timeout=5s   => condition met
apply -f {objects}                                                      => widget\.example\.dev/a created
apply -f {objects}                                                      => widget\.example\.dev/a unchanged
diff -f {objects}                                                       => ^$
! diff -f {changed}                                                     => size: 5
! apply -f {wrong}                                                      => unknown field "spec\.colour"
"""

READING = r"""
get all                                                        => pod/lone[\s\S]*statefulset\.apps/web[\s\S]*widget\.
get pods -o wide                                               => NOMINATED NODE
get pods --show-labels                                         => app=lone
get pods -l app=lone -o name                                   => ^pod/lone$
get pods -l "app in (lone),!missing" -o name                   => ^pod/lone$
get pods --field-selector=status.phase=Pending -o name         => pod/lone
get pods -A --sort-by=.metadata.name                           => demo +lone
get configmap plain -o jsonpath={{.data.a}}                    => ^1$
get configmap plain -o yaml                                    => uid:
get configmap plain -o yaml --show-managed-fields              => manager: kubectl-create
get widgets a -o custom-columns=NAME:.metadata.name,SIZE:.spec.size => a +3
get wd                                                         => NAME +SIZE +PHASE +AGE
get widgets.v1.example.dev a -o json                           => "size": 3
get secret hidden -o go-template="{{{{.data.password}}}}"      => ^eA==$
get cronjob                                                    => hourly +0 \* \* \* \*
get jobs --chunk-size=1                                        => from-cron[\s\S]*once
get events                                                     => LAST SEEN|No resources found
get quota,pdb,sa,svc -o name                                   => resourcequota/most[\s\S]*service/web
! get pods nothing                                             => pods "nothing" not found
! get things                                                   => the server doesn't have a resource type "things"
describe pod lone                                              => Status: +Pending
describe role reader                                           => configmaps
describe sts web                                               => Pods Status
describe widget a                                              => Size: +3
! logs lone                                                    => has no node yet|waiting to start
"""

CHANGING = r"""
label pod lone tier=back                                                    => labeled
label pod lone tier-                                                        => unlabeled
! label pod lone app=other                                                  => --overwrite
annotate configmap plain note=hello                                         => annotated
patch configmap plain -p "data: {{c: '3'}}"                                 => patched
patch configmap plain --type=json -p '[{{"op":"remove","path":"/data/c"}}]' => patched
! patch configmap plain --type=json -p '[{{"op":"test","path":"/data/a","value":"9"}}]' => testing the value failed
patch widget a --type=merge -p '{{"spec":{{"size":4}}}}'                      => patched
patch widget a --subresource=status --type=merge -p '{{"status":{{"phase":"Good"}}}}' => patched
get widget a -o jsonpath={{.spec.size}}-{{.status.phase}}                   => ^4-Good$
wait widget/a --for=jsonpath={{.status.phase}}=Good --timeout=5s            => condition met
scale sts web --replicas=3                                                  => scaled
scale widget a --replicas=5                                                 => scaled
set image sts/web main=other                                                => image updated
set env sts/web KEY=value                                                   => env updated
set resources sts/web --limits=memory=64Mi                                  => resource requirements updated
set serviceaccount sts web ci                                               => serviceaccount updated
rollout history sts/web                                                     => No rollout history found
apply --server-side --field-manager=one -f {map}                            => serverside-applied
! apply --server-side --field-manager=two -f {othermap}                     => conflict with "one" using v1: \.data\.k
apply --server-side --field-manager=two --force-conflicts -f {othermap}     => serverside-applied
replace -f {othermap}                                                       => replaced
auth reconcile -f {role}                                                    => reconciled
auth can-i list pods {account}                                              => yes
! auth can-i delete pods {account}                                          => no
auth can-i --list {account}                                                 => configmaps
! delete pod lone {account}                                                 => cannot delete resource "pods"
get configmaps -o name {account}                                            => configmap/plain
"""

DELETING = r"""
delete pod lone --wait=false                            => pod "lone" deleted
wait --for=delete pod/lone --timeout=5s                 => ^$
delete configmap -l none=such                           => No resources found
delete widgets --all                                    => widget\.example\.dev "a" deleted
delete job once --cascade=orphan                        => deleted
delete -f {crd}                                         => deleted
delete --ignore-not-found pod nothing                   => ^$
! delete namespace default                              => may not be deleted
config set-context --current --namespace=default        => modified
delete namespace demo --timeout=20s                     => namespace "demo" deleted
! get configmaps -n demo plain                          => not found
"""


def _write(folder: Path, name: str, *objects: object) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def _map(value: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "demo"}, "data": {"k": value}}


def files(folder: Path, pki: Path) -> dict[str, str]:
    meta = {"name": "reader", "namespace": "demo"}
    rule = {"verbs": ["watch"], "apiGroups": [""], "resources": ["pods"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": [rule]}
    return {
        "crd": _write(folder, "crd", WIDGET_CRD),
        "objects": _write(folder, "objects", widget("a", size=3), statefulset("web"), cronjob("nightly"), pod("two")),
        "changed": _write(folder, "changed", widget("a", size=5)),
        "wrong": _write(folder, "wrong", widget("b", size=5, colour="red")),
        "map": _write(folder, "map", _map("1")),
        "othermap": _write(folder, "othermap", _map("2")),
        "role": _write(folder, "role", role),
        "cert": str(pki / "server.crt"),
        "key": str(pki / "server.key"),
        "account": ACCOUNT,
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("release", ["trixie", "sid"])
async def test_a_days_work_with_kubectl(kubectl: Kubectl, tmp_path: Path, release: str):  # noqa: F811
    kubectl.program = tools.kubectls()[release]
    ensure_server_certificate(tmp_path / "pki", ("127.0.0.1",))
    known = files(tmp_path, tmp_path / "pki")
    script = LOOKING_AROUND + CREATING + READING + CHANGING + DELETING
    lines = [line.partition(" => ") for line in script.splitlines() if line.strip()]
    assert len(lines) >= 100
    for command, _, pattern in lines:
        must_fail = command.startswith("! ")
        ran = await kubectl.run(*shlex.split(command.removeprefix("! ").format(**known)))
        assert bool(ran.code) is must_fail, f"kubectl {command}: {ran.err}{ran.out}"
        assert re.search(pattern.strip(), (ran.out + ran.err).strip()), f"kubectl {command}: {ran.out}{ran.err}"
