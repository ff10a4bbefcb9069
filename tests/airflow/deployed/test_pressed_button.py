"""The Test button of a running Airflow, which asks the API server or a worker."""

import json
import time

import pytest
import urllib3

from tests.fakes.http_server import json_rpc, serving

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(340)]


def _press(deployment, path, **fields):
    body = {"connection_id": "onchain_new", **fields}
    url = f"{deployment.url}/api/v2/connections/{path}"
    answer = urllib3.request("POST", url, json=body, timeout=30)
    return answer.status, answer.json()


def test_the_button_of_a_running_airflow_tells_the_same(deployment):

    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as node:
        evm = _press(
            deployment, "test", conn_type="onchain_evm", host=f"{node.url}/v2", password="k" * 20
        )
    with serving(lambda *_: (200, b'{"error":[],"result":{"unixtime":1591502873}}')) as exchange:
        market = _press(
            deployment,
            "test",
            conn_type="onchain_market",
            host="kraken",
            extra=json.dumps({"url": exchange.url}),
        )

    assert node.paths == [f"/v2/{'k' * 20}"] * 2
    assert evm == (
        200,
        {
            "status": True,
            "message": f"{node.url}/v2/*** serves ethereum (chain id 1), newest block 2.",
        },
    )
    assert market == (
        200,
        {
            "status": True,
            "message": f"kraken at {exchange.address} answers: its clock says "
            "2020-06-07T04:07:53.000Z.",
        },
    )


def test_a_test_runs_on_a_worker_of_a_running_airflow(deployment):
    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as node:
        # CeleryExecutor and KubernetesExecutor run no such test yet.
        _, queued = _press(
            deployment,
            "enqueue-test",
            conn_type="onchain_evm",
            host=node.url,
            executor="LocalExecutor",
        )
        url = f"{deployment.url}/api/v2/connections/enqueue-test"
        token = {"Airflow-Connection-Test-Token": queued["token"]}
        deadline = time.monotonic() + 60
        found = urllib3.request("GET", url, headers=token).json()
        while found["state"] not in {"success", "failed"} and time.monotonic() < deadline:
            time.sleep(0.3)
            found = urllib3.request("GET", url, headers=token).json()

    assert (found["state"], found["result_message"]) == (
        "success",
        f"{node.url} serves ethereum (chain id 1), newest block 2.",
    )
