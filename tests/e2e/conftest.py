"""The control plane that all files share, and the report of what each took."""

import os
import signal
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

from tests.e2e.admission import refused_by_each
from tests.e2e.binaries import MissingProgramError
from tests.e2e.control_plane import control_plane
from tests.e2e.definitions import define, read
from tests.e2e.objects import Objects
from tests.manifests.rendered import ENVIRONMENTS, built, named, of_kind

_HERE = Path(__file__).parent
# Of each file: the seconds of its tests, how many there are, and the most memory after one.
_SECONDS = defaultdict(float)
_TESTS = defaultdict(int)
_MEMORY_MB = defaultdict(int)
_NOTES = []
# The control plane, while tests have one of their own.
_LOCAL = []
# What a pod needs to be admitted, beside the rules for pods.
_AROUND = ("ServiceAccount", "LimitRange", "ResourceQuota")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Hear SIGINT, which a shell has its background jobs ignore; programs inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def plane():
    """Yield the cluster; skip where none is given and none can be started."""
    with tempfile.TemporaryDirectory(prefix="oa-e2e-") as home:
        began = time.monotonic()
        try:
            with control_plane(Path(home)) as plane:
                _NOTES.append(f"control plane ready after {time.monotonic() - began:.1f} s")
                _LOCAL.extend([plane] if plane.is_local else [])
                yield plane
                _LOCAL.clear()
                if plane.is_local:
                    _NOTES.append(f"its memory at the end, in MB: {plane.memory_mb()}")
        except MissingProgramError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def nothing_left(kube):
    """Delete a file's pods, which the next file's nodes would take in, and the nodes it lost."""
    yield
    for plane in _LOCAL:
        core = kube.CoreV1Api(plane.api())
        for namespace in plane.namespaces:
            core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
        core.delete_collection_node()


@pytest.fixture(scope="session")
def local_plane(plane):
    """Return the control plane that the tests started; skip on a cluster that was given."""
    if not plane.is_local:
        pytest.skip("writes what all namespaces share, so it needs a control plane of its own")
    return plane


@pytest.fixture(scope="session")
def kube():
    """Return the module of the API's clients, which is slow to import."""
    from kubernetes import client

    return client


@pytest.fixture(scope="session")
def new_namespace(plane):
    """Return a function that makes a namespace for a purpose, with labels."""

    def make(purpose, labels=None):
        return plane.namespace(f"oa-e2e-{purpose}-{os.getpid()}", labels)

    return make


@pytest.fixture(scope="session")
def objects(plane):
    """Return what applies objects as the admin."""
    return Objects(plane.api())


@pytest.fixture(scope="session")
def defined(local_plane, objects):
    """Define the controllers' kinds, or skip where their definitions could not be had."""
    manifests = read()
    if not manifests:
        pytest.skip("no definitions of the controllers' kinds (`make e2e-needs` gets them)")
    began = time.monotonic()
    define(objects, manifests)
    _NOTES.append(f"{len(manifests)} kinds defined in {time.monotonic() - began:.1f} s")
    return manifests


@pytest.fixture(scope="session")
def environments(local_plane):
    """Make the namespace of each environment; return the namespaces by environment."""
    made = {}
    for name in ENVIRONMENTS:
        (namespace,) = of_kind(built(f"overlays/{name}"), "Namespace")
        meta = namespace["metadata"]
        made[name] = local_plane.namespace(meta["name"], meta["labels"])
    return made


@pytest.fixture(scope="session")
def policies(local_plane, objects):
    """Put the cluster's admission policies in force; return their names."""
    manifests = of_kind(
        built("cluster"), "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
    )
    for one in manifests:
        objects.apply(one)
    found = of_kind(manifests, "ValidatingAdmissionPolicy")
    assert all(named(manifests, "ValidatingAdmissionPolicyBinding", _name(one)) for one in found)
    return [_name(one) for one in found]


@pytest.fixture(scope="session")
def in_force(policies, environments, local_plane, objects):
    """Return the server once its policies refuse; it loads them a moment after they are made."""
    local_plane.namespace("oa-e2e-other", {"pod-security.kubernetes.io/enforce": "baseline"})
    last = refused_by_each("airflow-prod")
    assert sorted(last) == sorted(policies)
    deadline = time.monotonic() + 30
    while not all(f"'{name}'" in objects.refusal(one) for name, one in last.items()):
        assert time.monotonic() < deadline, "the policies are not in force"
        time.sleep(0.2)
    return objects


@pytest.fixture(scope="session")
def furnished(environments, objects):
    """Put accounts, default resources and quotas into the namespace of each environment."""
    for name in ENVIRONMENTS:
        for one in of_kind(built(f"overlays/{name}"), *_AROUND):
            objects.apply(one)
    return environments


@pytest.fixture(scope="session")
def monitoring(local_plane):
    """Make the namespace of Grafana; return its name."""
    return local_plane.namespace("monitoring")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    """Add up what the tests of a file take."""
    file = report.nodeid.partition("::")[0]
    if _HERE not in (_HERE.parents[1] / file).parents:
        return
    _SECONDS[file] += report.duration
    _TESTS[file] += report.when == "call"
    if report.when == "call":
        _MEMORY_MB[file] = max(_MEMORY_MB[file], _memory_mb())


def pytest_terminal_summary(terminalreporter):
    """Print the time and memory of each phase."""
    if not _SECONDS:
        return
    terminalreporter.section("phases")
    for note in _NOTES:
        terminalreporter.write_line(note)
    for file, seconds in _SECONDS.items():
        terminalreporter.write_line(
            f"{file}: {_TESTS[file]} tests in {seconds:.1f} s; at most {_MEMORY_MB[file]} MB"
            " with all servers (pages that processes share count for each)"
        )


def _memory_mb():
    own = psutil.Process()
    total = 0
    for one in [own, *own.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total // 2**20


def _name(one):
    return one["metadata"]["name"]
