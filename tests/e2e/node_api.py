"""The Kubernetes API as the node uses it: JSON in and out, and lists that follow what changes.

The generated clients turn every answer into objects of some hundred classes; a node that hands most
of a pod on as it is has no use for them.
"""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

_AGAIN_S = 0.2
# The server ends a watch after this time; a connection that died unnoticed lasts no longer.
_WATCH_S = 120
_CALL_S = 20.0
# A line of a watch is one object: a pod with its managed fields is far beyond aiohttp's 64 KiB.
_LINE_BYTES = 1 << 24

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json"
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


class ApiError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Return whether the same call may work later: the server starts, or is overloaded."""
        return self.status == 429 or self.status >= 500


class Api:
    """Calls of one API server with one user's rights."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self.server = server

    async def get(self, path: str) -> Any:
        """Return the object at *path*."""
        return await self.call("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Create *body* at *path* and return what the server made of it."""
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: dict[str, Any], kind: str = MERGE) -> Any:
        """Change the object at *path* and return it."""
        return await self.call("PATCH", path, body, kind)

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, kind: str = JSON
    ) -> Any:
        """Return the answer to a call.

        Raises:
            ApiError: The server refused it.
        """
        async with self._session.request(
            method,
            self.server + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
            timeout=aiohttp.ClientTimeout(total=_CALL_S),
        ) as answer:
            return await _answer(answer)

    async def insist(self, method: str, path: str, body: dict[str, Any], kind: str = JSON) -> Any:
        """Make the call until the server answers it, however long that takes.

        Raises:
            ApiError: The server refused it for good.
        """
        while True:
            try:
                return await self.call(method, path, body, kind)
            except UNREACHABLE:
                pass
            except ApiError as error:
                if not error.may_pass:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield ("LIST", all objects of *path*), then each change, and so again after a break.

        It goes on for ever: after the server's restart, its 410 and any cut of the connection it
        lists anew, so an object that vanished meanwhile is one that the next list lacks.
        """
        while True:
            try:
                listed = await self.get(path)
                yield "LIST", listed["items"]
                async for change in self._watch(path, listed["metadata"]["resourceVersion"]):
                    yield change
            except (*UNREACHABLE, ApiError, ValueError):
                await asyncio.sleep(_AGAIN_S)

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Any]]:
        query = f"?watch=1&resourceVersion={version}&timeoutSeconds={_WATCH_S}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_S + 30)
        async with self._session.get(self.server + path + query, timeout=timeout) as answer:
            if answer.status != 200:
                await _answer(answer)
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 500), str(event["object"]))
                yield event["type"], event["object"]

    def host_and_port(self) -> tuple[str, int]:
        """Return where the server listens."""
        url = urlsplit(self.server)
        return str(url.hostname), url.port or 443


@asynccontextmanager
async def connect(kubeconfig: Path) -> AsyncIterator[Api]:
    """Yield the API of *kubeconfig*'s current context; its user has a token or a certificate."""
    text = yaml.safe_load(kubeconfig.read_text())
    context = _named(text["contexts"], text["current-context"])["context"]
    cluster = _named(text["clusters"], context["cluster"])["cluster"]
    user = _named(text["users"], context["user"])["user"]
    trust = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=_decoded(cluster, "certificate-authority-data"),
    )
    _load_certificate(trust, user)
    token = user.get("token")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust, limit=0),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        read_bufsize=_LINE_BYTES,
    ) as session:
        yield Api(session, cluster["server"].rstrip("/"))


def _load_certificate(trust: ssl.SSLContext, user: dict[str, Any]) -> None:
    if certificate := user.get("client-certificate"):
        trust.load_cert_chain(certificate, user["client-key"])
    elif certificate := _decoded(user, "client-certificate-data"):
        # The standard library reads a key from a file only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(certificate + (_decoded(user, "client-key-data") or ""))
            file.flush()
            trust.load_cert_chain(file.name)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _decoded(entry: dict[str, Any], field: str) -> str | None:
    return base64.b64decode(entry[field]).decode() if field in entry else None


async def _answer(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.text()
    if answer.status >= 400:
        raise ApiError(answer.status, text[:2000])
    return json.loads(text)
