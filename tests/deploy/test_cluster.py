"""The cluster itself: nodes, networks, and the kinds whose definitions belong to others."""

import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import argocd
from tests.manifests.rendered import DEPLOY, ENVIRONMENTS, ROOTS, built, named, of_kind, pods

_EKSCTL = yaml.safe_load((DEPLOY / "cluster/eksctl.yaml").read_text())
_BIN = Path(sys.executable).parent
# Fields of kinds that no validator here knows, as their definitions have them in the versions that
# Argo CD deploys: Karpenter 1.14.1, KEDA 2.19.0, External Secrets 2.8.0, and kube-prometheus-stack
# 87.17.0, which holds Prometheus Operator 0.92. Look a field up there before you add it. A * is any
# name.
_FIELDS = {
    "ClusterSecretStore": """
        conditions[].namespaceRegexes[] conditions[].namespaces[]
        provider.aws.region provider.aws.role provider.aws.service""",
    "EC2NodeClass": """
        amiSelectorTerms[].alias role tags.* securityGroupSelectorTerms[].tags.*
        subnetSelectorTerms[].tags.* blockDeviceMappings[].deviceName
        blockDeviceMappings[].ebs.deleteOnTermination blockDeviceMappings[].ebs.encrypted
        blockDeviceMappings[].ebs.volumeSize blockDeviceMappings[].ebs.volumeType
        metadataOptions.httpEndpoint metadataOptions.httpPutResponseHopLimit
        metadataOptions.httpTokens""",
    "ExternalSecret": """
        dataFrom[].extract.key data[].remoteRef.key data[].remoteRef.property data[].secretKey
        refreshInterval secretStoreRef.kind secretStoreRef.name target.creationPolicy target.name
        target.template.data.* target.template.engineVersion""",
    "NodePool": """
        disruption.consolidateAfter disruption.consolidationPolicy limits.cpu limits.memory
        template.metadata.labels.* template.spec.expireAfter template.spec.nodeClassRef.group
        template.spec.nodeClassRef.kind template.spec.nodeClassRef.name
        template.spec.requirements[].key template.spec.requirements[].operator
        template.spec.requirements[].values[] template.spec.taints[].effect
        template.spec.taints[].key template.spec.taints[].value
        template.spec.terminationGracePeriod""",
    "PodMonitor": """
        podMetricsEndpoints[].interval podMetricsEndpoints[].port selector.matchLabels.*""",
    "ServiceMonitor": """
        endpoints[].interval endpoints[].port jobLabel selector.matchLabels.*""",
    "ScaledObject": """
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[].periodSeconds
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[].type
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[].value
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds
        cooldownPeriod maxReplicaCount minReplicaCount pollingInterval scaleTargetRef.name
        triggers[].authenticationRef.name triggers[].type triggers[].metadata.dbName
        triggers[].metadata.host triggers[].metadata.port triggers[].metadata.query
        triggers[].metadata.sslmode triggers[].metadata.targetQueryValue
        triggers[].metadata.userName""",
    "TriggerAuthentication": """
        secretTargetRef[].key secretTargetRef[].name secretTargetRef[].parameter""",
}


def _fields(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner, f"{place}[]")
    else:
        yield place


def _unknown(manifest: dict[str, Any]) -> set[str]:
    known = [
        re.compile(re.escape(field).replace(r"\*", ".+"))
        for field in _FIELDS[manifest["kind"]].split()
    ]
    return {
        field
        for field in _fields(manifest["spec"])
        if not any(one.fullmatch(field) for one in known)
    }


@pytest.mark.parametrize("root", ROOTS)
def test_a_kind_of_anothers_has_the_fields_of_its_definition(root):
    unknown = {
        (one["kind"], one["metadata"]["name"]): _unknown(one)
        for one in of_kind(built(root), *_FIELDS)
    }

    assert {key: fields for key, fields in unknown.items() if fields} == {}


def test_a_misspelled_field_of_a_node_pool_is_found():
    pool = {"kind": "NodePool", "spec": {"disruption": {"consolidationPolciy": "WhenEmpty"}}}

    assert _unknown(pool) == {"disruption.consolidationPolciy"}


def test_the_load_balancers_networks_are_the_public_ones_that_eksctl_makes():
    # eksctl cuts a /16 into eight: three public subnets, three private ones, two spare.
    parts = list(ip_network(_EKSCTL["vpc"]["cidr"]).subnets(new_prefix=19))
    (rule,) = named(built("overlays/prod"), "NetworkPolicy", "api-server")["spec"]["ingress"]
    blocks = [ip_network(peer["ipBlock"]["cidr"]) for peer in rule["from"]]

    assert all(any(part.subnet_of(block) for block in blocks) for part in parts[:3])
    assert not any(part.overlaps(block) for part in parts[3:] for block in blocks)


def test_karpenter_hears_of_interruptions_and_finds_the_clusters_networks():
    cluster = _EKSCTL["metadata"]["name"]
    classes = of_kind(built("cluster"), "EC2NodeClass")

    assert _EKSCTL["karpenter"]["withSpotInterruptionQueue"] is True
    assert _EKSCTL["metadata"]["tags"]["karpenter.sh/discovery"] == cluster
    for one in classes:
        found = {"karpenter.sh/discovery": cluster}
        assert one["spec"]["securityGroupSelectorTerms"] == [{"tags": found}]
        # The public subnets have the first tag as well; no node may be in one.
        private = {"kubernetes.io/role/internal-elb": "1"}
        assert one["spec"]["subnetSelectorTerms"] == [{"tags": found | private}]
        assert one["spec"]["role"] == f"eksctl-KarpenterNodeRole-{cluster}"
        assert one["spec"]["metadataOptions"]["httpTokens"] == "required"
        # A version, never the newest.
        assert re.fullmatch(r"al2023@v\d{8}", one["spec"]["amiSelectorTerms"][0]["alias"])


def test_managed_nodes_are_on_demand_and_tainted_for_the_core():
    groups = {one["name"]: one for one in _EKSCTL["managedNodeGroups"]}
    told = {one["name"]: one for one in _EKSCTL["addons"]}

    assert not any(one.get("spot") for one in groups.values())
    assert groups["core"]["taints"] == [
        {"key": "onchain-agg/node-group", "value": "core", "effect": "NoSchedule"}
    ]
    # Three, because two pods of a part are on two nodes, and one node may be away.
    assert groups["core"]["minSize"] >= 3
    # What has no node group, Karpenter itself among it, needs nodes without a taint.
    assert "taints" not in groups["system"]
    assert told.keys() >= {"aws-efs-csi-driver", "eks-pod-identity-agent", "metrics-server"}
    # Network policies do nothing without it.
    assert "enableNetworkPolicy" in told["vpc-cni"]["configurationValues"]


def test_a_role_of_aws_belongs_to_an_account_that_there_is():
    accounts = {
        (named(manifests, "Namespace", namespace)["metadata"]["name"], one["metadata"]["name"])
        for namespace, manifests in (("airflow-prod", built("overlays/prod")),)
        for one in of_kind(manifests, "ServiceAccount")
    }
    given = {
        (one["namespace"], one["serviceAccountName"])
        for one in _EKSCTL["iam"]["podIdentityAssociations"]
        if one["namespace"].startswith("airflow")
    }

    assert given
    assert given <= accounts


def test_what_reads_or_writes_copies_of_logs_has_a_role_for_their_bucket():
    manifests = built("overlays/prod")
    options = named(manifests, "ConfigMap", "onchain-agg-airflow")["data"]
    bucket = options["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"].split("/")[2]
    accounts = {
        pod.spec["serviceAccountName"]
        for pod in pods(manifests)
        # A disk of everybody's for task logs is where they are read and written.
        if any(
            one.get("persistentVolumeClaim", {}).get("claimName") == "onchain-agg-logs"
            for one in pod.spec["volumes"]
        )
    }
    rights = {
        one["serviceAccountName"]: {
            action
            for statement in one["permissionPolicy"]["Statement"]
            if f"arn:aws:s3:::{bucket}/*" in statement["Resource"]
            for action in statement["Action"]
        }
        for one in _EKSCTL["iam"]["podIdentityAssociations"]
        if one["namespace"] == "airflow-prod"
    }

    assert rights.keys() == accounts
    assert {name for name, given in rights.items() if "s3:PutObject" in given} == {
        "onchain-agg-triggerer",
        "onchain-agg-worker",
    }
    assert all("s3:GetObject" in given for given in rights.values())


def test_what_there_are_two_of_survives_a_node_and_what_is_one_blocks_none():
    manifests = built("overlays/prod")
    replicas = {
        pod.name: pod.replicas
        for pod in pods(manifests)
        if pod.labels.get("onchain-agg/tier") == "core" and pod.kind != "Job"
    }
    budgets = {
        one["metadata"]["name"]: one["spec"]["maxUnavailable"]
        for one in of_kind(manifests, "PodDisruptionBudget")
    }

    assert replicas == {
        **dict.fromkeys(("api-server", "execution-api", "scheduler", "dag-processor"), 2),
        "pgbouncer": 2,
        **dict.fromkeys(("triggerer", "redis", "statsd-exporter"), 1),
    }
    assert budgets == {name: 1 for name, number in replicas.items() if number > 1}


def test_pods_of_a_part_of_the_core_are_on_different_nodes():
    for pod in pods(built("overlays/prod")):
        if pod.labels.get("onchain-agg/tier") == "core" and pod.kind == "Deployment":
            spread = {one["topologyKey"]: one for one in pod.spec["topologySpreadConstraints"]}
            assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
            for one in spread.values():
                assert one["labelSelector"]["matchLabels"].items() <= pod.labels.items()
                assert "app.kubernetes.io/component" in one["matchLabelKeys"]


def test_prod_follows_a_tag_or_a_commit_not_a_branch():
    ref = named(built("overlays/prod"), "ConfigMap", "onchain-agg-dags")["data"]["ref"]

    assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{40}", ref)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pgbouncer_finds_its_files_where_they_are_mounted(environment):
    manifests = built(f"overlays/{environment}")
    (pod,) = [one for one in pods(manifests) if one.name == "pgbouncer"]
    volumes = {one["name"]: one for one in pod.spec["volumes"]}
    mounts = {
        mount["mountPath"]: volumes[mount["name"]] for mount in pod.containers[0]["volumeMounts"]
    }
    config = mounts["/etc/pgbouncer"]["configMap"]["name"]
    files = named(manifests, "ConfigMap", config)["data"]
    ini = configparser.ConfigParser(allow_no_value=True, interpolation=None)
    ini.read_string(files["pgbouncer.ini"])

    users = Path(ini["pgbouncer"]["auth_file"])
    secret = mounts[str(users.parent)]["secret"]["secretName"]
    template = named(manifests, "ExternalSecret", secret)["spec"]["target"]["template"]["data"]
    assert users.name in template
    assert re.findall(r"%include (\S+)", files["pgbouncer.ini"]) == [
        "/etc/pgbouncer/server-tls.ini"
    ]
    tls = re.search(r"^server_tls_sslmode = (\w+)$", files["server-tls.ini"], re.MULTILINE)[1]
    # A preview's database has no certificate, and is in its namespace.
    assert tls == ("disable" if environment == "preview" else "require")
    assert ini["pgbouncer"]["pool_mode"] == "transaction"
    # The warehouse needs sessions of its own.
    assert list(ini["databases"]) == ["airflow"]


def test_the_broker_starts_with_a_password_and_keeps_what_it_took():
    template = named(built("overlays/prod"), "ExternalSecret", "onchain-agg-redis")["spec"][
        "target"
    ]["template"]["data"]["valkey.conf"]
    told = dict(
        line.split(" ", 1) for line in template.splitlines() if line and not line.startswith("#")
    )

    assert told["requirepass"] == "{{ .password }}"
    assert told["appendonly"] == "yes"
    assert told["maxmemory-policy"] == "noeviction"


def test_the_login_knows_its_provider_from_the_environment_alone(monkeypatch):
    told = {"ISSUER": "https://login.example.com", "CLIENT_ID": "id", "CLIENT_SECRET": "word"}
    for name, value in told.items():
        monkeypatch.setenv(f"OIDC_{name}", value)
    names: dict[str, Any] = {}

    exec((DEPLOY / "base/login/webserver_config.py").read_text(), names)  # noqa: S102 - our own file, as Airflow reads it

    (provider,) = names["OAUTH_PROVIDERS"]
    assert provider["remote_app"]["client_secret"] == told["CLIENT_SECRET"]
    assert provider["remote_app"]["server_metadata_url"] == (
        "https://login.example.com/.well-known/openid-configuration"
    )
    assert names["AUTH_USER_REGISTRATION_ROLE"] == "Viewer"
    secret = named(built("overlays/prod"), "ExternalSecret", "onchain-agg-oidc")
    assert {one["secretKey"] for one in secret["spec"]["data"]} == {f"OIDC_{name}" for name in told}


def test_every_ingress_joins_the_group_that_the_cluster_lets_its_namespace_join():
    joined = {
        (
            one["metadata"]["namespace"],
            one["metadata"]["annotations"]["alb.ingress.kubernetes.io/group.name"],
        )
        for root in ROOTS
        for one in of_kind(built(root), "Ingress")
    }

    assert joined == {
        ("monitoring", "onchain-agg.prod"),
        ("airflow-prod", "onchain-agg.prod"),
        ("airflow-dev", "onchain-agg.dev"),
        ("airflow-preview", "onchain-agg.preview"),
    }


def test_every_policy_of_the_cluster_is_bound_and_denies():
    policies = {
        one["metadata"]["name"]: one["spec"]["failurePolicy"]
        for one in of_kind(built("cluster"), "ValidatingAdmissionPolicy")
    }
    bound = [
        (one["spec"]["policyName"], one["spec"]["validationActions"])
        for one in of_kind(built("cluster"), "ValidatingAdmissionPolicyBinding")
    ]

    assert {name for name, _ in bound} == policies.keys()
    assert all(actions == ["Deny"] for _, actions in bound)
    assert set(policies.values()) == {"Fail"}


def test_the_policies_hold_in_every_environment_and_where_grafana_is():
    labels = {
        one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for environment in ENVIRONMENTS
        for one in of_kind(built(f"overlays/{environment}"), "Namespace")
    }
    held = {
        one["metadata"]["name"]: one["spec"].get("matchResources", {}).get("namespaceSelector")
        for one in of_kind(built("cluster"), "ValidatingAdmissionPolicyBinding")
    }
    ours = {"matchLabels": {"pod-security.kubernetes.io/enforce": "restricted"}}

    assert labels == {"restricted"}
    assert held == {
        # Of every namespace: any may try to join a group.
        "onchain-agg-ingress-group": None,
        "onchain-agg-no-credentials": ours,
        "onchain-agg-pods": ours,
        "onchain-agg-published": ours,
        "onchain-agg-published-monitoring": {
            "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
        },
        "onchain-agg-secrets": ours,
        "onchain-agg-spot-grace": ours,
    }


def test_the_writer_of_secrets_is_the_account_of_external_secrets():
    application = argocd.applications()["external-secrets"]
    (source,) = argocd.sources(application)
    account = source["helm"]["valuesObject"]["serviceAccount"]["name"]
    namespace = application["spec"]["destination"]["namespace"]
    policy = named(built("cluster"), "ValidatingAdmissionPolicy", "onchain-agg-secrets")

    (validation,) = policy["spec"]["validations"]
    written = re.findall(r"'(system:serviceaccount:[^']*)'", validation["expression"])
    assert written == [f"system:serviceaccount:{namespace}:{account}"]


def test_the_script_of_a_previews_database_passes_shellcheck():
    script = DEPLOY / "components/preview-database/users.sh"

    result = subprocess.run(
        [_BIN / "shellcheck", script], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (0, "")
