"""A Kubernetes control plane for tests: etcd and kube-apiserver on loopback, and nothing else.

There is no controller-manager, scheduler or kubelet. So `namespace` makes what the first would make
in a new namespace; an object stays when its owner is deleted; a deleted namespace stays
`Terminating`; quotas are stored but not counted; and a pod runs only where a test runs it.

With KUBECONFIG set, the cluster that it names is used instead. Tests may write there into the
namespaces that they make, which are deleted at the end, and nowhere else.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from onchain_agg.local.processes import free_port
from tests.e2e.binaries import Programs, programs
from tests.e2e.daemons import Daemon, running

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_LOOPBACK = "127.0.0.1"
_TOKEN = "admin"  # noqa: S105 - of a server on loopback that lives as long as the tests
_START_S = 90.0


class ControlPlane:
    """A cluster's API: clients of its admin and of others, and namespaces of the tests' own."""

    is_local = False

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.namespaces: list[str] = []

    def api(self) -> "ApiClient":
        """Return a new client of the admin."""
        from kubernetes import config

        return config.new_client_from_config(config_file=str(self.kubeconfig))

    def as_user(self, name: str, group: str = "") -> "ApiClient":
        """Return a client that impersonates *name*.

        A service account, `system:serviceaccount:<namespace>:<name>`, brings its groups itself as
        long as *group* is empty.
        """
        client = self.api()
        client.set_default_header("Impersonate-User", name)
        if group:
            client.set_default_header("Impersonate-Group", group)
        return client

    def as_service_account(self, namespace: str, name: str) -> "ApiClient":
        """Return a client that impersonates a service account."""
        return self.as_user(f"system:serviceaccount:{namespace}:{name}")

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace with its default service account; return its name.

        Raises:
            ApiException: There is one of that name.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.api())
        core.create_namespace({"metadata": {"name": name, "labels": dict(labels or {})}})
        self.namespaces.append(name)
        self._furnish(core, name)
        return name

    def delete_namespaces(self) -> None:
        """Delete the namespaces that were made."""
        from kubernetes import client

        core = client.CoreV1Api(self.api())
        while self.namespaces:
            core.delete_namespace(self.namespaces.pop())

    def _furnish(self, core: Any, namespace: str) -> None:
        """Wait for what the cluster's own controllers put into *namespace*."""
        deadline = time.monotonic() + _START_S
        for listed in (core.list_namespaced_service_account, core.list_namespaced_config_map):
            while not listed(namespace).items:
                assert time.monotonic() < deadline, f"{namespace} got no account or certificate"
                time.sleep(0.2)


class LocalControlPlane(ControlPlane):
    """A control plane that this process started; it is killed, as it keeps nothing that matters."""

    is_local = True

    def __init__(self, home: Path, found: Programs) -> None:
        super().__init__(home / "kubeconfig")
        self.home = home
        self.etcd, etcd_url = _etcd(home, found.etcd)
        port = free_port()
        self.url = f"https://{_LOOPBACK}:{port}"
        self.certificates = home / "certificates" / "apiserver.crt"
        self.server = _server(home, found.kube_apiserver, port, etcd_url)
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self.url, self.certificates)))
        self.kubeconfig.chmod(0o600)

    @property
    def pids(self) -> dict[str, int]:
        """Return the process id of each server."""
        return {one.name: one.pid for one in (self.etcd, self.server)}

    def memory_mb(self) -> dict[str, int]:
        """Return the resident memory of each server."""
        return {one.name: one.memory_mb() for one in (self.etcd, self.server)}

    def start(self) -> None:
        """Start both servers, and return once they are ready."""
        self.etcd.start()
        self.server.start()
        self.server.wait_until(self.ready, _START_S)

    def restart(self) -> None:
        """Crash the API server, start it again on the same port, and return once it is ready."""
        self.server.kill()
        self.server.start()
        self.server.wait_until(self.ready, _START_S)

    def ready(self) -> bool:
        """Return whether the API server says it is ready."""
        if not self.certificates.exists():
            return False
        # A new pool each time: the certificates are written at the first start.
        with urllib3.PoolManager(ca_certs=str(self.certificates)) as pool:
            try:
                answer = pool.request(
                    "GET",
                    f"{self.url}/readyz",
                    headers={"Authorization": f"Bearer {_TOKEN}"},
                    retries=False,
                    timeout=5,
                )
            except urllib3.exceptions.HTTPError:
                return False
        return answer.status == 200

    def _furnish(self, core: Any, namespace: str) -> None:
        root = {"ca.crt": self.certificates.read_text()}
        core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
        core.create_namespaced_config_map(
            namespace, {"metadata": {"name": "kube-root-ca.crt"}, "data": root}
        )


@contextmanager
def control_plane(home: Path) -> Iterator[ControlPlane]:
    """Yield the cluster of KUBECONFIG, or one that is started in *home* and stopped again.

    Raises:
        MissingProgramError: None is given, and a program to start one is missing.
    """
    if given := os.environ.get("KUBECONFIG"):
        plane = ControlPlane(Path(given))
        try:
            with running():
                yield plane
        finally:
            plane.delete_namespaces()
        return
    found = programs()
    home.mkdir(parents=True, exist_ok=True)
    local = LocalControlPlane(home, found)
    with running(local.etcd, local.server):
        local.start()
        yield local


def _etcd(home: Path, program: Path) -> tuple[Daemon, str]:
    clients, peers = (f"http://{_LOOPBACK}:{free_port()}" for _ in range(2))
    command = [
        str(program),
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--logger=zap",
        "--log-level=warn",
    ]
    return Daemon("etcd", command, home / "etcd.log", grace_s=0), clients


def _server(home: Path, program: Path, port: int, etcd_url: str) -> Daemon:
    key = home / "service-accounts.pem"
    key.write_bytes(_new_key())
    key.chmod(0o600)
    tokens = home / "tokens.csv"
    tokens.write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    tokens.chmod(0o600)
    command = [
        str(program),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={_LOOPBACK}",
        f"--advertise-address={_LOOPBACK}",
        f"--secure-port={port}",
        f"--cert-dir={home / 'certificates'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        # Beside those that are on by default, the one that EKS adds. ServiceAccount is among the
        # defaults: a pod that names an account that is not there is refused.
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        # As EKS has it: what is privileged is the namespace's matter.
        "--allow-privileged=true",
        # The address of the service `kubernetes` may not be on loopback.
        "--endpoint-reconciler-type=none",
    ]
    return Daemon("kube-apiserver", command, home / "kube-apiserver.log", grace_s=0)


def _kubeconfig(url: str, certificates: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "e2e",
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
        "clusters": [
            {"name": "e2e", "cluster": {"server": url, "certificate-authority": str(certificates)}}
        ],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
    }


def _new_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
