"""What no manifest may say. Each rule returns a sentence for each fault, and none knows a file."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.manifests.rendered import Manifest, PodOf, of_kind, pods, texts

# A user and a password before the host of a URL; not where a secret's template puts them in.
_CREDENTIAL_IN_URL = re.compile(r"\w://[^/\s:@{}\"']*:[^/\s@{}\"']+@")
_SECRET_NAME = re.compile(
    r"(?i)(passw(or)?d|secret|token|private_?key|fernet|api_?key|basic_auth)(?!s?_?file)"
)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NO_LOGIN = "none"

Rule = Callable[[list[Manifest]], list[str]]


def _name(one: Manifest) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def no_credentials(manifests: list[Manifest]) -> list[str]:
    """Return the places that hold a credential: in a URL, a ConfigMap, a variable, an argument."""
    faults = []
    for one in manifests:
        faults += [
            f"{_name(one)}: {place} holds a user and a password in a URL."
            for place, text in texts(one)
            if _CREDENTIAL_IN_URL.search(text)
        ]
        if one["kind"] == "ConfigMap":
            faults += [
                f"{_name(one)}: {key} is a secret in a ConfigMap."
                for key, text in one.get("data", {}).items()
                if _SECRET_NAME.search(key) and text
            ]
    return faults + [fault for pod in pods(manifests) for fault in _told_in(pod)]


def _told_in(pod: PodOf) -> Iterator[str]:
    for container in pod.containers:
        for variable in container.get("env", []):
            if _SECRET_NAME.search(variable["name"]) and variable.get("value"):
                yield f"{pod.kind} {pod.name}: variable {variable['name']} holds a secret."
        for argument in [*container.get("command", []), *container.get("args", [])]:
            if re.match(r"--?[\w-]*(passw(or)?d|token|basic[-_]auth)=", argument):
                yield f"{pod.kind} {pod.name}: argument {argument.split('=')[0]} holds a secret."
            # Of shell commands: what prints a variable of that name prints it to the log.
            for word in re.findall(r"echo[^;&|\n]*\$\{?(\w+)", argument):
                if _SECRET_NAME.search(word):
                    yield f"{pod.kind} {pod.name}: it prints {word} to its log."


def secrets_from_the_store(manifests: list[Manifest]) -> list[str]:
    """Return the Secrets that stand in the manifests instead of in the store."""
    return [
        f"{_name(one)}: write an ExternalSecret, and the value into the store."
        for one in of_kind(manifests, "Secret")
    ]


def images_are_pinned(manifests: list[Manifest]) -> list[str]:
    """Return the images that are not named by digest."""
    return [
        f"{pod.kind} {pod.name}: image {container['image']} has no digest."
        for pod in pods(manifests)
        for container in pod.containers
        if not _DIGEST.search(container["image"])
    ]


def nothing_is_public(manifests: list[Manifest]) -> list[str]:
    """Return what the internet reaches without a login of its own or of the load balancer's."""
    faults = [
        f"{_name(one)}: type {one['spec']['type']} opens a port of its own. Use an Ingress."
        for one in of_kind(manifests, "Service")
        if one["spec"].get("type") in {"LoadBalancer", "NodePort"}
    ]
    for ingress in of_kind(manifests, "Ingress"):
        login = (
            ingress["metadata"]
            .get("annotations", {})
            .get("alb.ingress.kubernetes.io/auth-type", _NO_LOGIN)
        )
        for backend in _backends(ingress):
            if ("flower" in backend or "grafana" in backend) and login == _NO_LOGIN:
                faults.append(f"{_name(ingress)}: {backend} is public. Set auth-type: oidc.")
            if "execution-api" in backend:
                faults.append(f"{_name(ingress)}: {backend} is for tasks alone. Remove the path.")
    return faults


def _backends(ingress: Manifest) -> list[str]:
    return [
        path["backend"]["service"]["name"]
        for rule in ingress["spec"].get("rules", [])
        for path in rule["http"]["paths"]
    ]


def pods_are_restricted(manifests: list[Manifest]) -> list[str]:
    """Return what the Pod Security Standard `restricted` refuses, and a writable root besides."""
    return [
        f"{pod.kind} {pod.name}: {fault}" for pod in pods(manifests) for fault in _unrestricted(pod)
    ]


def _unrestricted(pod: PodOf) -> Iterator[str]:
    whole = pod.spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield f"{field} is set."
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a path of the node's."
    for container in pod.containers:
        own = {**whole, **container.get("securityContext", {})}
        checks = {
            "may gain rights": own.get("allowPrivilegeEscalation") is False,
            "may run as root": own.get("runAsNonRoot") is True and own.get("runAsUser") != 0,
            "has no seccomp profile": own.get("seccompProfile", {}).get("type")
            in {"RuntimeDefault", "Localhost"},
            "keeps capabilities": own.get("capabilities", {}).get("drop") == ["ALL"]
            and set(own["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"},
            "may write its root": own.get("readOnlyRootFilesystem") is True,
            "is privileged": not own.get("privileged", False),
        }
        yield from (
            f"container {container['name']} {what}." for what, ok in checks.items() if not ok
        )


def pods_say_what_they_need(manifests: list[Manifest]) -> list[str]:
    """Return the containers without requests, a limit of memory or, where they serve, a probe."""
    faults = []
    for pod in pods(manifests):
        for container in pod.containers:
            asked = container.get("resources", {})
            if {"cpu", "memory"} - asked.get("requests", {}).keys():
                faults.append(f"{pod.kind} {pod.name}: {container['name']} asks for nothing.")
            if "memory" not in asked.get("limits", {}):
                faults.append(f"{pod.kind} {pod.name}: {container['name']} may take all memory.")
        if pod.kind in {"Deployment", "StatefulSet"}:
            faults += [
                f"{pod.kind} {pod.name}: {container['name']} has no liveness probe."
                for container in pod.running
                if "livenessProbe" not in container
            ]
    return faults


def roles_are_small(manifests: list[Manifest]) -> list[str]:
    """Return the rights that nothing here needs: wildcards, secrets, rights in every namespace."""
    faults = [
        f"{_name(one)}: it holds in every namespace."
        for one in of_kind(manifests, "ClusterRole", "ClusterRoleBinding")
    ]
    for role in of_kind(manifests, "Role", "ClusterRole"):
        for rule in role["rules"]:
            given = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            if "*" in given:
                faults.append(f"{_name(role)}: a wildcard in {json.dumps(rule)}.")
            if _is_one_secret(rule):
                continue
            if given & {"secrets", "pods/exec", "escalate", "bind", "impersonate"}:
                faults.append(f"{_name(role)}: {json.dumps(rule)} gives more than its own rights.")
    return faults


def _is_one_secret(rule: dict[str, Any]) -> bool:
    """Return whether *rule* lets someone read secrets that it names, and nothing else."""
    return (
        rule["resources"] == ["secrets"]
        and bool(rule.get("resourceNames"))
        and set(rule["verbs"]) <= {"get", "list", "watch"}
    )


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_credentials,
        secrets_from_the_store,
        images_are_pinned,
        nothing_is_public,
        pods_are_restricted,
        pods_say_what_they_need,
        roles_are_small,
    )
}
