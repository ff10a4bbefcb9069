"""The node's own server, which the API server asks for a pod's log."""

import asyncio
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.kubelet_container import Settings
from tests.e2e.kubelet_pod import PodRun

_AGAIN_S = 0.2


class LogServer:
    """Serves `/containerLogs/<namespace>/<pod>/<container>`, with `tailLines` and `follow`.

    It asks nobody who they are: it listens on loopback and shows what tests print.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs: dict[tuple[str, str], PodRun] = {}

    def add(self, run: PodRun) -> None:
        """Serve the logs of *run*, in the place of an earlier pod of that name."""
        meta = run.pod["metadata"]
        self._runs[meta["namespace"], meta["name"]] = run

    async def start(self) -> int:
        """Listen on a free port and return it."""
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(
            runner, self._settings.host_ip, 0, ssl_context=_certified(self._settings.host_ip)
        )
        await site.start()
        return int(runner.addresses[0][1])

    async def _log(self, request: web.Request) -> web.StreamResponse:
        asked = request.match_info
        run = self._runs.get((asked["namespace"], asked["pod"]))
        if run is None:
            raise web.HTTPNotFound(text=f"pod {asked['pod']} is not on this node")
        file = self._settings.log(run.pod, asked["container"])
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        follows = request.query.get("follow") in ("true", "1")
        place = 0
        lines = request.query.get("tailLines")
        if lines is not None and file.exists():
            place = _last_lines_from(file.read_bytes(), int(lines))
        while True:
            over = run.over
            if file.exists():
                with file.open("rb") as log:
                    log.seek(place)
                    text = log.read()
                place += len(text)
                await answer.write(text)
            if over or not follows:
                break
            await asyncio.sleep(_AGAIN_S)
        await answer.write_eof()
        return answer


def _last_lines_from(text: bytes, lines: int) -> int:
    kept = text.splitlines(keepends=True)[-lines:] if lines else []
    return len(text) - sum(map(len, kept))


def _certified(host: str) -> ssl.SSLContext:
    """Return a server's context with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    # Any time does: the API server does not check it without a kubelet certificate authority.
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.flush()
        context.load_cert_chain(Path(file.name))
    return context
