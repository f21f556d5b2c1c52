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
Name={cable}
[Network]
Address={ours}/24
LinkLocalAddressing=no
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


class Machine:
    """One machine; off until `boot`."""

    boot_limit_s = 120

    def __init__(self, folder: Path, base: Path, media: dict[str, Path], address: str) -> None:
        self.root = folder / "root"
        self._console = folder / "console.log"
        self._media = media
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(self.root)], check=True)
        wire(self.root, address, "host0")
        # A journal that outlives a machine that is killed.
        (self.root / "var/log/journal").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/hostname").write_text(f"{NAME}\n")

    def boot(self) -> float:
        """Switch it on; returns the seconds until systemd was through with its start."""
        binds = [f"--bind-ro={path}:/media/{name}" for name, path in self._media.items()]
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
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
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"the machine ended: {self._console.read_text()[-2000:]}")
            if not self.leader():
                return False
            said = self.run("systemctl is-system-running").out.strip()
            return said in ("running", "degraded")

        wait_for(up, "systemd to be up", self.boot_limit_s)
        return time.monotonic() - began_s

    def archive(self) -> Path:
        """The archive, as files of this machine."""
        return self.root / "var/lib/orderbooks"

    def leader(self) -> int:
        """The pid of its systemd out here; 0 when it has none."""
        if self._process is None:
            return 0
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
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
        assert self._process is not None
        os.kill(self.leader(), signal.SIGKILL)
        self._process.wait(60)

    def wait_off(self, limit_s: float) -> int:
        """Wait until it has switched itself off; REBOOTS when it wants to be switched on again."""
        assert self._process is not None
        return self._process.wait(limit_s)

    def plug(self, state: str) -> None:
        """Set our end of its cable `up` or `down`."""
        subprocess.run(["ip", "link", "set", PLUG, state], check=True)

    def close(self) -> None:
        """Switch it off, however it is."""
        if self._process is None or self._process.poll() is not None:
            return
        if self.leader():
            self.kill()
        self._process.kill()
        self._process.wait(60)


def wire(root: Path, address: str, cable: str) -> None:
    """Give a machine's disk its end of the cable."""
    units = root / "etc/systemd/system"
    network = root / "etc/systemd/network/10-cable.network"
    network.write_text(NETWORK.format(cable=cable, ours=address))
    link(units / "multi-user.target.wants", "/lib/systemd/system/systemd-networkd.service")


def link(folder: Path, to: str) -> None:
    """Enable a unit, as systemctl would."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / Path(to).name).symlink_to(to)


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
