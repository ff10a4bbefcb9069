"""A plain JSON-RPC client for driving test nodes; the package's own clients are what is tested."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import urllib3

_TIMEOUT_S = 60.0
_BATCH = 200  # anvil and litecoind both answer this many at once without a stall


class RpcError(Exception):
    """A node answered with an error; ``code`` is the JSON-RPC error code."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        """Name the *method* that failed and repeat the node's *error*."""
        super().__init__(f"{method}: {error.get('message')} ({error.get('code')})")
        self.code = error.get("code")


class JsonRpc:
    """Calls a JSON-RPC node over one kept-alive connection."""

    def __init__(self, url: str) -> None:
        """Speak to *url*, which may carry ``user:password@``."""
        parts = urllib3.util.parse_url(url)
        self._url = parts._replace(auth=None).url
        self._headers = {"content-type": "application/json"}
        if parts.auth:
            self._headers |= urllib3.make_headers(basic_auth=parts.auth)
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=_TIMEOUT_S)

    def call(self, method: str, *params: Any) -> Any:
        """Return the result of one call.

        Raises:
            RpcError: The node answered with an error.
            urllib3.exceptions.HTTPError: The node did not answer.
        """
        return _result(method, self._post(_request(0, method, params)))

    def batch(self, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Return the results of many ``(method, *params)``, in their order.

        Raises:
            RpcError: The node answered one of them with an error.
        """
        calls = list(calls)
        results: list[Any] = []
        for at in range(0, len(calls), _BATCH):
            part = calls[at : at + _BATCH]
            answers = self._post([_request(i, c[0], c[1:]) for i, c in enumerate(part)])
            by_id = {answer["id"]: answer for answer in answers}
            results += [_result(c[0], by_id[i]) for i, c in enumerate(part)]
        return results

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _post(self, body: Any) -> Any:
        # Litecoin answers an RPC error with HTTP 500 and a JSON body, so the body decides. Its
        # amounts are decimal fractions of a coin, which a float would not keep.
        response = self._pool.request(
            "POST", self._url, body=json.dumps(body).encode(), headers=self._headers
        )
        return json.loads(response.data, parse_float=Decimal)


def _request(number: int, method: str, params: Iterable[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(method: str, answer: dict[str, Any]) -> Any:
    if answer.get("error"):
        raise RpcError(method, answer["error"])
    return answer["result"]
