"""A Git repository that tests push to, and its server: files, or HTTP with a password."""

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BRANCH = "main"
_GIT = shutil.which("git") or "git"
_PERSON = "Test <test@example.org> 1700000000 +0000"
# Nothing of the machine's own configuration counts.
_ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "true",
}


class Remote:
    """A bare repository and a clone whose commits wait to be pushed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.bare = folder / "dags.git"
        self._clone = folder / "clone"
        for bare, place in ((["--bare"], self.bare), ([], self._clone)):
            _git("init", "--quiet", "--initial-branch", BRANCH, *bare, str(place), at=folder)

    @property
    def url(self) -> str:
        """Return the address of the files."""
        return f"file://{self.bare}"

    def commits(self, contents: list[Mapping[str, str]]) -> list[str]:
        """Return a commit for each of *contents* (text by path), a child of the one before.

        The first is nobody's child, so a push of it that follows others is a forced one.
        """
        stream: list[str] = ["reset refs/heads/made\n"]
        for number, files in enumerate(contents):
            stream += [
                f"commit refs/heads/made\ncommitter {_PERSON}\n",
                f"data {len(str(number))}\n{number}\ndeleteall\n",
                *(
                    f"M 644 inline {path}\ndata {len(text.encode())}\n{text}\n"
                    for path, text in files.items()
                ),
            ]
        _git("fast-import", "--quiet", "--force", at=self._clone, stdin="".join(stream))
        made = _git("rev-list", "--reverse", "refs/heads/made", at=self._clone).split()
        assert len(made) == len(contents)
        # Nothing else names them, and the next call moves the branch.
        _git("update-ref", f"refs/kept/{made[-1]}", made[-1], at=self._clone)
        return made

    def push(self, commit: str, *, force: bool = False) -> None:
        """Make *commit* the branch's newest one."""
        forced = ["--force"] if force else []
        target = f"{commit}:refs/heads/{BRANCH}"
        _git("push", "--quiet", *forced, str(self.bare), target, at=self._clone)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Take the repository away while the block runs."""
        away = self.bare.with_suffix(".away")
        self.bare.rename(away)
        try:
            yield
        finally:
            away.rename(self.bare)


class Http:
    """A server of bare repositories that wants a password."""

    _USER = "reader"

    def __init__(self, folder: Path) -> None:
        self._passwords = 1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(folder))

    def url(self, repository: Path) -> str:
        """Return the address of *repository*, without the password."""
        return f"http://127.0.0.1:{self._server.server_port}/{repository.name}"

    def credentials(self) -> str:
        """Return the line that git's `credential-store` wants."""
        return (
            f"http://{self._USER}:password{self._passwords}@127.0.0.1:{self._server.server_port}\n"
        )

    def rotate(self) -> None:
        """Change the password."""
        self._passwords += 1

    def allows(self, authorization: str | None) -> bool:
        """Return whether this header has the password."""
        pair = base64.b64encode(f"{self._USER}:password{self._passwords}".encode()).decode()
        return authorization == f"Basic {pair}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self, folder: Path) -> type[BaseHTTPRequestHandler]:
        allows = self.allows

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if not allows(self.headers.get("Authorization")):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="dags"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                head, _, content = _backend(folder, self, body).partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _backend(folder: Path, request: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """Return what git's own CGI program answers."""
    path, _, query = request.path.partition("?")
    result = subprocess.run(
        [_GIT, "http-backend"],
        env={
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        },
        input=body,
        capture_output=True,
        check=True,
    )
    return result.stdout


def _git(*arguments: str, at: Path, stdin: str | None = None) -> str:
    result = subprocess.run(
        [_GIT, *arguments],
        cwd=at,
        env=_ENVIRONMENT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout
