"""ConfigMaps, Secrets and fields of the pod: what its variables and volumes are made of."""

import base64
from typing import Any

from tests.e2e.node_api import Api, ApiError

_KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}


class NotYetError(Exception):
    """A container or volume needs what is not there; a kubelet waits until it is."""


class Objects:
    """Reads what a pod refers to, in its namespace."""

    def __init__(self, api: Api, pod: dict[str, Any], host_ip: str) -> None:
        self._api = api
        self._pod = pod
        self._host_ip = host_ip

    async def data(self, kind: str, name: str, *, optional: bool) -> dict[str, bytes] | None:
        """Return what the `configmaps` or `secrets` object *name* holds; None if it may lack.

        Raises:
            NotYetError: It is not there and not optional.
        """
        try:
            found = await self._api.get(f"{self._namespace()}/{kind}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            if optional:
                return None
            raise NotYetError(f'{_KINDS[kind].lower()} "{name}" not found') from error
        binary = found.get("data" if kind == "secrets" else "binaryData") or {}
        text = found.get("data") or {} if kind == "configmaps" else {}
        return {key: value.encode() for key, value in text.items()} | {
            key: base64.b64decode(value) for key, value in binary.items()
        }

    async def value(self, kind: str, reference: dict[str, Any]) -> str | None:
        """Return the value that a *KeyRef names; None where it is optional and lacks."""
        name, key = reference["name"], reference["key"]
        optional = reference.get("optional", False)
        data = await self.data(kind, name, optional=optional)
        if data is not None and key in data:
            return data[key].decode()
        if optional:
            return None
        place = f"{self._pod['metadata']['namespace']}/{name}"
        raise NotYetError(f"couldn't find key {key} in {_KINDS[kind]} {place}")

    async def check_claim(self, name: str) -> None:
        """Return if there is a persistent volume claim *name*.

        Raises:
            NotYetError: There is none. One that no volume is bound to will do.
        """
        try:
            await self._api.get(f"{self._namespace()}/persistentvolumeclaims/{name}")
        except ApiError as error:
            if error.status == 404:
                raise NotYetError(f'persistentvolumeclaim "{name}" not found') from error
            raise

    async def token(self, audience: str | None, seconds: int) -> bytes:
        """Return a new token of the pod's service account, bound to the pod."""
        account = self._pod["spec"].get("serviceAccountName", "default")
        meta = self._pod["metadata"]
        answer = await self._api.post(
            f"{self._namespace()}/serviceaccounts/{account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": [audience] if audience else [],
                    "expirationSeconds": seconds,
                    "boundObjectRef": {
                        "apiVersion": "v1", "kind": "Pod",
                        "name": meta["name"], "uid": meta["uid"],
                    },
                },
            },
        )  # fmt: skip
        return str(answer["status"]["token"]).encode()

    def field(self, path: str) -> str:
        """Return the field of the pod that a fieldRef names.

        Raises:
            NotYetError: The node does not know the field.
        """
        meta, spec = self._pod["metadata"], self._pod["spec"]
        known = {
            "metadata.name": meta["name"],
            "metadata.namespace": meta["namespace"],
            "metadata.uid": meta["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.hostIP": self._host_ip,
            # Pods share the machine's network.
            "status.podIP": self._host_ip,
        }
        if path in known:
            return str(known[path])
        for group in ("labels", "annotations"):
            if path.startswith(f"metadata.{group}['"):
                return str(meta.get(group, {}).get(path.split("'")[1], ""))
            if path == f"metadata.{group}":
                entries = sorted(meta.get(group, {}).items())
                return "\n".join(f'{key}="{value}"' for key, value in entries)
        raise NotYetError(f"unsupported fieldPath: {path}")

    def _namespace(self) -> str:
        return f"/api/v1/namespaces/{self._pod['metadata']['namespace']}"
