"""One round of discovery, to look at: what would be recorded, what is refused, what is odd.

With --dry-run nothing is written. Without it the round is recorded and published exactly as
discovery does it, and only while no discovery runs: it owns its directory.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.archive.manifests import Writer
from workers.core.errors import NeedsAPerson, Temporary
from workers.core.polling.answers import Answer
from workers.core.settings.settings import Settings
from workers.core.universe.rounds import Outcome, next_universe
from workers.core.universe.survey import Question, Survey
from workers.core.universe.text import universe_text
from workers.core.universe.universe import Universe, manifest_markets
from workers.edge import durable, settings_file, terminal
from workers.edge.rest import Call, RestClient
from workers.edge.settings_file import Loaded
from workers.edge.spool import locks, state
from workers.edge.spool.diary import Diary
from workers.edge.spool.directory import DataDir
from workers.edge.spool.pagekeeper import PageKeeper
from workers.edge.spool.recorder import Limits, Recorder
from workers.edge.spool.recovery import Salvager
from workers.edge.spool.universe_files import UniverseFiles

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT = 0, 1, 2
WORKER = "discovery"
EXAMPLES = """\
examples:
  orderbooks discover --once --dry-run     look, write nothing
  orderbooks discover --once               publish it; only while no discovery runs

exit codes: 0 a round without anything odd; 1 something a person should look at; 2 the venue did
not answer, or a discovery is running
"""
Keep = Callable[[Question, Answer, str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--once", action="store_true", required=True, help="one round, then end")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Do one round, print it as the page for people."""
    loaded = settings_file.load(arguments.config)
    data = DataDir(loaded.data_dir.absolute())
    if arguments.dry_run:
        previous = state.read(data.universe, Universe) or Universe()
        outcome = _round(loaded.settings, previous, _keep_nothing)
    else:
        with _Publisher.at_work(data, loaded) as publisher:
            outcome = _round(loaded.settings, publisher.previous, publisher.keep)
            publisher.publish(outcome)
    return _show(outcome)


def _keep_nothing(_question: Question, _answer: Answer, _cause: str) -> None:
    """A dry run's answers are only looked at."""


def _round(settings: Settings, previous: Universe, keep: Keep) -> Outcome:
    """Ask what one round asks, at the pace of the settings."""
    client = RestClient(
        timeout_s=settings.discovery.request_timeout_s,
        max_body_bytes=settings.discovery.max_body_bytes,
        user_agent=f"orderbooks/{VERSION}",
    )
    survey = Survey(settings, now_ms=_now_ms())
    while (question := survey.question()) is not None:
        url = f"{settings.venue.gamma_url}{question.target}"
        answer = client.fetch(Call(method="GET", url=url))
        keep(question, answer, survey.take(answer.cause, answer.body, now_ms=_now_ms()))
        time.sleep(10 / settings.discovery.requests_per_10s)
    client.close()
    horizon_s = settings.discovery.horizon_s
    return next_universe(previous, survey.found(), horizon_s=horizon_s, now_ms=_now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _show(outcome: Outcome) -> int:
    page = universe_text(
        outcome.universe,
        pending=outcome.pending,
        conditions=outcome.conditions,
        now_ms=_now_ms(),
    )
    print(terminal.printable_lines(page), end="")
    for name, slugs in (("entered", outcome.entered), ("left", outcome.left)):
        if slugs:
            print(f"{name}: {terminal.printable(', '.join(slugs))}")
    for each in outcome.conditions:
        print(f"{terminal.coloured(each.alert, 'yellow')}: {terminal.printable(each.detail)}")
    if any(each.alert == "gamma_unreachable" for each in outcome.conditions):
        terminal.complain("Gamma did not answer", hint="is there a network? `orderbooks probe`")
        return EXIT_CANNOT
    return EXIT_WRONG if outcome.conditions else EXIT_FINE


class _Publisher:
    """Discovery's own place and files, for one round."""

    def __init__(self, data: DataDir, loaded: Loaded) -> None:
        self._writer = Writer(
            worker=WORKER,
            run=str(_now_ms()),
            versions={"orderbooks": VERSION, "python": sys.version.split()[0]},
        )
        limits = msgspec.convert(msgspec.structs.asdict(loaded.settings.segments), Limits)
        self._recorder = Recorder(data, self._writer, limits)
        self._diary = Diary(self._recorder, self._writer)
        self._files = UniverseFiles(data, self._recorder, WORKER)
        kept_bytes = loaded.settings.collector.kept_body_bytes
        self._pages = PageKeeper(self._recorder, self._diary, WORKER, kept_bytes=kept_bytes)
        self._due_ms = _now_ms()
        self.previous = self._files.recall()
        markets = manifest_markets(self.previous)
        Salvager(data, self._writer, limits.deflate_level).recover(markets, time.time_ns())
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._diary.started(
            time.time_ns(),
            time.monotonic_ns(),
            pid=os.getpid(),
            boot_id=boot_id,
            config_sha256=loaded.config_sha256,
        )

    @classmethod
    @contextmanager
    def at_work(cls, data: DataDir, loaded: Loaded) -> Iterator["_Publisher"]:
        """Own discovery's directory, and publish everything at the end."""
        data.prepare()
        folder = data.open_folder(WORKER)
        durable.make_directories(folder)
        try:
            locks.own(folder)
        except Temporary as error:
            raise NeedsAPerson(
                f"discover: {error}", hint="a discovery is running: look with --dry-run instead"
            ) from error
        publisher = cls(data, loaded)
        try:
            yield publisher
        finally:
            publisher.close()

    def keep(self, question: Question, answer: Answer, cause: str) -> None:
        """Record one exchange as discovery does."""
        self._pages.keep(
            question,
            answer,
            cause,
            request_id=self._diary.next_request_id(),
            due_ms=self._due_ms,
        )

    def publish(self, outcome: Outcome) -> None:
        """Put the round's universe in place."""
        self._files.offer(outcome, wall_ns=time.time_ns())
        self._files.publish(wall_ns=time.time_ns(), mono_ns=time.monotonic_ns())

    def close(self) -> None:
        """Write the last rows and publish the segments."""
        self._diary.stopped(time.time_ns(), time.monotonic_ns())
        self._recorder.close("stop", wall_ns=time.time_ns(), mono_ns=time.monotonic_ns())
        if self._recorder.trouble is not None:
            raise NeedsAPerson(
                f"discover: the disk refuses: {self._recorder.trouble.reason}",
                hint="nothing is lost: the next start of discovery publishes it",
            )
        locks.release_all()
