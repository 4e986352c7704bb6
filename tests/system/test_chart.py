"""What the chart makes of its values, rendered by Helm itself and checked against the schemas of Kubernetes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from services.api import PREFIX
from services.runtime.serving import LONGEST_ENDING
from services.wiring.distributed import to_kafka_access
from services.wiring.settings import DistributedSettings, EnvironmentSettings, KafkaSettings
from tests.support.kubernetes import VERSIONS, run, schemas

pytestmark = pytest.mark.long

CHART = Path(__file__).parents[2] / "deploy/chart"
FACTS = yaml.safe_load((CHART / "services.yaml").read_text("utf-8"))
FULL_VALUES = CHART / "ci/full-values.yaml"
FULL = yaml.safe_load(FULL_VALUES.read_text("utf-8"))
VALUES = {"default": (), "full": ("--values", str(FULL_VALUES))}

Object = dict[str, Any]
S = TypeVar("S", bound=EnvironmentSettings)


@cache
def _rendered(kind: str, version: str, *more: str) -> str:
    status, text = run("helm", "template", "fleet", str(CHART), "--kube-version", f"{version}.0", *VALUES[kind], *more)
    assert status == 0, text
    return text


def _objects(kind: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(_rendered(kind, VERSIONS[-1])) if each]


def _pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Each template of a pod, by its component."""
    for each in objects:
        if each["kind"] in ("Deployment", "Job"):
            pod = each["spec"]["template"]
            yield pod["metadata"]["labels"]["app.kubernetes.io/component"], pod


def _containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def _environment(container: Object) -> dict[str, str]:
    """Its variables; each has a value of its own, so none comes from a Secret by way of the environment."""
    return {each["name"]: each["value"] for each in container["env"]}


def _conforms(text: str, version: str) -> tuple[int, str]:
    location = f"{schemas(version)}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return run("kubeconform", "-strict", "-summary", "-schema-location", location, "-", stdin=text)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", VALUES)
def test_everything_is_as_kubernetes_has_it(kind: str, version: str) -> None:
    status, said = _conforms(_rendered(kind, version), version)
    assert status == 0, said
    assert f"Valid: {len(_objects(kind))}, Invalid: 0, Errors: 0, Skipped: 0" in said


def test_what_kubernetes_does_not_have_would_be_found() -> None:
    text = _rendered("default", VERSIONS[-1])
    for old, new in (("enableServiceLinks: false", "enableServiceLink: false"), ("replicas: 2", "replicas: two")):
        assert old in text
        status, said = _conforms(text.replace(old, new, 1), VERSIONS[-1])
        assert (status, "Invalid: 1" in said) == (1, True), said


@pytest.mark.parametrize("kind", VALUES)
def test_helm_has_nothing_to_say_against_it(kind: str) -> None:
    status, said = run("helm", "lint", "--strict", "--kube-version", f"{VERSIONS[-1]}.0", str(CHART), *VALUES[kind])
    assert status == 0, said


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("settings.DRIVERLINK_LOGLEVEL=debug", "DRIVERLINK_LOGLEVEL"),
        ("settings.DRIVERLINK_LOG_LEVEL=loud", "DRIVERLINK_LOG_LEVEL"),
        ("settings.DRIVERLINK_SECRET_KEY=open", "DRIVERLINK_SECRET_KEY"),
        ("services.projector-motiv.enabled=true", "projector-motiv"),
        ("terminationGracePeriodSeconds=25", "terminationGracePeriodSeconds"),
    ],
)
def test_helm_refuses_what_is_not_a_value(given: str, named: str) -> None:
    status, said = run("helm", "template", "fleet", str(CHART), "--kube-version", "1.37.0", "--set", given)
    assert status == 1
    assert named in said


@pytest.mark.parametrize("kind", VALUES)
def test_no_pod_has_a_right_that_it_does_not_need(kind: str) -> None:
    """What the Pod Security Standard `restricted` demands, and more."""
    for component, pod in _pods(_objects(kind)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        claims = {"persistentVolumeClaim"} if component == "command" else set()
        assert {name for volume in spec["volumes"] for name in volume} <= {"name", "emptyDir", "projected", *claims}
        for container in _containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("kind", VALUES)
def test_everything_of_a_service_is_meant_for_its_pods(kind: str) -> None:
    objects = _objects(kind)
    labels = {component: pod["metadata"]["labels"] for component, pod in _pods(objects)}
    chosen: dict[str, list[str]] = {}
    for each in objects:
        spec = each.get("spec", {})
        wanted = spec.get("podSelector") or spec.get("selector") or {}
        wanted = wanted.get("matchLabels", wanted)
        if each["kind"] in ("Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"):
            meant = [component for component, own in labels.items() if wanted.items() <= own.items()]
            assert meant == [each["metadata"]["labels"]["app.kubernetes.io/component"]], each["metadata"]["name"]
            chosen.setdefault(each["kind"], []).extend(meant)
    assert sorted(chosen["NetworkPolicy"]) == sorted(labels)
    assert sorted(chosen["Deployment"]) == sorted(chosen["PodDisruptionBudget"])
    assert chosen["Service"] == ["api"]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)


def test_every_service_has_its_replicas() -> None:
    for kind, expected in (("full", FULL), ("default", yaml.safe_load((CHART / "values.yaml").read_text("utf-8")))):
        replicas = {
            each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["replicas"]
            for each in _objects(kind)
            if each["kind"] == "Deployment"
        }
        assert replicas == {name: own["replicas"] for name, own in expected["services"].items() if own["enabled"]}


def _as_read(container: Object, folder: Path, kind: type[S]) -> S:
    """The settings as the process in this container reads them, with the files of its secrets in this folder."""
    given: dict[str, object] = {}
    for variable, value in _environment(container).items():
        name = variable.removeprefix(PREFIX).lower()
        if name in kind.model_fields:
            path = folder / variable
            path.write_text("a secret of more than thirty-two characters", "utf-8")
            given[name] = path if name.endswith("_file") else value
    return kind.model_validate(given)


def test_every_process_reads_the_settings_that_were_given(tmp_path: Path) -> None:
    for component, pod in _pods(_objects("full")):
        own = FULL["services"].get(component, FULL["migration"]).get("settings", {})
        for container in _containers(pod):
            connects = component != "api" and container["name"] != "database"
            wanted = {
                name: value
                for name, value in {**FULL["settings"], **own}.items()
                if connects or not name.startswith("DRIVERLINK_KAFKA_") or name.endswith(("_PARTITIONS", "_PREFIX"))
            }
            stated = DistributedSettings.model_construct(
                **{name.removeprefix(PREFIX).lower(): value for name, value in wanted.items()}
            )
            read = _as_read(container, tmp_path, DistributedSettings).model_dump(
                mode="json", include=stated.model_fields_set
            )
            for name in stated.model_fields_set:
                assert str(read[name]).rstrip("/") == str(_as_number(getattr(stated, name), read[name])), name


def _as_number(stated: object, read: object) -> object:
    return float(stated) if isinstance(read, float) and isinstance(stated, int) else stated


def test_every_process_has_the_secrets_that_it_needs_and_no_other() -> None:
    for component, pod in _pods(_objects("full")):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in _containers(pod):
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            files = {
                f"{mounts[name]}/{item['path']}": (source["secret"]["name"], item["key"])
                for name in mounts
                for source in volumes[name].get("projected", {}).get("sources", ())
                for item in source["secret"]["items"]
            }
            own = FULL["services"].get(component, FULL["migration"]).get("secrets", {})
            named = {name: path for name, path in _environment(container).items() if name.endswith("_FILE")}
            assert {name for name in named if name != "DRIVERLINK_API_KEY_FILE"} == _needed(
                component, container["name"]
            )
            for name, path in named.items():
                stated = {**FULL["secrets"], **own}.get(name, FULL["secrets"]["DRIVERLINK_ADMIN_KEY_FILE"])
                assert files[path] == (stated["name"], stated["key"]), name
            assert set(files) - set(named.values()) == {"/run/files/database_ca.crt"}


def _needed(component: str, container: str) -> set[str]:
    kafka = {f"DRIVERLINK_KAFKA_{name}_FILE" for name in ("CA", "CERTIFICATE", "KEY", "PASSWORD")}
    database = {"DRIVERLINK_DATABASE_PASSWORD_FILE"}
    opening = {f"DRIVERLINK_{name}_FILE" for name in ("SECRET_KEY", "PROFILE_MASTER_KEY", "FORMER_PROFILE_MASTER_KEYS")}
    match component, container:
        case "migration", "database":
            return {*database, *opening}
        case "migration", _:
            return kafka
        case "command", _:
            return {*database, *kafka, *opening}
        case "api", _:
            return {*database, *FACTS["api"]["secrets"]}
    return {*database, *kafka, *FACTS[component].get("secrets", ())}


def test_topics_are_created_without_a_database(tmp_path: Path) -> None:
    job = next(pod for component, pod in _pods(_objects("full")) if component == "migration")
    database, topics = _containers(job)
    assert (database["args"], topics["args"]) == (["database", "migrate"], ["topics", "create"])
    settings = _as_read(topics, tmp_path, KafkaSettings)
    assert to_kafka_access(settings).servers == tuple(FULL["settings"]["DRIVERLINK_KAFKA_SERVERS"].split(","))


def test_tables_are_there_before_a_process_starts() -> None:
    hooks = {
        each["kind"]: each["metadata"]["annotations"]
        for each in _objects("default")
        if "helm.sh/hook" in each["metadata"].get("annotations", {})
    }
    assert set(hooks) == {"Job", "NetworkPolicy"}
    assert {each["helm.sh/hook"] for each in hooks.values()} == {"pre-install,pre-upgrade"}
    weights = {kind: int(each["helm.sh/hook-weight"]) for kind, each in hooks.items()}
    assert weights["NetworkPolicy"] < weights["Job"]


def test_a_process_is_given_more_time_to_end_than_it_takes() -> None:
    for kind in VALUES:
        for component, pod in _pods(_objects(kind)):
            (*_, container) = _containers(pod)
            drained = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert (drained > 0) == (component == "api")
            if "terminationGracePeriodSeconds" in pod["spec"]:
                assert pod["spec"]["terminationGracePeriodSeconds"] - drained > LONGEST_ENDING


def test_probes_ask_where_the_process_answers() -> None:
    for kind, port in (("default", 8080), ("full", 8090)):
        for component, pod in _pods(_objects(kind)):
            for container in _containers(pod):
                if component not in FACTS:
                    assert not {"livenessProbe", "readinessProbe", "startupProbe", "ports"} & set(container)
                    continue
                assert container["ports"] == [{"name": "http", "containerPort": port, "protocol": "TCP"}]
                paths = {
                    name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
                }
                assert paths == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}
                assert _environment(container)["DRIVERLINK_HTTP_PORT"] == str(port)


@pytest.mark.parametrize("kind", VALUES)
def test_only_the_api_is_reached_and_only_those_that_call_get_out(kind: str) -> None:
    database, kafka, outside = {"default": (5432, 9092, 443), "full": (5433, 9093, 8443)}[kind]
    for each in _objects(kind):
        if each["kind"] == "NetworkPolicy":
            component = each["metadata"]["labels"]["app.kubernetes.io/component"]
            facts = FACTS.get(component, {"database": True, "kafka": True})
            spec = each["spec"]
            assert spec["policyTypes"] == ["Ingress", "Egress"]
            assert ("ingress" in spec) == (component == "api")
            reached = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
            assert 53 in reached
            assert (database in reached, kafka in reached, outside in reached) == (
                facts.get("database", False),
                facts.get("kafka", False),
                facts.get("outside", False),
            ), component


def test_no_private_address_is_reached_as_one_outside() -> None:
    policies = [each for each in _objects("default") if each["metadata"]["name"] == "fleet-projector-motive"]
    (outside,) = (
        rule
        for each in policies
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"]["egress"]
        if {"protocol": "TCP", "port": 443} in rule["ports"]
    )
    version_4, version_6 = (peer["ipBlock"] for peer in outside["to"])
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(version_4["except"])
    assert {"fc00::/7", "fe80::/10"} <= set(version_6["except"])


def test_archives_are_kept_in_a_volume_of_their_own() -> None:
    pod = dict(_pods(_objects("full")))["command"]
    assert {"name": "archives", "persistentVolumeClaim": {"claimName": "archives"}} in pod["spec"]["volumes"]
    assert {"name": "archives", "mountPath": "/archives"} in _containers(pod)[0]["volumeMounts"]


def test_a_command_is_rendered_alone_and_only_where_it_is_asked_for() -> None:
    assert "command" not in dict(_pods(_objects("default")))
    text = _rendered(
        "default",
        VERSIONS[-1],
        "--set",
        "command={rebuild,--check},migration.enabled=false",
        "--show-only",
        "templates/jobs.yaml",
    )
    job = [each for each in yaml.safe_load_all(text) if each and each["kind"] == "Job"]
    assert [_containers(each["spec"]["template"])[0]["args"] for each in job] == [["rebuild", "--check"]]
    assert job[0]["spec"]["template"]["spec"]["volumes"][0]["emptyDir"] == {"sizeLimit": "2Gi"}
