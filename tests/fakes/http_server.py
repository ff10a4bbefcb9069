"""A loopback HTTP server that answers as a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Status and body of the answer to a path and the body that came with it.
Answer = Callable[[str, bytes], tuple[int, bytes]]


@dataclass
class Served:
    """A running server: its address (``127.0.0.1:port``) and what it was asked."""

    address: str
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the server's URL, without a slash at its end."""
        return f"http://{self.address}"


@contextmanager
def serving(answer: Answer) -> Iterator[Served]:
    """Serve *answer* on a free port while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            served.paths.append(self.path)
            served.headers.append(dict(self.headers.items()))
            status, text = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served = Served(f"127.0.0.1:{http.server_port}")
        # Asked often whether to stop, so that stopping costs no half second a test.
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()


def json_rpc(**results: Any) -> Answer:
    """Return the answers of a JSON-RPC node that knows the methods in *results*."""

    def answer(_path: str, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        said: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"] in results:
            said["result"] = results[asked["method"]]
        else:
            said["error"] = {"code": -32601, "message": f"Method {asked['method']} not found"}
        return 200, json.dumps(said).encode()

    return answer
