"""A virtual machine for the rehearsal: User Mode Linux, a kernel of its own under a systemd of its own.

Reads     the image that `image` makes; directories shown read-only below /media (hostfs)
Writes    <folder>/: what it changes of its system disk, its data disk (disk.LoggedDisk), console.log
Promises  `kill` is a power cut: what its kernel had in memory is gone. Every write and flush of the
          data disk since the last boot is in its log, for cuts of a disk whose cache forgets. That
          disk is virtio's: the ubd driver of this kernel (6.1) drops flushes
Fails     RuntimeError when it does not come up; ConnectionError when it dies during a command
Never     has a network but the cable, and a second one that only commands take
"""

import hashlib
import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.vps import image
from tests.vps.disk import LoggedDisk, mounted
from tests.vps.machine import (
    BRIDGE,
    COMMAND_LIMIT_S,
    DIES_WITH_US,
    LOGIN,
    NAME,
    PLUG,
    REBOOTS,
    Machine,
    Process,
    Ran,
    link,
    wire,
)

TOOLS = {"linux.uml": "user-mode-linux", "mke2fs": "e2fsprogs"}
MODULES = Path("/usr/lib/uml/modules")
#: What a machine has and a container has not.
MACHINE_HAS = ("udev", "kmod")
SYSTEM_BYTES, DATA_BYTES = 8 << 30, 16 << 30
SMALL_TABLES = ("-i", "262144", "-J", "size=16")
"""Of a file system that is copied for each of its states."""
MEMORY = "2048M"
DATA = "/var/lib/orderbooks"
HANDS, HANDS_HERE, HANDS_PORT = "10.78.0.2", "10.78.0.1", 7
HANDS_TAP = "hands"
#: Reads a command to its end, says what came of it, and its exit code.
LISTEN = """[Socket]
ListenStream={hands}:{port}
FreeBind=yes
Accept=yes
"""
OBEY = """[Service]
ExecStart=/bin/sh -c 'sh -c "$$(cat)" 2>&1 </dev/null; printf "\\nexit %%d" $$?'
StandardInput=socket
StandardOutput=socket
StandardError=journal
KillMode=process
"""
SECOND_CABLE = "[Match]\nName=vec1\n[Network]\nAddress={hands}/24\nLinkLocalAddressing=no\n"
DISKS = f"""/dev/ubda / ext4 defaults,noatime 0 1
/dev/vda {DATA} ext4 defaults,noatime 0 2
none /media hostfs ro 0 0
"""
RESTARTS = "reboot: Restarting system"
"""The kernel's last word before it is to be switched on again."""
BLOCK_DEVICE = 2
"""virtio's number of such devices."""
#: Without it the kernel believes that the disk has no cache, and never flushes it.
CACHE = 'ACTION=="add", KERNEL=="vda", ATTR{cache_type}="write back"\n'


def kernels() -> list[str]:
    """The kernels that there are modules for: one, as Debian ships it."""
    return sorted(each.name for each in MODULES.iterdir())


def make_image(folder: Path, address: str) -> Path:
    """The system disk that every machine starts from; made once."""
    of = f"{kernels()} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
    image.once(folder / "machine", of, lambda new: _make(new, folder, address))
    return folder / "machine/system.img"


def _make(new: Path, folder: Path, address: str) -> None:
    root = new / "root"
    new.mkdir()
    image.run("cp", "-a", folder / "base", root)
    image.install(root, MACHINE_HAS)
    wire(root, address, "vec0")
    (root / "etc/hostname").write_text(f"{NAME}\n")
    (root / "etc/fstab").write_text(DISKS)
    (root / "etc/udev/rules.d/10-cache.rules").write_text(CACHE)
    for place in (DATA, "/media", "/var/log/journal", "/lib/modules"):
        (root / place[1:]).mkdir(parents=True, exist_ok=True)
    units = root / "etc/systemd/system"
    second = root / "etc/systemd/network/20-hands.network"
    second.write_text(SECOND_CABLE.format(hands=HANDS))
    (units / "hands.socket").write_text(LISTEN.format(hands=HANDS, port=HANDS_PORT))
    (units / "hands@.service").write_text(OBEY)
    link(units / "sockets.target.wants", "../hands.socket")
    for kernel in MODULES.iterdir():
        shutil.copytree(kernel, root / "lib/modules" / kernel.name, symlinks=True)
        image.run("chroot", root, "depmod", kernel.name)
    with (new / "system.img").open("wb") as file:
        file.truncate(SYSTEM_BYTES)
    image.run("mke2fs", "-q", "-t", "ext4", "-d", root, new / "system.img")
    shutil.rmtree(root)


def plug_in() -> None:
    """The machine's end of the cable, and the cable of the commands, in this network."""
    for words in (
        f"tuntap add {PLUG} mode tap",
        f"link set {PLUG} master {BRIDGE}",
        f"link set {PLUG} up",
        f"tuntap add {HANDS_TAP} mode tap",
        f"addr add {HANDS_HERE}/24 dev {HANDS_TAP}",
        f"link set {HANDS_TAP} up",
    ):
        subprocess.run(["ip", *words.split()], check=True)


class VirtualMachine(Machine):
    """One machine with a kernel of its own; off until `boot`."""

    boot_limit_s = 240

    def __init__(self, folder: Path, system: Path, media: dict[str, Path]) -> None:
        self._folder, self._system = folder, system
        self._console = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._fetched = 0
        self.media = folder / "media"
        self.media.mkdir()
        for name, path in media.items():
            subprocess.run(["cp", "-al", str(path), str(self.media / name)], check=True)
        (folder / "disk").mkdir()
        self.disk = LoggedDisk(folder / "disk")
        self.disk.make(DATA_BYTES, *SMALL_TABLES)
        with mounted(self.disk.raw, folder / "fetch") as place:
            (place / "lost+found").rmdir()

    def boot(self) -> float:
        """Switch it on; returns the seconds until systemd was through with its start."""
        self.power_on()
        return self._wait_up()

    def power_on(self) -> None:
        """Switch it on, and leave it alone."""
        words = (
            *("linux.uml", f"umid={NAME}", f"uml_dir={self._folder}/", f"mem={MEMORY}"),
            f"ubd0={self._folder / 'system.cow'},{self._system}",
            f"virtio_uml.device={self.disk.serve()}:{BLOCK_DEVICE}",
            *("root=/dev/ubda", "rw", "noreboot", f"hostfs={self.media}"),
            *("con=null", "con0=null,fd:1", "console=tty0", "quiet", "systemd.show_status=0"),
            f"vec0:transport=tap,ifname={PLUG},depth=64",
            f"vec1:transport=tap,ifname={HANDS_TAP},depth=64",
        )
        shutil.rmtree(self._folder / NAME, ignore_errors=True)
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *words],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={**os.environ, "TMPDIR": "/dev/shm"},
            )

    def leader(self) -> int:
        """The pid of its kernel out here; 0 when it is off."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def run(self, command: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Give a command to a shell in it, as root would who is logged in; 255: it was not heard."""
        wall_s, began_s = time.time(), time.monotonic()
        settings = [f"{name}={value}" for name, value in {**LOGIN, **(environment or {})}.items()]
        try:
            said = _say(shlex.join(["env", "-i", *settings, "sh", "-c", command]))
        except OSError as error:
            said = f"{error}\nexit 255".encode()
        out, _, code = said.decode(errors="replace").rpartition("\nexit ")
        took_s = time.monotonic() - began_s
        return Ran(command, wall_s, took_s, int(code) if code.isdigit() else 255, out)

    def processes(self, *words: str) -> list[Process]:
        """Its processes whose command has all these words, by their pids in it."""
        told = [line.split() for line in self.run("ps -ww -eo pid=,args=").out.splitlines()]
        found = [Process(int(each[0]), tuple(each[1:])) for each in told if each]
        return [each for each in found if set(words) <= set(each.words)]

    def archive(self) -> Path:
        """A copy of the archive, as files of this machine; removed with the next one."""
        shutil.rmtree(self._folder / f"archive-{self._fetched}", ignore_errors=True)
        self._fetched += 1
        copy = self._folder / f"archive-{self._fetched}"
        if self.leader():
            packed = f"tar -C {DATA} -cf - raw spool manifests 2>/dev/null"
            with tarfile.open(fileobj=io.BytesIO(_say(packed)), ignore_zeros=False) as tape:
                tape.extractall(copy, filter="data")
        else:
            with mounted(self.disk.raw, self._folder / "fetch") as place:
                shutil.copytree(place, copy)
        return copy

    def kill(self) -> None:
        """Cut its power: SIGKILL to its kernel and to the processes that are its address spaces."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)
        self.disk.hide()

    def wait_off(self, limit_s: float) -> int:
        """Wait until it has switched itself off; REBOOTS when it wants to be switched on again."""
        assert self._process is not None
        code = self._process.wait(limit_s)
        self.disk.hide()
        last = [each for each in self._console.read_text().splitlines() if "reboot:" in each][-1:]
        return REBOOTS if last == [RESTARTS] else code

    def plug(self, state: str) -> None:
        """Put the far end of its cable into the bridge (`up`), or pull it out there (`down`).

        A tap that is down makes its driver give up for good, as no cable would.
        """
        end = ("master", BRIDGE) if state == "up" else ("nomaster",)
        subprocess.run(["ip", "link", "set", PLUG, *end], check=True)

    def close(self) -> None:
        """Switch it off, however it is."""
        if self.leader():
            self.kill()
        self.disk.hide()


def _say(command: str) -> bytes:
    """Everything that the machine answers; OSError when it does not."""
    with socket.create_connection((HANDS, HANDS_PORT), 5) as spoken:
        spoken.settimeout(COMMAND_LIMIT_S)
        spoken.sendall(command.encode())
        spoken.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: spoken.recv(1 << 16), b""))
