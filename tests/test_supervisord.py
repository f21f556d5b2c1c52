"""Holds supervisord.conf to the code, and the fleet to its promises under the real supervisord."""

import configparser
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from supervisor.options import ServerOptions

from tests.processes.fleet_rig import CONF, FleetRig, quick
from tests.rig import ROOT, Rig, wait_for
from tests.venue import Venue
from workers.core.archive.ledger import Loaded, Started, Stopped
from workers.core.health.alerts import Active
from workers.core.health.reports import AlertsManifest, HealthManifest
from workers.core.settings.settings import Settings
from workers.edge.lifecycle import GOOD_START_S
from workers.edge.remote import GRACE_S
from workers.edge.spool import state
from workers.tools.ctl import in_table
from workers.watchdog import CLOCK_LIMIT_S, RPC_LIMIT_S

FLEET = ("watchdog", "discovery", "uploader", "normalizer", "collector-00", "collector-01")
#: Runs when a person starts it.
OPTIONAL = ("streamer-00",)
MEMORY_MAX_BYTES = 200_000_000


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> ServerOptions:
    """supervisord.conf as supervisord itself reads it."""
    data = tmp_path_factory.mktemp("data with blanks")
    for name in ("log", "run"):
        (data / name).mkdir()
    ours = {
        "ORDERBOOKS_DATA": str(data),
        "ORDERBOOKS_CONFIG": "/etc/order books/a.yaml",
        "ORDERBOOKS_PYTHON": sys.executable,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ours.items():
            patch.setenv(name, value)
        options = ServerOptions()
        options.realize(["-c", str(CONF)], doc="")
    return options


@pytest.fixture(scope="module")
def programs(parsed: ServerOptions) -> dict[str, object]:
    """Process configurations by process name."""
    groups = parsed.process_group_configs
    return {each.name: each for group in groups for each in group.process_configs}


def test_the_table_holds_every_process_module_and_no_other(programs):
    modules = {path.stem for path in (ROOT / "workers").glob("[!_]*.py")}

    assert {*FLEET, *OPTIONAL} == set(programs)
    assert set(OPTIONAL) == {name for name, each in programs.items() if not each.autostart}
    assert modules == {
        each.command.split(" -m workers.")[1].split()[0] for each in programs.values()
    }


def test_sections_stand_in_the_order_data_flows():
    sections = [line for line in CONF.read_text().splitlines() if line.startswith("[program:")]

    assert [
        "[program:discovery]",
        "[program:collector]",
        "[program:streamer]",
        "[program:normalizer]",
        "[program:uploader]",
        "[program:watchdog]",
    ] == sections


def test_every_value_has_its_reason_in_the_file():
    parser = configparser.RawConfigParser(inline_comment_prefixes=None)
    parser.read(CONF)
    text = CONF.read_text()
    same = {"startsecs", "startretries", "autorestart", "exitcodes", "stopsignal", "stopasgroup"}

    for section in (each for each in parser.sections() if each.startswith("program:")):
        for key in same:
            assert f"{key}={parser[section][key]} " in text, (
                f"{section}: {key} differs from the head"
            )


def test_a_worker_leaves_on_purpose_only_after_its_start_counts(programs):
    assert {10} == {each.startsecs for each in programs.values()}
    assert GOOD_START_S > 10


def test_only_a_person_keeps_a_worker_down(programs):
    for each in programs.values():
        assert [100] == each.exitcodes
        assert each.startretries >= 1_000_000
        assert each.stopsignal == signal.SIGTERM
        assert (False, True) == (each.stopasgroup, each.killasgroup)


def test_recorders_stop_first_and_the_watchdog_last(programs):
    order = sorted(programs, key=lambda name: programs[name].priority)

    assert [*FLEET, *OPTIONAL] == order


def test_nobody_is_killed_in_the_middle_of_a_step(programs):
    settings = Settings()

    assert programs["discovery"].stopwaitsecs >= 2 * settings.discovery.request_timeout_s
    assert programs["collector-00"].stopwaitsecs >= 10 * settings.collector.request_timeout_s
    assert programs["streamer-00"].stopwaitsecs >= 10 * settings.streamer.request_timeout_s
    assert programs["uploader"].stopwaitsecs >= 2 * GRACE_S
    assert programs["watchdog"].stopwaitsecs >= 2 * (2 * RPC_LIMIT_S + CLOCK_LIMIT_S)


def test_the_number_of_shards_stands_only_in_numprocs(programs):
    commands = [programs[f"collector-0{each}"].command for each in (0, 1)]

    assert [f"--shard={each} --shards=2" for each in (0, 1)] == [
        " ".join(each.split()[-2:]) for each in commands
    ]
    assert programs["streamer-00"].command.endswith("--shard=0 --shards=1")
    assert 2 == CONF.read_text().count("numprocs=")


def test_paths_with_blanks_reach_the_worker_whole(programs):
    for each in programs.values():
        words = subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {each.command}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        assert [sys.executable, "-m"] == words[:2]
        assert "/etc/order books/a.yaml" == words[4]


def test_logs_are_bounded_and_lie_in_the_data_directory(programs):
    for name, each in programs.items():
        assert each.stdout_logfile.endswith(f"/log/{name}.log")
        assert 0 < each.stdout_logfile_maxbytes * (each.stdout_logfile_backups + 1) <= 200 << 20
        assert each.redirect_stderr


def test_only_the_watchdog_may_know_where_alerts_go(programs):
    for name, each in programs.items():
        expected = {} if name == "watchdog" else {"SENTRY_DSN": ""}
        assert expected == each.environment


def test_the_socket_is_the_owners_and_there_is_no_other_server(parsed: ServerOptions):
    (server,) = parsed.server_configs

    assert server["file"].endswith("/run/supervisor.sock")
    assert 0o700 == server["chmod"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ([], []),
        (["status"], ["status"]),
        (["restart", "collector-00"], ["restart", "collector:collector-00"]),
        (["stop", "collector", "discovery"], ["stop", "collector:*", "discovery"]),
        (
            ["tail", "-f", "collector-01", "stderr"],
            ["tail", "-f", "collector:collector-01", "stderr"],
        ),
        (["update", "collector"], ["update", "collector"]),
        (["start", "collector:collector-00"], ["start", "collector:collector-00"]),
    ],
)
def test_our_names_become_those_of_the_table(typed: list[str], meant: list[str]):
    assert meant == in_table(typed)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    with Venue(tmp_path / "venue", lines=("btc-5m",)) as venue:
        yield venue


@pytest.fixture
def rig(venue: Venue) -> Iterator[FleetRig]:
    with FleetRig(venue.url, **quick()) as rig:
        yield rig


def health(rig: FleetRig) -> HealthManifest | None:
    return state.read(rig.data.latest("health"), HealthManifest)


def told(rig: FleetRig) -> list[Active]:
    """The alerts that a person was told and that hold."""
    manifest = state.read(rig.data.latest("alerts"), AlertsManifest)
    return [each for each in manifest.active if each.is_raised] if manifest else []


def starts(rig: FleetRig, shards: int) -> list[Started]:
    """The starts of collectors that count so many shards."""
    return [row for row in rig.ledger() if isinstance(row, Started) and row.shards == shards]


def ends(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.slow
def test_the_fleet_starts_answers_refuses_a_second_one_and_stops(rig: FleetRig):
    supervisord = rig.up()
    rig.wait_for_beats(*FLEET)

    second = subprocess.run(rig.command("up"), capture_output=True, text=True, check=False)
    assert (2, True) == (second.returncode, f"supervisord {supervisord.pid}" in second.stderr)
    fleet = [*FLEET[:4], "collector"]
    wait_for(lambda: all(rig.process(each).state == "RUNNING" for each in FLEET))
    assert 0 == rig.ctl("status", *fleet).returncode
    assert "STOPPED" == rig.process("streamer-00").state
    tail = rig.ctl("tail", "collector-00").stdout
    assert tail.splitlines()[-1] in (rig.data.log / "collector-00.log").read_text()
    wait_for(
        lambda: (
            health(rig)
            and len(health(rig).processes) == len({*FLEET, *OPTIONAL})
            and health(rig).markets
            and any(rig.open_rows("books"))
        )
    )
    family = [supervisord, *supervisord.children()]
    pss = {each.cmdline()[2]: each.memory_full_info().pss for each in family}
    assert sum(pss.values()) < MEMORY_MAX_BYTES, pss

    assert 0 == rig.ctl("stop", "discovery").returncode
    assert 3 == rig.ctl("status", *fleet).returncode
    assert 0 == rig.ctl("shutdown").returncode
    supervisord.wait(60)

    assert [] == list(rig.data.open_root.glob("*/*.open"))
    assert {each.told.market is not None for each in rig.manifests("books")} == {True}
    assert 4 == rig.ctl("status").returncode
    assert "orderbooks up" in rig.ctl("status").stderr


@pytest.mark.slow
def test_a_killed_supervisord_takes_its_workers_along_and_leaves_room_for_the_next(rig: FleetRig):
    first = rig.up()
    pids = rig.wait_for_beats(*FLEET)
    first.kill()
    first.wait(10)

    wait_for(lambda: ends(pids), what="the workers end by PR_SET_PDEATHSIG")
    assert [] == list(rig.data.open_root.glob("*/*.open"))
    rig.up()

    assert not set(pids) & set(rig.wait_for_beats(*FLEET))


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_a_politely_killed_one_too(rig: FleetRig):
    rig.up("--table", str(rig.table(startsecs="1")))
    pids = rig.wait_for_beats("collector-00", "collector-01")
    wait_for(lambda: rig.process("collector-01").state == "RUNNING")

    os.kill(pids[0], signal.SIGKILL)
    os.kill(pids[1], signal.SIGTERM)

    wait_for(lambda: rig.process("collector-00").pid not in (0, pids[0]))
    wait_for(lambda: rig.process("collector-01").pid not in (0, pids[1]))
    assert not set(pids) & set(rig.wait_for_beats("collector-00", "collector-01"))


@pytest.mark.slow
def test_another_number_of_shards_restarts_the_group_and_nobody_records_beside_it(rig: FleetRig):
    table = rig.table()
    rig.up("--table", str(table))
    rig.wait_for_beats(*FLEET)
    wait_for(lambda: any(isinstance(row, Loaded) and row.markets for row in rig.ledger()))
    table.write_text(table.read_text().replace("numprocs=2", "numprocs=3"))

    changed = rig.ctl("update")
    rig.wait_for_beats("collector-00", "collector-01", "collector-02")
    wait_for(lambda: 3 == len(starts(rig, 3)), what="their first rows")

    assert "collector: updated process group" in changed.stdout
    assert "watchdog" not in changed.stdout
    old = starts(rig, 2)
    first_new_ns = min(row.at_wall_ns for row in starts(rig, 3))
    last_old_ns = max(row.at_wall_ns for row in rig.ledger() if isinstance(row, Stopped))
    assert 2 == len(old)
    assert last_old_ns < first_new_ns
    assert {"collector-00", "collector-01"} == {row.worker for row in old}


def test_a_collector_that_counts_otherwise_waits_until_the_others_are_gone(
    venue: Venue, tmp_path: Path
):
    """Whoever starts one by hand, or edits the table without `update`, doubles no market."""
    (tmp_path / "r").mkdir()
    with Rig(tmp_path / "r", venue.url) as rig:
        first = rig.collector(0, 2)
        wait_for(rig.data.heartbeat("collector-00").exists)
        rig.collector(2, 3)
        wait_for(lambda: "live collectors count 2" in rig.log_text())
        assert not rig.data.heartbeat("collector-02").exists()

        rig.stop(first)

        wait_for(rig.data.heartbeat("collector-02").exists, what="the other count joins")


CHATTY = """
import os, sys, time
from workers.edge.eventlog import EventLog
log = EventLog("collector-00", 0)
for number in range(1 << 60):
    log.write("worker_stopped", number, reason="x" * 500, uptime_s=number)
    if number % 1000 == 0:
        with open(sys.argv[1], "w") as file:
            file.write(str(number))
"""


@pytest.mark.slow
def test_a_stalled_supervisord_stops_no_worker_and_is_told(rig: FleetRig):
    """The pipe of a chatty worker is full within milliseconds; a blocking one would freeze."""
    chatty, progress = rig.folder / "chatty.py", rig.folder / "progress"
    chatty.write_text(CHATTY)
    table = rig.table()
    text = table.read_text()
    program = text[text.index("[program:collector]") : text.index("; ── watchdog")]
    stand_in = (
        f'[program:chatty]\ncommand="{sys.executable}" {chatty} {progress}\ndirectory={ROOT}\n'
        f'environment=PYTHONPATH="{ROOT}"\nredirect_stderr=true\n'
        f"stdout_logfile={rig.data.log}/chatty.log\nstdout_logfile_maxbytes=1MB\n"
    )
    table.write_text(text.replace(program, stand_in))
    supervisord = rig.up("--table", str(table))
    rig.wait_for_beats("watchdog")
    wait_for(progress.exists)
    supervisord.suspend()

    before = int(progress.read_text() or 0)
    wait_for(
        lambda: int(progress.read_text() or 0) > before + 50_000, what="the chatty one goes on"
    )
    wait_for(lambda: (seen := health(rig)) and "in time" in seen.supervisord.problem)
    wait_for(
        lambda: "supervisord_unreachable" in [each.alert for each in told(rig)],
        what="the alert",
    )


def test_a_data_directory_with_too_long_a_path_is_refused_before_anything_starts(tmp_path: Path):
    config = tmp_path / "a.yaml"
    config.write_text(f'data_dir: "{tmp_path}/{"x" * 100}"\n')

    for verb in ("up", "ctl"):
        command = [sys.executable, "-m", "workers.tools", verb, "--config", str(config)]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert 2 == found.returncode
        assert "a unix socket path holds" in found.stderr
