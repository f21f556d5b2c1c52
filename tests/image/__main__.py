"""`make image-check`: ops/k8s/Containerfile, built by buildah in a chroot, run as a pod runs it.

    python -m tests.image [--folder DIR] [--out DIR]

Reads     this checkout (what is not committed, too); ops/k8s/base/orderbooks.yaml
Writes    <out>/image_<date>.{md,json}; <folder>/, as the rehearsal of tests/vps; removes its images
Promises  exit 0 only if every step passed; what was started ends, whatever happens
Fails     SystemExit: no root, or a tool is missing, by name
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.venue import Venue
from tests.vps import image, launch
from tests.vps.image import ROOT
from tests.vps.machine import Ran, wait_for
from tests.vps.record import PASS, Record, Step, written
from tests.vps.repository import clone

TITLE = "The image of ops/k8s/Containerfile"
NOT_SHOWN = """\
* The base is a Debian 12 with its Python, made here by debootstrap: `FROM
  docker.io/library/python:3.12-slim-bookworm` was not pulled.
* pip took the wheels of requirements.lock from a directory: no package index was asked.
* No container engine ran it: a chroot has the pod's files, user and variables, but the network and
  the processes of the host, no read-only root, and no memory limit. No cluster ran it.
* The venue is the loopback venue of this checkout.
"""
PLAN = {
    "build": "every step of the Containerfile",
    "image": "its user, its command, what is left out",
    "run": "the command of the image, as the user of the pod: its slice, rows, proven copies",
    "stop": "TERM: sealed, whole, in peace",
}
USER = "10001:10001"
PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\n"
RUN_LIMIT_S, STOP_LIMIT_S = 120, 330
#: As statefulset.yaml gives them to pod 0 of two.
VARIABLES = {
    "ORDERBOOKS_SHARD": "0",
    "ORDERBOOKS_SHARDS": "2",
    "RCLONE_CONFIG_ARCHIVE_TYPE": "alias",
    "RCLONE_CONFIG_ARCHIVE_REMOTE": "/var/lib/orderbooks.remote/orderbooks-0",
    "CREDENTIALS_DIRECTORY": "/run/secrets/orderbooks",
}
MOUNTS = {
    "data": "/var/lib/orderbooks",
    "remote": "/var/lib/orderbooks.remote",
    "settings": "/etc/orderbooks:ro",
    "credentials": "/run/secrets/orderbooks:ro",
    "tmp": "/tmp",
}


class Builder:
    """buildah with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = ("--root", str(folder / "store"), "--runroot", str(folder / "runroot"))
        self._words = ("buildah", "--storage-driver", "vfs", *places)

    def ran(self, step: Step, *words: str | Path, cwd: Path = ROOT) -> str:
        """Run it to its end, noted; RuntimeError when it fails."""
        began_s, began_mono_s = time.time(), time.monotonic()
        command = [*self._words, *map(str, words)]
        done = subprocess.run(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        took_s = time.monotonic() - began_mono_s
        said = self._placeless(f"buildah {' '.join(map(str, words))}")
        out = self._placeless(done.stdout)
        step.ran(Ran(said, began_s, took_s, done.returncode, out), 0)
        if done.returncode:
            raise RuntimeError(f"{said}: {done.stdout[-500:]}")
        return done.stdout

    def _placeless(self, text: str) -> str:
        """As a report may show it."""
        return text.replace(str(self.folder), "…").replace(str(self.folder.parent), "…")

    def inside(self, container: str, pod: Path, *words: str) -> list[str]:
        """The words that run a command in the pod."""
        told = [f"--env={name}={value}" for name, value in VARIABLES.items()]
        told += [f"--volume={pod / name}:{place}" for name, place in MOUNTS.items()]
        chroot = ("run", "--isolation=chroot", f"--user={USER}")
        return [*self._words, *chroot, *told, container, "--", *words]


def build(builder: Builder, step: Step, made: Path) -> str:
    """The base, then the Containerfile; returns the working container."""
    base, source = builder.folder / "base", builder.folder / "source"
    subprocess.run(["cp", "-a", "--reflink=auto", str(made / "base"), str(base)], check=True)
    packages = base / "media/packages"
    shutil.copytree(made / "packages", packages)
    install = (
        "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv"
    )
    image.run("chroot", base, "sh", "-c", f"{install} >/dev/null 2>&1")
    shutil.rmtree(packages)
    step.check("made of", clone(source), holds=True)
    (builder.folder / "pip.conf").write_text(PIP_CONF)
    scratch = builder.ran(step, "from", "scratch").strip()
    builder.ran(step, "add", "--quiet", scratch, base, "/")
    builder.ran(step, "commit", "--quiet", "--rm", scratch, "python-base")
    builder.ran(
        step,
        *("bud", "--isolation=chroot", "--pull-never", "--from=localhost/python-base"),
        *("--file=ops/k8s/Containerfile", "--ignorefile=ops/k8s/Containerfile.dockerignore"),
        f"--volume={made / 'wheels'}:/wheels:ro",
        f"--volume={builder.folder / 'pip.conf'}:/etc/pip.conf:ro",
        *("--tag=orderbooks", "."),
        cwd=source,
    )
    return builder.ran(step, "from", "localhost/orderbooks").strip()


def look(builder: Builder, step: Step, container: str) -> list[str]:
    """What the image says of itself; returns its command."""
    told = json.loads(builder.ran(step, "inspect", "--type=container", container))
    config = told["OCIv1"]["config"]
    step.check(f"its user is {USER}", config["User"], holds=config["User"] == USER)
    command = [*config["Entrypoint"], *config["Cmd"]]
    wanted = ["orderbooks", "up", "--table", "/opt/orderbooks/pod.conf"]
    step.check("its command", command, holds=command == wanted)
    root = Path(builder.ran(step, "mount", container).strip())
    left = [
        each for each in (".git", "var", "reports") if (root / "opt/orderbooks" / each).exists()
    ]
    step.check("no history, no data, no reports", left or "none", holds=not left)
    foreign = image.run("find", root / "opt/orderbooks", "!", "-uid", "0")
    step.check("the code is root's", foreign or "all", holds=not foreign)
    return [str(each) for each in command]


class Pod:
    """The container, run as the pod runs it, beside a venue."""

    def __init__(self, builder: Builder, container: str, venue: Venue) -> None:
        self._folder = builder.folder / "pod"
        self._builder, self._container = builder, container
        for name in MOUNTS:
            (self._folder / name).mkdir(parents=True)
            os.chown(self._folder / name, *map(int, USER.split(":")))
        settings = (ROOT / "ops/k8s/base/orderbooks.yaml").read_text()
        urls = {"gamma_url": venue.url, "clob_url": venue.url, "ws_url": venue.ws_url}
        told = f"{settings}venue: {json.dumps(urls)}\n"
        (self._folder / "settings/orderbooks.yaml").write_text(told)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run a command in it."""
        words = tuple(self._builder.inside(self._container, self._folder, *words))
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ran(self, step: Step, *words: str) -> str:
        """Run one to its end, noted."""
        began_s, began_mono_s = time.time(), time.monotonic()
        process = self.start(*words)
        out, _ = process.communicate()
        took_s = time.monotonic() - began_mono_s
        step.ran(Ran(" ".join(words), began_s, took_s, process.returncode, out), 0)
        return out

    def is_fine(self, *words: str) -> bool:
        """True when it ends with 0."""
        process = self.start(*words)
        process.communicate()
        return process.returncode == 0

    def supervisord(self) -> int:
        """Its pid, which the chroot shares with this machine."""
        return int((self._folder / "data/run/supervisord.pid").read_text())

    def opened(self) -> list[Path]:
        """Segments that are being written."""
        return list((self._folder / "data/spool/open").rglob("*.open"))

    def copies(self) -> list[Path]:
        """What lies on the pod's own remote."""
        return list((self._folder / "remote/orderbooks-0").rglob("*.gz"))


def run(pod: Pod, step: Step) -> None:
    """Ask as the probes do, until files are proven."""
    wait_for(
        lambda: pod.is_fine("orderbooks", "health", "--look"), "the startup probe", RUN_LIMIT_S
    )
    wait_for(pod.opened, "rows", RUN_LIMIT_S)
    pod.ran(step, "orderbooks", "health", "--look")
    pod.ran(step, "orderbooks", "health")
    beats = pod.ran(step, "orderbooks", "ctl", "pid", "collector-00")
    step.check("the pod's collector runs", beats.strip(), holds=beats.strip().isdigit())
    owners = image.run("ps", "-o", "uid=", "--ppid", str(pod.supervisord())).split()
    step.check("its workers are 10001", owners, holds=set(owners) == {"10001"})
    # Its segments are sealed and published.
    pod.ran(step, "orderbooks", "ctl", "restart", "collector-00")
    wait_for(pod.copies, "a file on the pod's remote", RUN_LIMIT_S)
    step.check("files lie in the pod's own directory of the remote", len(pod.copies()), holds=True)
    pod.ran(step, "orderbooks", "offload", "verify")


def stop(pod: Pod, step: Step, up: subprocess.Popen[str]) -> None:
    """TERM to its first process."""
    began_s = time.monotonic()
    os.kill(pod.supervisord(), signal.SIGTERM)
    out, _ = up.communicate(timeout=STOP_LIMIT_S)
    step.shown = out
    took_s = time.monotonic() - began_s
    step.check("it ended in peace", f"{up.returncode}, {took_s:.0f} s", holds=up.returncode == 0)
    step.check("every segment is sealed", pod.opened() or "all", holds=not pod.opened())
    pod.ran(step, "orderbooks", "verify")
    pod.ran(step, "orderbooks", "coverage")


def main() -> int:
    """Take the steps, write the report, leave nothing."""
    arguments = launch.parser("tests.image", __doc__).parse_args()
    launch.make_image(arguments.folder, {"buildah": "buildah"})
    folder = arguments.folder / f"image-{int(time.time())}"
    folder.mkdir()
    record = _taken(Builder(folder), arguments.folder)
    words = {"title": TITLE, "made_by": "make image-check"}
    name = written(record, arguments.out, "image", NOT_SHOWN, **words)
    result = record.told()["result"]
    print(f"{result}  {name}.md")
    shutil.rmtree(folder)
    return 0 if result == PASS else 1


def _taken(builder: Builder, made: Path) -> Record:
    record = Record(PLAN, {"python": image.PYTHON, "suite": image.SUITE})
    container, command = "", ["true"]
    with record.step("build") as step:
        container = build(builder, step, made)
    with record.step("image") as step:
        command = look(builder, step, container)
    with Venue(builder.folder / "venue") as venue:
        pod = Pod(builder, container, venue)
        up = pod.start(*command)
        try:
            with record.step("run") as step:
                run(pod, step)
            with record.step("stop") as step:
                stop(pod, step, up)
        finally:
            if up.poll() is None:
                # Its workers hear of it from the kernel.
                os.kill(pod.supervisord(), signal.SIGKILL)
    return record


if __name__ == "__main__":
    sys.exit(main())
