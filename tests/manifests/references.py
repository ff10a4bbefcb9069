"""What a manifest names and another one has to be: ConfigMaps, Secrets, claims, accounts, ports."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.manifests.rendered import Manifest, PodOf, of_kind, pods

# Made by controllers, or by the cluster itself.
_GIVEN = {("ServiceAccount", "default")}


def unmet(manifests: list[Manifest], others: list[Manifest] = ()) -> list[str]:  # type: ignore[assignment]
    """Return a sentence for each name that nothing has; *others* are there, but not judged."""
    there = _there([*manifests, *others])
    wanted = {
        (pod.kind, pod.name): set(_named_by(pod)) | {_account(pod)} for pod in pods(manifests)
    }
    wanted |= {
        (one["kind"], one["metadata"]["name"]): set(_OTHERS[one["kind"]](one))
        for one in manifests
        if one["kind"] in _OTHERS
    }
    return [
        f"{kind} {name} names {missing[0]} {missing[1]}, which there is not."
        for (kind, name), names in wanted.items()
        for missing in sorted(names - there - _GIVEN)
    ]


def unselected(manifests: list[Manifest]) -> list[str]:
    """Return the Services, budgets and policies that select no pod, or a port that none opens."""
    made = [pod for pod in pods(manifests) if pod.kind != "Job"]
    faults = []
    for one in of_kind(manifests, "Service"):
        if "selector" not in one["spec"]:
            continue
        found = [pod for pod in made if _matches(one["spec"]["selector"], pod)]
        open_ports = {
            port["name"] for pod in found for c in pod.running for port in c.get("ports", [])
        }
        faults += [
            f"Service {one['metadata']['name']}: no pod of its opens {port['targetPort']}."
            for port in one["spec"]["ports"]
            if port["targetPort"] not in open_ports
        ]
    for one in of_kind(manifests, "PodDisruptionBudget", "Deployment", "StatefulSet"):
        labels = one["spec"]["selector"]["matchLabels"]
        if not any(_matches(labels, pod) for pod in made):
            faults.append(f"{one['kind']} {one['metadata']['name']}: it selects no pod.")
    return faults


def _matches(labels: dict[str, str], pod: PodOf) -> bool:
    return labels.items() <= pod.labels.items()


def _there(manifests: list[Manifest]) -> set[tuple[str, str]]:
    named = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    made = {
        ("Secret", one["spec"]["target"]["name"]) for one in of_kind(manifests, "ExternalSecret")
    }
    return named | made


def _account(pod: PodOf) -> tuple[str, str]:
    return ("ServiceAccount", pod.spec.get("serviceAccountName", "default"))


def _named_by(pod: PodOf) -> Iterator[tuple[str, str]]:
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            yield ("ConfigMap", volume["configMap"]["name"])
        if "secret" in volume:
            yield ("Secret", volume["secret"]["secretName"])
        if "persistentVolumeClaim" in volume:
            yield ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    for container in pod.containers:
        for source in container.get("envFrom", []):
            yield from _of_source(source)
        for variable in container.get("env", []):
            yield from _of_source(variable.get("valueFrom", {}))


def _of_source(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        for form in (f"{field}Ref", f"{field}KeyRef"):
            if form in source:
                yield (kind, source[form]["name"])


def _of_scaler(one: Manifest) -> Iterator[tuple[str, str]]:
    yield ("Deployment", one["spec"]["scaleTargetRef"]["name"])
    for trigger in one["spec"]["triggers"]:
        yield ("TriggerAuthentication", trigger["authenticationRef"]["name"])


def _of_authentication(one: Manifest) -> Iterator[tuple[str, str]]:
    yield from (("Secret", target["name"]) for target in one["spec"]["secretTargetRef"])


def _of_binding(one: Manifest) -> Iterator[tuple[str, str]]:
    yield (one["roleRef"]["kind"], one["roleRef"]["name"])
    own = one["metadata"].get("namespace")
    # Accounts of other namespaces are those of controllers, whose charts make them.
    yield from (
        (subject["kind"], subject["name"])
        for subject in one["subjects"]
        if subject.get("namespace", own) == own
    )


def _of_ingress(one: Manifest) -> Iterator[tuple[str, str]]:
    for rule in one["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            if service["port"].get("name") != "use-annotation":
                yield ("Service", service["name"])


_OTHERS: dict[str, Callable[[Manifest], Iterator[tuple[str, str]]]] = {
    "ScaledObject": _of_scaler,
    "TriggerAuthentication": _of_authentication,
    "RoleBinding": _of_binding,
    "Ingress": _of_ingress,
}
