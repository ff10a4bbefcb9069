"""The HTTP sender against a real server on the loopback interface."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from onchain_agg.errors import SourceError
from onchain_agg.sources.rpc import Rpc, decoder_of, http_send


@pytest.fixture
def server():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(
                (
                    self.path,
                    {name.lower(): v for name, v in self.headers.items()},
                    body,
                    self.client_address,
                )
            )
            self.send_response(429)
            self.send_header("Retry-After", "9")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"full")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"127.0.0.1:{http.server_port}", seen
        http.shutdown()
        thread.join()


def test_a_body_is_posted_with_the_urls_login_and_the_answer_comes_back_whole(server):
    address, seen = server

    answer = http_send(5)(f"http://al%40ice:se:cret@{address}/rpc?k=v", b"{}")

    ((path, headers, body, _),) = seen
    assert (path, body) == ("/rpc?k=v", b"{}")
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"al@ice:se:cret").decode()
    assert (answer.status, answer.body, answer.retry_after) == (429, b"full", "9")
    assert answer.date is not None


def test_a_connection_is_kept_for_the_next_request(server):
    address, seen = server
    send = http_send(5)

    for _ in range(3):
        send(f"http://{address}/", b"{}")

    assert len({client for *_, client in seen}) == 1


def test_an_unreachable_node_is_one_clear_line():
    with pytest.raises(SourceError) as caught:
        Rpc(["http://127.0.0.1:1"]).ask([("eth_chainId", ())], decoder_of(str), "anvil")

    assert str(caught.value).startswith("anvil: eth_chainId at http://127.0.0.1:1: no answer (")
    assert "\n" not in str(caught.value)
