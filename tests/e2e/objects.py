"""Server-side apply as kubectl and Argo CD do it, with what the server says of an object.

It asks the server for the path of a kind, so it knows kinds that were defined a moment ago.
"""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Manifest = dict[str, Any]
_MANAGER = "onchain-agg-e2e"
_JSON = {200: "object", 201: "object"}
_PAUSE_S = 0.1


class RefusedError(Exception):
    """The server refused an object; `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Applied:
    """An object as the server has it, and the warnings that it gave."""

    manifest: Manifest
    warnings: str


class Objects:
    """Applies objects with the rights of one client."""

    def __init__(self, client: "ApiClient") -> None:
        self._client = client
        self._resources: dict[tuple[str, str], Manifest] = {}

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Applied:
        """Apply *manifest*; a field that the kind does not have is refused.

        Raises:
            RefusedError: The server refused it.
        """
        query = [("fieldManager", _MANAGER), ("fieldValidation", "Strict")]
        if dry_run:
            query.append(("dryRun", "All"))
        return self._request(
            "PATCH", self._path(manifest), manifest, query, "application/apply-patch+yaml"
        )

    def refusal(self, manifest: Manifest) -> str:
        """Return why the server would refuse *manifest*, or nothing."""
        try:
            self.apply(manifest, dry_run=True)
        except RefusedError as error:
            return str(error)
        return ""

    def wait_for_kind(self, api_version: str, kind: str, timeout_s: float = 30) -> None:
        """Return once the server knows *kind*."""
        deadline = time.monotonic() + timeout_s
        while (api_version, kind) not in self._resources:
            assert time.monotonic() < deadline, f"the server does not know {api_version} {kind}"
            self._ask_for_kinds(api_version)
            time.sleep(_PAUSE_S)

    def _path(self, manifest: Manifest) -> str:
        version, kind = manifest["apiVersion"], manifest["kind"]
        if (version, kind) not in self._resources:
            self._ask_for_kinds(version)
        resource = self._resources.get((version, kind))
        if resource is None:
            raise RefusedError(404, f"no kind {kind} in {version}")
        meta = manifest["metadata"]
        place = f"namespaces/{meta['namespace']}/" if resource["namespaced"] else ""
        return f"{_root(version)}/{place}{resource['name']}/{meta['name']}"

    def _ask_for_kinds(self, api_version: str) -> None:
        try:
            listed = self._request("GET", _root(api_version), None, [], "application/json")
        except RefusedError as error:
            if error.status != 404:
                raise
            return
        for one in listed.manifest["resources"]:
            if "/" not in one["name"]:
                self._resources[api_version, one["kind"]] = one

    def _request(
        self, method: str, path: str, body: Any, query: list[tuple[str, str]], content: str
    ) -> Applied:
        from kubernetes.client import ApiException

        try:
            made, _, headers = self._client.call_api(
                path,
                method,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                response_types_map=_JSON,
            )
        except ApiException as error:
            raise RefusedError(error.status, _message(error.body)) from error
        return Applied(made, _unquoted(headers.get("Warning", "")))


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _unquoted(warnings: str) -> str:
    """Return what a header of warnings says, with its quotation marks as they were meant."""
    return warnings.replace('\\"', '"')


def _message(body: str | None) -> str:
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, KeyError):
        return body or "no answer"
