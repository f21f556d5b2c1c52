"""The machine of the rehearsal: a directory in which systemd boots (systemd-nspawn).

Reads     a base directory, copied; directories bound read-only below /media
Writes    <folder>/root/, which outlives a machine that is killed; <folder>/console.log
Promises  it ends with the process that started it; a boot is over when systemd says so
Fails     RuntimeError when it does not come up, TimeoutError for a command without an end
Never     has a network but one cable to the bridge: the network it boots in is the caller's own
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "vps"
BRIDGE = "cable"
PLUG = f"vb-{NAME}"
"""Our end of the cable, as systemd-nspawn names it."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
BOOT_LIMIT_S = 120
REBOOTS = 133
"""How systemd-nspawn says to who started it that the machine asked for a reboot."""
COMMAND_LIMIT_S = 900
LOGIN = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
"""What root finds in the environment of such a machine."""
NETWORK = """[Match]
Name=host0
[Network]
Address={ours}/24
LinkLocalAddressing=no
"""
#: The settings take plain http from this machine alone; a relay of its own reaches the venue.
RELAY = "/lib/systemd/systemd-socket-proxyd"
RELAY_SOCKET = "[Socket]\nListenStream=127.0.0.1:%i\n"
RELAY_SERVICE = """[Unit]
Requires=relay@%i.socket
[Service]
ExecStart={relay} {theirs}:%i
"""


@dataclass(frozen=True)
class Ran:
    """A command that was given in the machine, and what came of it."""

    command: str
    began_s: float
    took_s: float
    code: int
    out: str


@dataclass(frozen=True)
class Process:
    """A process of the machine, by its pid out here."""

    pid: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Wiring:
    """Both ends of the cable, and the ports of theirs that our loopback reaches."""

    ours: str
    theirs: str
    ports: tuple[int, ...]


class Machine:
    """One machine; off until `boot`."""

    def __init__(self, folder: Path, base: Path, media: dict[str, Path], wiring: Wiring) -> None:
        self.root = folder / "root"
        self._console = folder / "console.log"
        self._media = media
        self._nspawn: subprocess.Popen[bytes] | None = None
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(self.root)], check=True)
        self._wire(wiring)
        # A journal that outlives a machine that is killed.
        (self.root / "var/log/journal").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/hostname").write_text(f"{NAME}\n")

    def _wire(self, wiring: Wiring) -> None:
        units = self.root / "etc/systemd/system"
        network = self.root / "etc/systemd/network/10-cable.network"
        network.write_text(NETWORK.format(ours=wiring.ours))
        (units / "relay@.socket").write_text(RELAY_SOCKET)
        (units / "relay@.service").write_text(
            RELAY_SERVICE.format(relay=RELAY, theirs=wiring.theirs)
        )
        _link(units / "multi-user.target.wants", "/lib/systemd/system/systemd-networkd.service")
        for port in wiring.ports:
            _link(units / "sockets.target.wants", "../relay@.socket", f"relay@{port}.socket")

    def boot(self) -> float:
        """Switch it on; returns the seconds until systemd was through with its start."""
        binds = [f"--bind-ro={path}:/media/{name}" for name, path in self._media.items()]
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [
                    *(*DIES_WITH_US, "systemd-nspawn", "--quiet", f"--machine={NAME}"),
                    *("--register=no", "--keep-unit", f"--network-bridge={BRIDGE}"),
                    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
                    *("--console=pipe", f"--directory={self.root}", *binds, "--boot"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        return self._wait_up()

    def _wait_up(self) -> float:
        began_s = time.monotonic()

        def up() -> bool:
            if self._nspawn is None or self._nspawn.poll() is not None:
                raise RuntimeError(f"the machine ended: {self._console.read_text()[-2000:]}")
            if not self.leader():
                return False
            said = self.run("systemctl is-system-running").out.strip()
            return said in ("running", "degraded")

        wait_for(up, "systemd to be up", BOOT_LIMIT_S)
        return time.monotonic() - began_s

    def leader(self) -> int:
        """The pid of its systemd out here; 0 when it has none."""
        if self._nspawn is None:
            return 0
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        try:
            children = path.read_text().split()
        except OSError:
            return 0
        return int(children[0]) if children else 0

    def run(self, command: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Give a command to a shell in it, as root would who is logged in."""
        wall_s, began_s = time.time(), time.monotonic()
        enter = ["nsenter", f"--target={self.leader()}", "--all", "env", "-i"]
        settings = [f"{name}={value}" for name, value in {**LOGIN, **(environment or {})}.items()]
        done = subprocess.run(
            [*enter, *settings, "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        out = done.stdout.decode(errors="replace")
        return Ran(command, wall_s, time.monotonic() - began_s, done.returncode, out)

    def processes(self, *words: str) -> list[Process]:
        """Its processes whose command has all these words."""
        leader = self.leader()
        try:
            space = str(Path(f"/proc/{leader}/ns/pid").readlink()) if leader else ""
        except OSError:
            return []
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if space and str((path / "ns/pid").readlink()) == space:
                    told = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    found.append(Process(int(path.name), tuple(told)))
            except OSError:
                continue
        return [each for each in found if set(words) <= set(each.words)]

    def kill(self) -> None:
        """End all of it at once: SIGKILL to its first process."""
        assert self._nspawn is not None
        os.kill(self.leader(), signal.SIGKILL)
        self._nspawn.wait(60)

    def wait_off(self, limit_s: float) -> int:
        """Wait until it has switched itself off; REBOOTS when it wants to be switched on again."""
        assert self._nspawn is not None
        return self._nspawn.wait(limit_s)

    def plug(self, state: str) -> None:
        """Set our end of its cable `up` or `down`."""
        subprocess.run(["ip", "link", "set", PLUG, state], check=True)

    def close(self) -> None:
        """Switch it off, however it is."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return
        if self.leader():
            self.kill()
        self._nspawn.kill()
        self._nspawn.wait(60)


def _link(folder: Path, to: str, name: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name or Path(to).name)).symlink_to(to)


def wait_for(condition: Callable[[], object], what: str, limit_s: float) -> None:
    """Wait until it holds.

    Raises:
        RuntimeError: it does not within the limit.
    """
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {limit_s:.0f} s in vain for {what}")
        time.sleep(0.5)
