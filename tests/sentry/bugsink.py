"""Bugsink on loopback: a real server that speaks Sentry's protocol, with sqlite in a temporary folder.

Promises  nothing of it leaves this machine (PHONEHOME is False: by default it would call home), no
          file outside its folder, gone with `close`
Needs     .venv-sentry (ops/setup.sh sentry)
"""

import json
import os
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.rig import ROOT, wait_for

VENV = ROOT / ".venv-sentry"
SETTINGS = """
BUGSINK["PHONEHOME"] = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES["default"]["NAME"] = "{folder}/db.sqlite3"
DATABASES["snappea"]["NAME"] = "{folder}/snappea.sqlite3"
"""
#: AuthToken.objects.create() would make a token that may read nothing.
PROJECT = """
from bsmain.models import AuthToken
from projects.models import Project
from teams.models import Team
project = Project.objects.create(name="orderbooks", team=Team.objects.create(name="ob"))
print("DSN", project.dsn)
print("TOKEN", AuthToken.create_full_access(description="e2e").token)
"""


class Bugsink:
    """One server with one project."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="ob-sentry-")
        self.folder = Path(self._temporary.name)
        self.port = _free_port()
        self.dsn = ""
        self._token = ""
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        create = ["--template=local", "--host=127.0.0.1", f"--port={self.port}"]
        self._run("bugsink-create-conf", *create)
        conf = self.folder / "bugsink_conf.py"
        conf.write_text(conf.read_text() + SETTINGS.format(folder=self.folder))
        for database in ("default", "snappea"):
            self._run("bugsink-manage", "migrate", "--database", database)
        said = self._run("bugsink-manage", "shell", given=PROJECT)
        words = dict(line.split() for line in said.splitlines() if line[:4] in {"DSN ", "TOKE"})
        self.dsn, self._token = words["DSN"], words["TOKEN"]
        # Without --no-control-socket gunicorn makes ~/.gunicorn.
        options = ["--workers=1", "--threads=2", "--no-control-socket"]
        bind = f"--bind=127.0.0.1:{self.port}"
        with (self.folder / "gunicorn.log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(VENV / "bin" / "gunicorn"), bind, *options, "bugsink.wsgi"],
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_ready, what="bugsink")

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}

    def _run(self, program: str, *words: str, given: str = "") -> str:
        done = subprocess.run(
            [str(VENV / "bin" / program), *words],
            cwd=self.folder,
            env=self._environment(),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"sentry: {program} ended with {done.returncode}: {done.stderr[-2000:]}"
            )
        return done.stdout

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2).close()
        except OSError:
            return False
        return True

    def api(self, path: str, *, method: str = "GET") -> Any:
        """What the server's REST answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/canonical/0/{path}",
            headers={"Authorization": f"Bearer {self._token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def issues(self) -> list[dict[str, Any]]:
        """Every issue of the project."""
        found: list[dict[str, Any]] = self.api("issues/?project=1")["results"]
        return found

    def received(self) -> int:
        """How many events it has taken in."""
        return sum(each["digested_event_count"] for each in self.issues())

    def events(self, issue: str) -> list[dict[str, Any]]:
        """The stored events of an issue, as they came."""
        listed = self.api(f"events/?issue={issue}")["results"]
        listed.sort(key=lambda each: each["digest_order"])
        return [self.api(f"events/{each['id']}/")["data"] for each in listed]

    def log(self) -> str:
        """What the server printed."""
        return (self.folder / "gunicorn.log").read_text()

    def close(self) -> None:
        """End it and remove its folder."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(20)
        self._temporary.cleanup()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
