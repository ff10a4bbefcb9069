"""What of a Kubernetes API server the KubernetesExecutor calls: it keeps the pods it is given."""

import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PODS = {
    "name": "pods",
    "singularName": "pod",
    "namespaced": True,
    "kind": "Pod",
    "verbs": ["create", "delete", "get", "list", "patch", "watch"],
}
_DISCOVERY: Mapping[str, Any] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_PODS]},
}


@dataclass
class KubernetesApi:
    """A running server and what it was sent.

    Attributes:
        kubeconfig: File by which a client finds the server.
        pods: Bodies of the pods to create, as they came.
    """

    kubeconfig: Path
    pods: list[dict[str, Any]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def created(self) -> list[dict[str, Any]]:
        """Return the pods as the server shows them."""
        return [
            {
                **pod,
                "metadata": {**pod["metadata"], "resourceVersion": str(number)},
                "status": {"phase": "Pending"},
            }
            for number, pod in enumerate(self.pods, start=1)
        ]

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            self.pods.append(pod)
            self._changed.notify_all()
            return self.created()[-1]

    def appearing(self) -> Iterator[dict[str, Any]]:
        """Yield every pod, as it is created, until the server closes."""
        for number in itertools.count():
            with self._changed:
                while not self._closed and len(self.pods) <= number:
                    self._changed.wait()
                if self._closed:
                    return
                pod = self.created()[number]
            yield pod

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[KubernetesApi]:
    """Run a server on a free port of loopback, with its kubeconfig in *folder*."""
    api = KubernetesApi(folder / "kubeconfig.json")
    server = _Server(api)
    url = f"http://127.0.0.1:{server.server_port}"
    api.kubeconfig.write_text(json.dumps(_kubeconfig(url)), encoding="utf-8")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        api.close()
        server.shutdown()
        server.server_close()
        thread.join()


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stub", "cluster": {"server": url}}],
        "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
        "current-context": "stub",
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: KubernetesApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0, the default, ends an answer by closing the connection, as a watch needs.
    server: _Server

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path in _DISCOVERY:
            self._answer(200, _DISCOVERY[url.path])
        elif not url.path.endswith("/pods"):
            self._answer(404, {"kind": "Status", "code": 404, "message": f"no {url.path}"})
        elif "watch" in parse_qs(url.query):
            self._watch()
        else:
            items = self.server.api.created()
            self._answer(200, {"kind": "PodList", "apiVersion": "v1", "items": items})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, self.server.api.create(json.loads(body)))

    def _watch(self):
        self._begin(200)
        # A scheduler that ends hangs up in the midst of it.
        with suppress(ConnectionError):
            for pod in self.server.api.appearing():
                self.wfile.write(json.dumps({"type": "ADDED", "object": pod}).encode() + b"\n")
                self.wfile.flush()

    def _answer(self, status: int, body: Any):
        self._begin(status)
        self.wfile.write(json.dumps(body).encode())

    def _begin(self, status: int):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a test shows what went wrong."""
