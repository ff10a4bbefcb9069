"""Argo CD deploys what there is, in an order that works, and each project allows no more."""

import re
import shutil
import subprocess
from datetime import date, timedelta

import pytest
import yaml

from tests.manifests import argocd
from tests.manifests.argocd import ARGOCD, applications, projects, refusals, sources, wave
from tests.manifests.rendered import DEPLOY, build_of, built, named, of_kind

OURS = "https://github.com/example/onchain-agg.git"
# The controller that brings the kinds of a group.
_BROUGHT_BY = {
    "external-secrets.io": "external-secrets",
    "karpenter.k8s.aws": "karpenter",
    "karpenter.sh": "karpenter",
    "keda.sh": "keda",
    "monitoring.coreos.com": "kube-prometheus-stack",
}


def _deployed(name):
    """Return what an Application deploys from this repository; charts are not rendered here."""
    if name == "root":
        return [one for one in argocd.manifests() if one["metadata"]["name"] != "root"]
    return [
        one
        for path in argocd.paths(applications()[name])
        # Its base is another repository's release.
        if path != ARGOCD / "install"
        for one in build_of(path)
    ]


@pytest.mark.parametrize("name", applications())
def test_an_application_deploys_a_folder_that_exists(name):
    assert [str(path) for path in argocd.paths(applications()[name]) if not path.is_dir()] == []


@pytest.mark.parametrize("name", sorted(set(applications()) - {"pull-requests", "developers"}))
def test_the_project_allows_what_its_application_deploys(name):
    application = applications()[name]

    assert refusals(application, projects()[application["spec"]["project"]], _deployed(name)) == []


def test_what_no_application_uses_is_in_no_project():
    used = {name: set() for name in projects()}
    for one in applications().values():
        used[one["spec"]["project"]] |= {source["repoURL"] for source in sources(one)}

    assert {name: set(one["spec"]["sourceRepos"]) for name, one in projects().items()} == used


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param({"namespace": "airflow-prod"}, ["namespace airflow-prod"], id="prod"),
        pytest.param({"namespace": "airflow-dev"}, ["namespace airflow-dev"], id="dev"),
        pytest.param({"namespace": "kube-system"}, ["namespace kube-system"], id="the cluster's"),
        pytest.param({"repoURL": "https://x.example"}, ["repository https://x.example"], id="repo"),
        pytest.param({"kind": "Secret"}, ["kind Secret"], id="a secret in git"),
        pytest.param({"kind": "NodePool"}, ["kind NodePool one"], id="nodes"),
        pytest.param({}, [], id="its own"),
    ],
)
def test_a_preview_cannot_leave_its_namespace(change, refused):
    namespace = change.get("namespace", "airflow-pr-12")
    application = {
        "spec": {
            "source": {"repoURL": change.get("repoURL", OURS)},
            "destination": {
                "server": "https://kubernetes.default.svc",
                "namespace": namespace,
            },
        }
    }
    one = {"apiVersion": "v1", "kind": change.get("kind", "Service"), "metadata": {"name": "one"}}

    assert refusals(application, projects()["previews"], [one]) == refused


@pytest.mark.parametrize("name", applications())
def test_a_chart_has_an_exact_version_and_our_own_files_come_from_main(name):
    for source in sources(applications()[name]):
        if "chart" in source:
            assert re.fullmatch(r"\d+\.\d+\.\d+", source["targetRevision"])
        else:
            assert (source["repoURL"], source["targetRevision"]) == (OURS, "main")


def test_karpenter_is_upgraded_from_the_version_that_the_cluster_is_made_with():
    cluster = yaml.safe_load((DEPLOY / "cluster/eksctl.yaml").read_text())
    (source,) = sources(applications()["karpenter"])

    assert source["targetRevision"] == cluster["karpenter"]["version"]
    assert source["helm"]["valuesObject"]["settings"]["clusterName"] == cluster["metadata"]["name"]


def test_a_controller_has_the_account_that_pod_identity_knows():
    cluster = yaml.safe_load((DEPLOY / "cluster/eksctl.yaml").read_text())
    known = {
        (one["namespace"], one["serviceAccountName"])
        for one in cluster["iam"]["podIdentityAssociations"]
    }
    asked = {
        (one["spec"]["destination"]["namespace"], values["serviceAccount"]["name"])
        for one in applications().values()
        for source in sources(one)
        if (values := source.get("helm", {}).get("valuesObject", {}))
        and values.get("serviceAccount", {}).get("create")
    }

    assert len(asked) >= 2
    assert asked - known == set()


def test_projects_come_first_and_previews_last():
    by_project = {
        name: {wave(one) for one in applications().values() if one["spec"]["project"] == name}
        for name in projects()
    }

    assert {wave(one) for one in projects().values()} == {-5}
    assert min(by_project["controllers"]) > -5
    assert max(by_project["cluster"]) < min(by_project["environments"])
    assert max(by_project["environments"]) < min(by_project["previews"])


@pytest.mark.parametrize("name", sorted(set(applications()) - {"root"}))
def test_a_kind_is_used_in_a_later_wave_than_its_controller_comes(name):
    there = applications()
    groups = {one["apiVersion"].rpartition("/")[0] for one in _deployed(name)}
    early = {
        _BROUGHT_BY[group]
        for group in groups & set(_BROUGHT_BY)
        if wave(there[_BROUGHT_BY[group]]) >= wave(there[name])
    }

    assert early == set()


def test_a_wave_waits_until_the_applications_before_it_are_healthy():
    (settings,) = yaml.safe_load_all((ARGOCD / "install/argocd-cm.yaml").read_text())
    health = settings["data"]["resource.customizations.health.argoproj.io_Application"]

    assert "operationState" in health
    assert 'phase == "Succeeded"' in health


def test_our_settings_are_laid_over_those_of_the_release(tmp_path):
    shutil.copytree(ARGOCD / "install", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "kustomization.yaml"
    said = yaml.safe_load(file.read_text())
    (release,) = [one for one in said["resources"] if one.startswith("https://")]
    # In place of the release, which is not here, what it has of these two.
    (tmp_path / "release.yaml").write_text(
        "".join(
            f"---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}\n"
            for name in ("argocd-cm", "argocd-rbac-cm")
        )
    )
    said["resources"] = ["release.yaml" if one == release else one for one in said["resources"]]
    file.write_text(yaml.safe_dump(said))

    deployed = build_of(tmp_path)

    assert re.search(r"/argo-cd/v\d+\.\d+\.\d+/manifests/", release)
    assert named(deployed, "ConfigMap", "argocd-rbac-cm")["data"]["policy.default"] == (
        "role:readonly"
    )
    assert named(deployed, "ConfigMap", "argocd-cm")["metadata"]["namespace"] == "argocd"


@pytest.mark.parametrize("name", applications())
def test_every_application_heals_itself(name):
    assert applications()[name]["spec"]["syncPolicy"]["automated"]["selfHeal"] is True


@pytest.mark.parametrize("name", ["airflow-dev", "airflow-prod"])
def test_a_lost_file_does_not_delete_an_environment(name):
    application = applications()[name]
    options = application["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]

    assert set(options.split(",")) == {"Prune=false", "Delete=false"}
    assert "finalizers" not in application["metadata"]


def _preview(tmp_path, generator, values):
    """Return what Argo CD makes of a generator's template: it edits the overlay's own file."""
    template = yaml.safe_dump(applications()[generator])
    for name, value in values.items():
        template = template.replace(f"{{{{ .{name} }}}}", value)
    assert "{{" not in template
    application = yaml.safe_load(template)
    copy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("argocd", "runbooks"))
    (source,) = sources(application)
    file = copy.parent / source["path"] / "kustomization.yaml"
    overlay = yaml.safe_load(file.read_text())
    overlay["namespace"] = source["kustomize"]["namespace"]
    overlay["patches"] = [*overlay.get("patches", []), *source["kustomize"]["patches"]]
    file.write_text(yaml.safe_dump(overlay))
    return application, build_of(file.parent)


_PREVIEWS = [
    pytest.param("pull-requests", {"number": "12", "head_sha": "a" * 40}, "pr-12", id="request"),
    pytest.param("developers", {"developer": "ada", "ref": "ada/new"}, "dev-ada", id="developer"),
]


@pytest.mark.parametrize(("generator", "values", "name"), _PREVIEWS)
def test_a_generated_environment_is_its_own(tmp_path, generator, values, name):
    application, deployed = _preview(tmp_path, generator, values)
    namespace = f"airflow-{name}"
    dags = named(deployed, "ConfigMap", "onchain-agg-dags")["data"]
    ingresses = of_kind(deployed, "Ingress")

    assert refusals(application, projects()["previews"], deployed) == []
    assert {one["metadata"].get("namespace", namespace) for one in deployed} == {namespace}
    assert [one["metadata"]["name"] for one in of_kind(deployed, "Namespace")] == [namespace]
    assert dags["ref"] == list(values.values())[1]
    assert {
        (
            one["metadata"]["annotations"]["alb.ingress.kubernetes.io/group.name"],
            one["spec"]["rules"][0]["host"],
        )
        for one in ingresses
    } == {(f"onchain-agg.{name}", f"{name}.airflow-dev.example.com")}
    assert named(deployed, "StatefulSet", "postgres")
    assert named(deployed, "ResourceQuota", "onchain-agg")


@pytest.mark.parametrize(("generator", "values", "name"), _PREVIEWS)
def test_the_store_of_previews_serves_a_generated_environment(tmp_path, generator, values, name):
    _, deployed = _preview(tmp_path, generator, values)
    asked = {
        one["spec"]["secretStoreRef"]["name"]
        for one in of_kind(deployed, "ExternalSecret", "SecretStore")
    }
    patterns = [
        pattern
        for store in asked
        for condition in named(built("cluster"), "ClusterSecretStore", store)["spec"]["conditions"]
        for pattern in condition.get("namespaceRegexes", [])
    ]

    assert asked == {"onchain-agg.preview"}
    assert any(re.search(pattern, f"airflow-{name}") for pattern in patterns)
    assert not any(re.search(pattern, "airflow-prod") for pattern in patterns)


@pytest.mark.parametrize("name", ["pull-requests", "developers"])
def test_a_generated_environment_goes_with_its_reason(name):
    template = applications()[name]
    (generator,) = [one for one in argocd.manifests() if one["metadata"]["name"] == name]

    assert template["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert template["spec"]["project"] == "previews"
    assert generator["spec"]["goTemplateOptions"] == ["missingkey=error"]


def _wrong_in(name, text):
    """Return what is wrong in a developer's file."""
    said = yaml.safe_load(text)
    if set(said) != {"developer", "ref", "until"}:
        return "keys"
    # A part of a namespace and of a host.
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", said["developer"]):
        return "developer"
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(said["until"])):
        return "until"
    return None if name == said["developer"] else "name"


def test_developers_files_can_become_environments():
    files = (ARGOCD / "developers").glob("*.yaml")

    assert [path.name for path in files if _wrong_in(path.stem, path.read_text())] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param('developer: ada\nref: main\nuntil: "2026-12-18"', None, id="good"),
        pytest.param('developer: Ada\nref: main\nuntil: "2026-12-18"', "developer", id="capital"),
        pytest.param('developer: bob\nref: main\nuntil: "2026-12-18"', "name", id="another name"),
        pytest.param("developer: ada\nref: main\nuntil: soon", "until", id="no day"),
        pytest.param("developer: ada\nref: main", "keys", id="endless"),
    ],
)
def test_a_developers_file_is_refused_for_what_is_wrong(text, wrong):
    assert _wrong_in("ada", text) == wrong


def test_environments_past_their_day_are_deleted_and_no_other(tmp_path):
    today = date(2026, 12, 18)
    said = {
        "past": f'until: "{today - timedelta(days=1)}"',
        "today": f"until: {today}   # and a word",
        "later": f"until: '{today + timedelta(days=1)}'",
        "endless": "ref: main",
        "misspelt": "until: next friday",
    }
    for name, text in said.items():
        (tmp_path / f"{name}.yaml").write_text(f"developer: {name}\n{text}\n")

    result = subprocess.run(
        [ARGOCD / "expire-developers.sh", today.isoformat(), tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {path.stem for path in tmp_path.iterdir()} == {"today", "later"}
    assert "Deleting endless.yaml: its last day was not told." in result.stdout
