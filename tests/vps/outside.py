"""What lies outside of the machine, at the other end of its cable: the venue, Sentry, a remote.

The venue answers to a name that a name server knows, behind TLS of an authority of its own.

Writes    <folder>/{venue, sentry, remote}/, certificates
Promises  everything listens on loopback; what the machine reaches is a relay on the bridge
Never     runs in a network that has another way out: the caller made one of its own (unshare)
"""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.edge.sentry import LoopbackSentry
from tests.remotes.servers import KEY_ID, S3, SECRET_KEY
from tests.vps.address import GONE, Front, Names
from tests.vps.machine import BRIDGE, DIES_WITH_US

ROOT = Path(__file__).parents[2]
RELAY = "/lib/systemd/systemd-socket-proxyd"
HERE, MACHINE = "10.77.0.1", "10.77.0.2"
VENUE_PORT, CHANNEL_PORT, SENTRY_PORT, S3_PORT = 8001, 8002, 8003, 8004
RCLONE_CONF = f"""[away]
type = s3
provider = Rclone
endpoint = http://{HERE}:{S3_PORT}
access_key_id = {KEY_ID}
secret_access_key = {SECRET_KEY}
"""


class Outside:
    """The network and what answers in it."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "outside.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        for words in (
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"addr add {HERE}/24 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        self.sentry = LoopbackSentry().__enter__()
        self.remote = S3(folder / "remote")
        self.remote.start()
        venue = self._start(
            *(sys.executable, "-m", "tests.venue", "--state-dir", str(folder / "venue")),
            *("--seed", "5", "--markets", "btc-5m,btc-15m,btc-1h,btc-4h,btc-1d"),
            *("--changes-per-s", "2"),
        )
        assert venue.stdout is not None
        told = json.loads(venue.stdout.readline())
        channel = urlsplit(told["ws_url"]).port or 0
        self.names = Names(HERE, HERE)
        self.front = Front(folder, HERE, {VENUE_PORT: told["port"], CHANNEL_PORT: channel})
        self._relay(SENTRY_PORT, urlsplit(self.sentry.dsn).port or 0)
        self._relay(S3_PORT, self.remote.port)

    @property
    def dsn(self) -> str:
        """Sentry's address as the machine reaches it."""
        return f"http://{urlsplit(self.sentry.dsn).username}@{HERE}:{SENTRY_PORT}/7"

    def _relay(self, port: int, to: int) -> None:
        listen = f"--listen={HERE}:{port}"
        self._start("systemd-socket-activate", listen, RELAY, f"127.0.0.1:{to}")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*DIES_WITH_US, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
            )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End it."""
        self.names.say(GONE)
        self.front.close()
        self.sentry.__exit__()
        self.remote.stop()
        for process in self._processes:
            process.terminate()
            process.wait(30)
