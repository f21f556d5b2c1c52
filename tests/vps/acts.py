"""The steps of the rehearsal, in their order: what is done to the machine and what must hold.

A step `doc: …` gives the commands of that section of docs/VPS_DEPLOYMENT.md literally; the others
are what may happen to a machine.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.vps import address, failures, outside
from tests.vps.machine import REBOOTS, wait_for
from tests.vps.record import Step
from tests.vps.rehearsal import FLEET, WITHOUT_AN_INDEX, Rehearsal
from workers.core.report.markdown import counts
from workers.core.soak.gate import NETWORK

SETTINGS = "/etc/orderbooks/orderbooks.yaml"
CREDENTIALS = "/etc/orderbooks/credentials"
AUTHORITIES = "/etc/orderbooks/authorities.pem"
CUT_S = 75
STOP_LIMIT_S = 330
#: Path, owner and mode of the document's table.
OWNED = {
    "/opt/orderbooks/current/": "root 755",
    "/opt/orderbooks/current/.venv/bin/orderbooks": "root 755",
    SETTINGS: "root 644",
    CREDENTIALS: "root 700",
    f"{CREDENTIALS}/sentry_dsn": "root 600",
    f"{CREDENTIALS}/rclone.conf": "root 600",
    "/var/lib/orderbooks": "orderbooks 755",
    "/etc/systemd/system/orderbooks.service": "root 644",
    "/usr/local/bin/orderbooks": "root 755",
}
BAD_RELEASE = 'raise RuntimeError("a release that does not start")\n'


Act = Callable[[Rehearsal, Step], None]


def boot(rehearsal: Rehearsal, step: Step) -> None:
    """Switch the machine on."""
    took_s = rehearsal.machine.boot()
    step.check("systemd is up", f"{took_s:.1f} s", holds=True)
    rehearsal.run(step, "systemctl --version | head -1; . /etc/os-release; echo $PRETTY_NAME")
    absent = rehearsal.run(
        step, "for each in git python3 chronyd; do command -v $each; done", expected=127
    )
    step.check(
        "nothing of what the document installs is there", absent.strip() or "none", holds=not absent
    )


def install(rehearsal: Rehearsal, step: Step) -> None:
    """The document's section, then what its table says."""
    rehearsal.follow(step, "Install")
    for path, owner in OWNED.items():
        told = rehearsal.run(step, f"stat -c '%U %a' {path}").strip()
        step.check(f"{path} is {owner}", told, holds=told == owner)
    user = rehearsal.run(step, "getent passwd orderbooks").strip()
    no_shell = user.endswith(":/var/lib/orderbooks:/usr/sbin/nologin")
    step.check("the user has no shell, and no home but the archive", user, holds=no_shell)
    before = rehearsal.run(step, "systemctl is-active orderbooks", expected=3).strip()
    step.check("--no-start started nothing", before, holds=before == "inactive")
    bare = "find /opt/orderbooks/current/workers -name '*.py' | wc -l; find /opt/orderbooks/current/workers -name '*.pyc' | wc -l"
    sources, compiled = rehearsal.run(step, bare).split()
    step.check("every module is compiled", f"{compiled} of {sources}", holds=sources == compiled)


def again(rehearsal: Rehearsal, step: Step) -> None:
    """The installer a second time changes nothing."""
    look = f"sha256sum {SETTINGS} /etc/systemd/system/orderbooks.service; readlink /opt/orderbooks/current; ls /opt/orderbooks/releases"
    before = rehearsal.run(step, look)
    rehearsal.run(step, "/usr/local/src/orderbooks/ops/install.sh --no-start")
    after = rehearsal.run(step, look)
    step.check("settings, unit and release are as they were", after, holds=before == after)
    # What an upgrade of the distribution does to an environment.
    python = "/opt/orderbooks/current/.venv/bin/python"
    rehearsal.run(step, f"rm {python} && ln -s /usr/bin/python3.0 {python}")
    rehearsal.run(step, "orderbooks config check", expected=127)
    variables = " ".join(f"{name}={value}" for name, value in WITHOUT_AN_INDEX.items())
    rehearsal.run(step, f"{variables} /usr/local/src/orderbooks/ops/install.sh --no-start")
    rehearsal.run(step, "orderbooks config check")
    after = rehearsal.run(step, look)
    step.check("nor when the release had to be made anew", after, holds=before == after)


def settings(rehearsal: Rehearsal, step: Step) -> None:
    """Settings and credentials of this machine: the venue, Sentry and the remote are outside."""
    venue = f"https://{address.NAME}:{outside.VENUE_PORT}"
    channel = f"wss://{address.NAME}:{outside.CHANNEL_PORT}/ws/market"
    for key, value in (
        ("  gamma_url", venue),
        ("  clob_url", venue),
        ("  ws_url", channel),
        ("  remote", rehearsal.outside.remote.remote.replace("S3:", "away:")),
        ("  checkin_interval_s", "30"),
    ):
        text = value if value.isdigit() else f'"{value}"'
        rehearsal.run(step, f"sed -i 's|^{key}: .*|{key}: {text}|' {SETTINGS}")
    rehearsal.run(step, f"printf %s '{rehearsal.outside.dsn}' > {CREDENTIALS}/sentry_dsn")
    rehearsal.run(step, f"cat > {CREDENTIALS}/rclone.conf <<'END'\n{outside.RCLONE_CONF}END")
    rehearsal.run(step, f"echo nameserver {outside.HERE} > /etc/resolv.conf")
    known = rehearsal.outside.front.authorities.read_text()
    rehearsal.run(step, f"cat > {AUTHORITIES} <<'END'\n{known}END")
    rehearsal.run(step, f"echo SSL_CERT_FILE={AUTHORITIES} >> /etc/orderbooks/env")
    modes = rehearsal.run(step, f"stat -c %a {CREDENTIALS}/*").split()
    step.check("credentials stay root's alone", modes, holds=modes == ["600", "600"])
    rehearsal.follow(step, "Settings")


def start(rehearsal: Rehearsal, step: Step) -> None:
    """Start, and what the document says to look at."""
    rehearsal.follow(step, "Start")
    rehearsal.wait_well(step)
    pid = rehearsal.run(step, "systemctl show -P MainPID orderbooks").strip()
    supervisord = rehearsal.run(step, "cat /var/lib/orderbooks/run/supervisord.pid").strip()
    step.check(
        "the service's main process is supervisord",
        f"{pid}, {supervisord}",
        holds=pid == supervisord,
    )
    users = rehearsal.run(
        step, "ps -o user= --ppid $(systemctl show -P MainPID orderbooks) | sort | uniq -c"
    ).split()
    step.check(
        "its workers are the user orderbooks",
        users,
        holds=users[1:] in (["orderbooks"], ["orderbo+"]),
    )
    foreign = rehearsal.run(step, "find /var/lib/orderbooks ! -user orderbooks")
    step.check("every file of the archive is its own", foreign or "all", holds=not foreign)
    told = rehearsal.run(step, "stat -c '%U %a' /var/lib/orderbooks.remote").strip()
    step.check(
        "the remote of the shipped settings is its own", told, holds=told == "orderbooks 755"
    )
    metrics = "/var/lib/orderbooks/metrics/orderbooks.prom"
    rehearsal.run(step, f"runuser -u nobody -- head -3 {metrics}")


def exposure(rehearsal: Rehearsal, step: Step) -> None:
    """The unit as systemd judges it, and what it may not do."""
    told = rehearsal.run(step, "systemd-analyze security --no-pager orderbooks.service | tail -1")
    score = re.search(r"([\d.]+) (OK|MEDIUM|EXPOSED|UNSAFE)", told)
    step.check(
        "exposure is 2.0 or less", told.strip(), holds=score is not None and float(score[1]) <= 2.0
    )
    memory = rehearsal.run(
        step, "systemctl show -p MemoryHigh -p MemoryMax -p Restart -p KillMode orderbooks"
    )
    step.check("memory is bounded in the unit", memory, holds="MemoryMax=1572864000" in memory)
    verify = rehearsal.run(
        step, "systemd-analyze verify --man=no orderbooks.service 2>&1 | grep orderbooks || true"
    )
    step.check("systemd finds nothing odd in it", verify or "nothing", holds=not verify)
    rehearsal.run(step, "systemctl reload orderbooks")


def credentials(rehearsal: Rehearsal, step: Step) -> None:
    """Secrets reach who needs them, and nobody else."""
    fleet, dsn = rehearsal.fleet(), rehearsal.outside.dsn.encode()
    has = sorted(
        name for name, pids in fleet.items() if dsn in Path(f"/proc/{pids[0]}/environ").read_bytes()
    )
    step.check("the watchdog alone has Sentry's address", has, holds=has == ["watchdog"])
    wait_for(rehearsal.outside.sentry.check_ins, "a check-in at Sentry", 120)
    step.check("Sentry got check-ins", len(rehearsal.outside.sentry.check_ins()), holds=True)
    shown = rehearsal.run(
        step, "runuser -u nobody -- cat /run/credentials/orderbooks.service/sentry_dsn", expected=1
    )
    step.check("another user cannot read them", shown, holds="denied" in shown)


def shipped(rehearsal: Rehearsal, step: Step) -> None:
    """Published files reach the remote with rclone's credential, and are proven there."""
    wait_for(
        lambda: any(path.endswith(".gz") for path in rehearsal.outside.remote.paths()),
        "a file on the remote",
        180,
    )
    wait_for(lambda: not rehearsal.machine.run("orderbooks offload verify").code, "proof", 180)
    rehearsal.run(step, "orderbooks offload verify")
    count = len(rehearsal.outside.remote.paths())
    step.check("files lie on the remote", count, holds=count > 0)


def section(heading: str) -> Act:
    """A section of the document, after which everything runs."""

    def act(rehearsal: Rehearsal, step: Step) -> None:
        rehearsal.follow(step, heading)
        rehearsal.wait_well(step)

    return act


def kill_supervisord(rehearsal: Rehearsal, step: Step) -> None:
    """SIGKILL to supervisord alone."""
    before, files = rehearsal.fleet(), rehearsal.published()
    rehearsal.run(step, "kill -9 $(systemctl show -P MainPID orderbooks)")
    rehearsal.survived(step, files)
    kept = {pid for pids in rehearsal.fleet().values() for pid in pids} & {
        pid for pids in before.values() for pid in pids
    }
    step.check("no worker of the old life is left", kept or "none", holds=not kept)


def kill_collector(rehearsal: Rehearsal, step: Step) -> None:
    """SIGKILL to one collector."""
    before, files = rehearsal.fleet(), rehearsal.published()
    rehearsal.run(step, "kill -9 $(orderbooks ctl pid collector-00)")
    wait_for(
        lambda: (
            rehearsal.fleet().get("collector-00", before["collector-00"]) != before["collector-00"]
        ),
        "another collector-00",
        60,
    )
    rehearsal.survived(step, files)
    others = {name for name, pids in rehearsal.fleet().items() if pids == before[name]}
    step.check("the others went on", sorted(others), holds=len(others) == FLEET - 1)


def kill_machine(rehearsal: Rehearsal, step: Step) -> None:
    """SIGKILL to the first process of the machine, and another boot from the same disk."""
    files = rehearsal.published()
    rehearsal.machine.kill()
    step.check("the machine is off", "killed", holds=not rehearsal.machine.leader())
    step.check("booted", f"{rehearsal.machine.boot():.1f} s", holds=True)
    rehearsal.survived(step, files)


def reboot(rehearsal: Rehearsal, step: Step) -> None:
    """`systemctl reboot`."""
    files = rehearsal.published()
    rehearsal.run(step, "systemctl reboot")
    began_s = time.monotonic()
    code = rehearsal.machine.wait_off(STOP_LIMIT_S)
    took_s = time.monotonic() - began_s
    step.check("the machine went down by itself", f"{took_s:.0f} s", holds=code == REBOOTS)
    sealed = not list((rehearsal.data.root / "spool/open").rglob("*.gz*"))
    step.check("every segment was sealed before", sealed, holds=sealed)
    step.check("booted", f"{rehearsal.machine.boot():.1f} s", holds=True)
    rehearsal.survived(step, files)


def cut(rehearsal: Rehearsal, step: Step) -> None:
    """The cable is pulled, and put back."""
    began_s, files = time.time(), rehearsal.published()
    rehearsal.machine.plug("down")
    try:
        time.sleep(CUT_S)
        health = rehearsal.machine.run("orderbooks health")
    finally:
        rehearsal.machine.plug("up")
    step.ran(health, health.code)
    step.shown = health.out
    words = ("rows_late", "venue_failing", "gamma_unreachable")
    step.check("health says so", health.out, holds=any(word in health.out for word in words))
    rehearsal.survived(step, files)
    causes = rehearsal.causes(began_s)
    step.check(
        "the ledger has it", counts(causes), holds=bool(NETWORK & causes.keys()) and "ok" in causes
    )
    wait_for(lambda: not rehearsal.machine.run("orderbooks health").code, "health", 240)
    rehearsal.run(step, "orderbooks health")


def upgrade(rehearsal: Rehearsal, step: Step) -> None:
    """A commit later, the document's section."""
    before, files = rehearsal.current(), rehearsal.published()
    with (rehearsal.repository / "CHANGELOG.md").open("a") as file:
        file.write("\nA line of the rehearsal.\n")
    rehearsal.commit("A harmless change")
    rehearsal.follow(step, "Upgrade")
    now = rehearsal.current()
    step.check("another release runs", f"{before}, {now}", holds=now != before)
    _runs_from(rehearsal, step, now)
    rehearsal.survived(step, files)


def rollback(rehearsal: Rehearsal, step: Step) -> None:
    """The document's section, after the upgrade."""
    before, files = rehearsal.current(), rehearsal.published()
    rehearsal.follow(step, "Rollback")
    now = rehearsal.current()
    step.check("the release before runs again", f"{before}, {now}", holds=now != before)
    _runs_from(rehearsal, step, now)
    rehearsal.survived(step, files)


def bad_release(rehearsal: Rehearsal, step: Step) -> None:
    """An upgrade to a release whose collectors do not start."""
    before, files = rehearsal.current(), rehearsal.published()
    collector = rehearsal.repository / "workers/collector.py"
    collector.write_text(BAD_RELEASE + collector.read_text())
    rehearsal.commit("A release that does not start")
    rehearsal.follow(step, "Upgrade", last_code=1)
    now = rehearsal.current()
    step.check("it went back by itself", f"{before}, {now}", holds=now == before)
    _runs_from(rehearsal, step, now)
    rehearsal.survived(step, files)


def _runs_from(rehearsal: Rehearsal, step: Step, release: str) -> None:
    told = rehearsal.run(
        step,
        "readlink /proc/$(systemctl show -P MainPID orderbooks)/exe; tr '\\0' ' ' < /proc/$(systemctl show -P MainPID orderbooks)/cmdline",
    )
    step.check(f"supervisord runs from {release}", told, holds=f"releases/{release}/" in told)


def gate(rehearsal: Rehearsal, step: Step) -> None:
    """The gate takes what it can, and stays blocked for what is live."""
    wait_for(lambda: not rehearsal.machine.run("orderbooks status").code, "all to be well", 240)
    step.shown = told = rehearsal.run(step, "orderbooks gate", expected=3)
    step.check(
        "no step fails", told, holds="FAIL" not in told and "BLOCKED_NEEDS_VPS_ACCESS" in told
    )
    for name in ("service", "recording", "restart", "network", "upload"):
        holds = bool(re.search(rf"^{name} +PASS", told, re.MULTILINE))
        step.check(f"the gate's step {name} passes", "PASS" if holds else "not", holds=holds)


def stop(rehearsal: Rehearsal, step: Step) -> None:
    """Stop: everything sealed, and within the time systemd gives."""
    began_s = time.monotonic()
    rehearsal.run(step, "systemctl stop orderbooks")
    took_s = time.monotonic() - began_s
    step.check(
        f"it took less than {STOP_LIMIT_S} s", f"{took_s:.0f} s", holds=took_s < STOP_LIMIT_S
    )
    told = rehearsal.run(step, "systemctl show -P Result orderbooks").strip()
    step.check("in peace", told, holds=told == "success")
    left = rehearsal.fleet()
    step.check("nobody is left", left or "nobody", holds=not left)
    segments = list((rehearsal.data.root / "spool/open").rglob("*.gz*"))
    step.check("every segment is sealed", segments or "all", holds=not segments)
    rehearsal.run(step, "orderbooks verify")
    step.shown = rehearsal.run(step, "orderbooks coverage")
    rehearsal.account(step)


def remove(rehearsal: Rehearsal, step: Step) -> None:
    """The document's last section; the archive stays."""
    files = rehearsal.published()
    rehearsal.follow(step, "Remove")
    step.check("the archive is as it was", len(files), holds=rehearsal.published() == files)
    gone = rehearsal.run(step, "ls /opt/orderbooks /usr/local/bin/orderbooks", expected=2)
    step.check("the code is gone", gone, holds=True)
    kept = rehearsal.run(step, f"ls {SETTINGS} {CREDENTIALS}").split()
    step.check("settings and credentials stay", kept, holds=len(kept) >= 3)


PLAN: tuple[tuple[str, str, Act], ...] = (
    ("boot", "a clean Debian 12 with a systemd of its own", boot),
    ("doc: Install", "the commands as written; then the table of owners and modes", install),
    (
        "install twice",
        "the installer changes nothing the second time, and heals a release without its Python",
        again,
    ),
    ("doc: Settings", "the venue, Sentry and the remote outside; credentials", settings),
    ("doc: Start", "active, enabled, every worker running, rows flowing", start),
    ("exposure", "the hardened unit, as this systemd judges it", exposure),
    ("credentials", "arrive where they belong", credentials),
    ("doc: Restart policy", "a restart seals and goes on", section("Restart policy")),
    ("doc: Logs", "logs are where the document says", section("Logs")),
    ("doc: Disk", "the commands of the section", section("Disk")),
    ("offload", "files are proven on the remote outside", shipped),
    ("kill -9 supervisord", "all are back, nobody twice", kill_supervisord),
    ("kill -9 a collector", "it is back, the others go on", kill_collector),
    ("kill the machine", "the whole machine by SIGKILL, then another boot", kill_machine),
    ("network cut", f"the cable pulled for {CUT_S} s: ledger and health show it", cut),
    ("names lost", "no name resolves, then no name server: dns, and on again", failures.names),
    ("certificate wrong", "run out, then another's: tls, and on again", failures.certificate),
    ("disk full", "to its last byte, on a disk of its own: paused, and on again", failures.disk),
    ("doc: Upgrade", "to a newer commit", upgrade),
    ("doc: Rollback", "to the release before", rollback),
    ("bad release", "an upgrade that does not come up goes back by itself", bad_release),
    ("reboot", "systemctl reboot", reboot),
    ("gate", "passes what it can, BLOCKED for what is live", gate),
    ("stop", f"within {STOP_LIMIT_S} s, everything sealed, 0 UNEXPLAINED", stop),
    ("doc: Remove", "the archive stays", remove),
)
