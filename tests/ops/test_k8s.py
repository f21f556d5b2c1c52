"""Holds ops/k8s: the table of a pod, what kustomize makes of it, and the schemas of Kubernetes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from supervisor.options import ServerOptions

from tests.processes.fleet_rig import CONF, FleetRig, quick
from tests.processes.shipyard import yard
from tests.remotes.servers import Local
from tests.rig import ROOT, wait_for
from tests.venue import Venue

K8S = ROOT / "ops/k8s"
API_VERSION = "1.32"
SCHEMAS = ROOT / ".venv-k8s/bin/python"
VALIDATE = f"""
import json, sys, kubernetes_validate
for document in json.load(sys.stdin):
    kubernetes_validate.validate(document, "{API_VERSION}", strict=True)
"""


def table() -> str:
    """The table of a pod, as its image makes it."""
    sed = ["sed", "-f", str(K8S / "table.sed"), str(CONF)]
    return subprocess.run(sed, check=True, capture_output=True, text=True).stdout


def rendered(folder: str) -> list[dict[str, Any]]:
    """What kustomize makes of a directory."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    made = subprocess.run(
        ["kubectl", "kustomize", str(K8S / folder)], check=True, capture_output=True, text=True
    )
    return list(yaml.safe_load_all(made.stdout))


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(documents)["env"]}


def test_the_table_of_a_pod_differs_from_the_fleets_only_in_its_shards():
    theirs, ours = CONF.read_text().splitlines(), table().splitlines()
    ours = [each for each in ours if not each.startswith("numprocs_start=")]

    assert len(theirs) == len(ours)
    changed = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    assert {"numprocs", "command"} == {re.split("=", each, maxsplit=1)[0] for each, _ in changed}
    for before, after in changed:
        shards = before.replace("%(numprocs)d", "%(ENV_ORDERBOOKS_SHARDS)s")
        assert after in {shards, "numprocs=1"}


def test_a_pod_is_one_collector_with_the_shard_of_the_pods_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("log", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "pod.conf").write_text(table())
    ours = {"DATA": str(tmp_path), "CONFIG": "/c", "PYTHON": sys.executable}
    for name, value in {**ours, "SHARD": "2", "SHARDS": "4"}.items():
        monkeypatch.setenv(f"ORDERBOOKS_{name}", value)
    options = ServerOptions()

    options.realize(["-c", str(tmp_path / "pod.conf")], doc="")

    groups = options.process_group_configs
    commands = {each.name: each.command for group in groups for each in group.process_configs}
    assert commands["collector-02"].endswith("--shard=2 --shards=4")
    assert commands["streamer-02"].endswith("--shard=2 --shards=4")
    assert {"discovery", "normalizer", "uploader", "watchdog"} == {
        each for each in commands if not each.endswith("-02")
    }


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FleetRig]:
    monkeypatch.setenv("ORDERBOOKS_SHARD", "1")
    monkeypatch.setenv("ORDERBOOKS_SHARDS", "2")
    with (
        Venue(tmp_path / "venue", lines=("btc-5m",)) as venue,
        FleetRig(venue.url, **quick()) as rig,
    ):
        yield rig


@pytest.mark.slow
def test_the_fleet_of_a_pod_takes_its_slice_and_its_probes_answer(rig: FleetRig):
    pod = rig.folder / "pod.conf"
    pod.write_text(table().replace("%(here)s", str(ROOT)))
    rig.up("--table", str(pod))

    rig.wait_for_beats("watchdog", "collector-01")

    beat = rig.beat("collector-01")
    assert (1, 2) == (beat.shard, beat.shards)
    assert rig.process("collector-00") is None
    wait_for(rig.data.latest("health").exists)
    family = [rig.supervisord, *rig.supervisord.children()]
    taken = sum(each.memory_full_info().pss for each in family)
    wanted = container(rendered("base"))["resources"]["requests"]["memory"]
    assert taken < int(wanted.removesuffix("Mi")) << 20
    probe = container(rendered("base"))["livenessProbe"]["exec"]["command"]
    assert ["orderbooks", "health", "--look"] == probe
    asked = subprocess.run(rig.command(*probe[1:]), cwd=ROOT, check=False, capture_output=True)
    assert 0 == asked.returncode, asked.stdout
    assert 0 == rig.ctl("shutdown").returncode


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_the_number_of_shards_is_the_number_of_pods(folder: str):
    documents = rendered(folder)

    replicas = one(documents, "StatefulSet")["spec"]["replicas"]

    assert str(replicas) == environment(documents)["ORDERBOOKS_SHARDS"]
    assert replicas == {"base": 2, "overlays/example": 4}[folder]


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_a_pods_remote_is_its_own_and_its_name_stands_before_where_it_is_used(folder: str):
    """Kubernetes expands $(NAME) only from what stands above; the rest it leaves as it is."""
    variables = environment(rendered(folder))
    names = list(variables)

    assert variables["RCLONE_CONFIG_ARCHIVE_REMOTE"].endswith("/$(POD_NAME)")
    assert names.index("POD_NAME") < names.index("RCLONE_CONFIG_ARCHIVE_REMOTE")


def test_no_secret_stands_in_what_is_applied_and_the_credentials_are_files():
    documents = rendered("overlays/example")
    spec = one(documents, "StatefulSet")["spec"]["template"]["spec"]

    assert "Secret" not in {each["kind"] for each in documents}
    (credentials,) = (each["secret"] for each in spec["volumes"] if "secret" in each)
    # edge/credentials.py refuses what others may read.
    assert not credentials["defaultMode"] & 0o007
    (mount,) = (
        each for each in container(documents)["volumeMounts"] if each["name"] == "credentials"
    )
    assert mount["mountPath"] == environment(documents)["CREDENTIALS_DIRECTORY"]


def test_nobody_is_killed_in_the_middle_of_a_stop():
    seconds = [int(each) for each in re.findall(r"^stopwaitsecs=(\d+)", table(), re.MULTILINE)]
    spec = one(rendered("base"), "StatefulSet")["spec"]["template"]["spec"]

    assert sum(seconds) < spec["terminationGracePeriodSeconds"]


def test_the_settings_of_a_pod_have_no_mistake():
    check = [sys.executable, "-m", "workers.edge.settings_file", "check"]
    path = K8S / "base/orderbooks.yaml"

    said = subprocess.run(
        [*check, str(path)], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert (0, "") == (said.returncode, said.stderr)
    settings = yaml.safe_load(path.read_text())
    mounts = {each["mountPath"] for each in container(rendered("base"))["volumeMounts"]}
    assert settings["data_dir"] in mounts


def valid(documents: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    if not SCHEMAS.exists():
        pytest.skip("the schemas are not installed here; ops/setup.sh k8s does")
    return subprocess.run(
        [str(SCHEMAS), "-c", VALIDATE],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_every_object_fits_its_schema_and_a_misspelled_member_does_not(folder: str):
    documents = rendered(folder)

    found = valid(documents)

    assert 0 == found.returncode, found.stderr[-2000:]
    one(documents, "StatefulSet")["spec"]["template"]["spec"]["restartPolicyy"] = "Always"
    assert "restartPolicyy" in valid(documents).stderr


def test_the_image_is_made_of_files_that_are_here():
    lines = (K8S / "Containerfile").read_text()

    for name in re.findall(r"(?:ops|config|workers)/[\w./-]+|supervisord\.conf", lines):
        assert (ROOT / name).exists(), name
    assert "USER 10001:10001" in lines
    spec = one(rendered("base"), "StatefulSet")["spec"]["template"]["spec"]
    assert 10001 == spec["securityContext"]["runAsUser"]


def test_files_go_to_the_directory_of_their_pod_and_are_proven_there(tmp_path: Path):
    remote = Local(tmp_path / "pod-1")
    behind_a_name = {
        "RCLONE_CONFIG_ARCHIVE_TYPE": "alias",
        "RCLONE_CONFIG_ARCHIVE_REMOTE": remote.remote,
    }
    with yard(tmp_path / "yard", remote) as made:
        made.offload["remote"] = "archive:"
        made.environment = behind_a_name
        segments = made.publish(1000, 2000)
        process = made.start()

        made.wait_done(*segments)

        made.stop(process)
        made.assert_there(*segments)
