"""The steps in which something around the fleet fails: names, the venue's certificate, the disk.

Each looks at the ledger and at what a person sees while it lasts, and afterwards at everything that
was there before.
"""

import time
from collections.abc import Callable

from tests.vps import address
from tests.vps.machine import wait_for
from tests.vps.record import Step
from tests.vps.rehearsal import DATA, Rehearsal
from workers.core.report.markdown import counts

LASTS_S = 30
#: A cause is in the ledger after the next flush, and pauses grow while the venue fails.
TOLD_LIMIT_S = 120
WELL_LIMIT_S = 240
SETTINGS = "/etc/orderbooks/orderbooks.yaml"
ASIDE = "/var/lib/orderbooks.aside"
SMALL_MB = 128
MB = 1_000_000
#: Thresholds for so small a disk.
THRESHOLDS = {
    "disk_warn_free_bytes": 30 * MB,
    "disk_stop_opening_free_bytes": 20 * MB,
    "disk_pause_free_bytes": 10 * MB,
}


def names(rehearsal: Rehearsal, step: Step) -> None:
    """Standing connections outlive it; once they break, there is no way back without a name."""
    outside = rehearsal.outside
    files, before, began_s = rehearsal.published(), rehearsal.account(step), time.time()
    outside.names.say(address.UNKNOWN)
    try:
        time.sleep(LASTS_S)
        still = rehearsal.causes(began_s)
        step.check(
            "connections that stand need no name", counts(still), holds=still.keys() == {"ok"}
        )
        outside.front.hang_up()
        _fails(rehearsal, step, "dns", "the name is unknown")
        outside.names.say(address.GONE)
        _fails(rehearsal, step, "dns", "no name server answers")
        _seen(rehearsal, step, "dns")
    finally:
        outside.names.say(address.KNOWN)
    _over(rehearsal, step, files, before)


def certificate(rehearsal: Rehearsal, step: Step) -> None:
    """The venue shows a certificate that ran out, then one of another host."""
    front, files = rehearsal.outside.front, rehearsal.published()
    before = rehearsal.account(step)
    try:
        for word in (address.EXPIRED, address.ANOTHERS):
            front.show(word)
            front.hang_up()
            _fails(rehearsal, step, "tls", f"the certificate is {word}")
        _seen(rehearsal, step, "tls")
    finally:
        front.show(address.GOOD)
    _over(rehearsal, step, files, before)


def _fails(rehearsal: Rehearsal, step: Step, cause: str, what: str) -> None:
    """For LASTS_S everything that is asked fails, and the ledger has the cause."""
    # What was on its way when it began may still come.
    time.sleep(2)
    began_s = time.time()
    time.sleep(LASTS_S)
    wait_for(lambda: cause in rehearsal.causes(began_s), f"{cause} in the ledger", TOLD_LIMIT_S)
    found = rehearsal.causes(began_s)
    step.check(f"{what}: the ledger says {cause}", counts(found), holds=found.keys() == {cause})


def _seen(rehearsal: Rehearsal, step: Step, cause: str) -> None:
    """Health and status name what fails, and why."""
    wait_for(lambda: rehearsal.machine.run("orderbooks status").code, "status to see it", 60)
    health = rehearsal.run(step, "orderbooks health || true")
    words = ("rows_late", "venue_failing", "gamma_unreachable")
    step.check("health says so", health, holds=any(word in health for word in words))
    step.shown = status = rehearsal.run(step, "orderbooks status || true")
    looks = [line for line in status.splitlines() if line.startswith("look ") and cause in line]
    step.check(f"status names {cause}", looks or status, holds=bool(looks))


def _over(
    rehearsal: Rehearsal, step: Step, files: dict[str, str], before: dict[str, int]
) -> dict[str, int]:
    """Everything from before, and more; the account now."""
    rehearsal.survived(step, files)
    now = rehearsal.account(step)
    told = before["CAPTURED"], now["CAPTURED"]
    step.check("captured ticks, before and now", told, holds=told[0] < told[1])
    wait_for(lambda: not rehearsal.machine.run("orderbooks health").code, "health", WELL_LIMIT_S)
    rehearsal.run(step, "orderbooks health")
    return now


def disk(rehearsal: Rehearsal, step: Step) -> None:
    """The archive on a small disk of its own, filled to the last byte; then back where it was."""
    files = rehearsal.published()
    shipped = _thresholds(rehearsal, step, {name: str(value) for name, value in THRESHOLDS.items()})
    _moved(rehearsal, step, lambda: _small(rehearsal, step))
    try:
        rehearsal.survived(step, files)
        _filled(rehearsal, step)
    finally:
        _thresholds(rehearsal, step, shipped)
        _moved(rehearsal, step, lambda: _large(rehearsal, step))
    rehearsal.survived(step, files)


def _moved(rehearsal: Rehearsal, step: Step, move: Callable[[], None]) -> None:
    rehearsal.run(step, "systemctl stop orderbooks")
    move()
    rehearsal.run(step, "systemctl start orderbooks")


def _small(rehearsal: Rehearsal, step: Step) -> None:
    for command in (
        f"mkdir {ASIDE} && cp -a {DATA}/. {ASIDE}",
        f"mount -t tmpfs -o size={SMALL_MB}m,mode=755 tmpfs {DATA}",
        f"mountpoint -q {DATA}",
        f"chown orderbooks: {DATA} && cp -a {ASIDE}/. {DATA}",
    ):
        rehearsal.run(step, command)


def _large(rehearsal: Rehearsal, step: Step) -> None:
    """As it is now: what was recorded meanwhile goes along, and nothing from before comes back."""
    for command in (
        f"rm -r {ASIDE} && cp -a {DATA} {ASIDE}",
        f"umount {DATA}",
        f"! mountpoint -q {DATA}",
        f"find {DATA} -mindepth 1 -delete && cp -a {ASIDE}/. {DATA} && rm -r {ASIDE}",
    ):
        rehearsal.run(step, command)


def _thresholds(rehearsal: Rehearsal, step: Step, wanted: dict[str, str]) -> dict[str, str]:
    """Set them; how they were."""
    had = {}
    for name, value in wanted.items():
        line = rehearsal.run(step, f"grep '^  {name}: ' {SETTINGS}")
        had[name] = line.partition(": ")[2].strip()
        rehearsal.run(step, f"sed -i 's|^  {name}: .*|  {name}: {value}|' {SETTINGS}")
    return had


def _filled(rehearsal: Rehearsal, step: Step) -> None:
    """Below the pause, full to the last byte, and room again."""
    files, before, pids = rehearsal.published(), rehearsal.account(step), rehearsal.fleet()
    free = f"df --output=avail -B1 {DATA} | tail -1"
    rehearsal.run(step, f"head -c $(($({free}) - {5 * MB})) /dev/zero > {DATA}/filler")
    said = _told(rehearsal, step, "disk_low_pause")
    step.check("health says pause", said, holds="disk_low_pause" in said)
    opened = f"find {DATA}/spool/open -path '*collector-*' -name '*--books--*.open'"
    wait_for(lambda: not rehearsal.machine.run(opened).out, "books to be sealed", TOLD_LIMIT_S)
    rehearsal.run(step, opened)
    step.check("every open book segment was sealed", "all", holds=True)
    full = rehearsal.run(step, f"cat /dev/zero >> {DATA}/filler", expected=1)
    step.check("the disk is full", full, holds="No space left" in full)
    time.sleep(LASTS_S)
    rehearsal.run(step, f"df -h {DATA}")
    rehearsal.run(step, f"rm {DATA}/filler")
    step.check("no process died of it", sorted(pids), holds=rehearsal.fleet() == pids)
    paused = _over(rehearsal, step, files, before).get("PAUSED(disk_guard)", 0)
    step.check("the pause is in the account", f"PAUSED(disk_guard) {paused}", holds=paused > 0)


def _told(rehearsal: Rehearsal, step: Step, alert: str) -> str:
    """What health says once it names an alert."""
    wait_for(lambda: alert in rehearsal.machine.run("orderbooks health").out, alert, TOLD_LIMIT_S)
    return rehearsal.run(step, "orderbooks health || true")
