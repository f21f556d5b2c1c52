"""Write a part of the archive for other programs: hftbacktest, readers of Tardis slices, CSV.

hftbacktest  one npz of one outcome: a snapshot first and after each gap, between two books the
             levels that differ; a gap clears the book; the trades of the stream
tardis       a folder of gzip files, one for each minute: time, blank, the venue's bytes; an empty
             line where a gap begins. tardis-client reads it with cache_dir=OUT
csv          a row for each level or trade, exact decimals; a gap is a row; OUT may end in .gz

What a format cannot say is told on stdout and in OUT.provenance.json: the segments with their
SHA-256, the gaps with their causes, and what was left out.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from workers.core.books.amounts import shortest
from workers.core.errors import NeedsAPerson
from workers.core.instants import utc_text
from workers.core.reading import export_text
from workers.core.reading.evidence import State, Trade, trade_of
from workers.core.reading.hft_events import HftEvents
from workers.core.reading.moments import outcome_at
from workers.core.reading.replay import Kind, Scene
from workers.edge import durable, export_files
from workers.edge.export_files import Slices
from workers.edge.reading.archive import open_archive
from workers.edge.replaying.cast import Cast, cast_of
from workers.edge.replaying.scenes import scenes_of

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks export --format hftbacktest btc-updown-5m-1776326400 --outcome Up --out up.npz
  orderbooks export --format tardis 'btc-*' --from 2026-04-16 --to 2026-04-17 --out slices
  orderbooks export --format csv btc-updown-5m-1776326400 --levels 5 --out books.csv.gz

exit codes: 0 written; 1 written, with damage on the way; 2 cannot do it, or OUT exists
"""


class Account:
    """What went by on the way into a file."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.sources: dict[str, tuple[str | None, int]] = {}
        self.gaps: list[dict[str, object]] = []
        self.left_out: Counter[str] = Counter()
        self.labelled = 0
        self.ticks: set[int] = set()

    def counted(self, scenes: Iterable[Scene]) -> Iterator[Scene]:
        """The same scenes, counted."""
        for scene in scenes:
            self.kinds[scene.kind] += 1
            answer = scene.answer
            self.labelled += answer.state == State.LABELLED
            if scene.kind not in {Kind.BOOK, Kind.EVENT}:
                self._missed(scene)
            elif answer.provenance is not None:
                source = answer.provenance
                rows = self.sources.get(source.path, (None, 0))[1]
                self.sources[source.path] = source.sha256, rows + 1
            if answer.book is not None and answer.book.tick_micros is not None:
                self.ticks.add(answer.book.tick_micros)
            yield scene

    def _missed(self, scene: Scene) -> None:
        answer, gap = scene.answer, scene.answer.gap
        self.gaps.append(
            {
                "kind": scene.kind.value,
                "slug": answer.slug,
                "outcome": answer.outcome,
                "from_utc": utc_text(answer.at_ns),
                "last_due_ms": gap.until_due_ms if gap else None,
                "cause": answer.cause,
            }
        )

    def trade(self, scene: Scene) -> Trade | None:
        """The trade that a scene tells; a new tick is none, and counted."""
        answer = scene.answer
        if scene.kind != Kind.EVENT or answer.provenance is None:
            return None
        found = trade_of(answer.event, answer.token_id, answer.at_ns, answer.provenance)
        self.left_out["ticks or unreadable trades"] += found is None
        return found

    def usable(self, scene: Scene) -> bool:
        """True for a book that may stand in the file; of any other the reason is counted."""
        if scene.kind != Kind.BOOK:
            return False
        if scene.answer.state == State.LABELLED:
            self.left_out["labelled"] += 1
        elif scene.answer.book is None or not scene.raw:
            self.left_out["unreadable"] += 1
        else:
            return True
        return False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("markets", nargs="+", metavar="MARKET", help="slugs or patterns")
    parser.add_argument("--format", choices=tuple(_WRITERS), required=True, help="see above")
    parser.add_argument("--from", dest="from_text", default="", metavar="T", help="first moment")
    parser.add_argument("--to", dest="to_text", default="", metavar="T", help="end, exclusive")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="file or folder")
    parser.add_argument("--outcome", metavar="NAME", help="Up, Down, 0, 1, a token id (both)")
    parser.add_argument("--levels", type=int, metavar="N", help="csv: of each side (all)")
    parser.add_argument("--source", choices=("raw", "derived"), default="raw", help="read from")
    parser.add_argument("--on-damage", choices=("label", "raise"), default="label")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; 0 when nothing was damaged."""
    out = _checked(arguments)
    facts = out.with_name(f"{out.name}.provenance.json")
    for each in (out, facts):
        export_files.check_free(each)
    reader = open_archive(arguments.data, arguments.on_damage, source=arguments.source)
    cast = cast_of(
        reader,
        arguments.markets,
        arguments.from_text,
        arguments.to_text,
        now_ns=time.time_ns(),
    )
    account = Account()
    wanted = _tokens(cast, arguments.outcome, arguments.format)
    scenes = account.counted(
        each
        for each in scenes_of(reader, cast)
        if each.kind == Kind.DAMAGE or each.answer.token_id in wanted
    )
    told = _WRITERS[arguments.format](out, scenes, cast, account, arguments.levels)
    text = json.dumps(_facts(arguments, cast, account, told), indent=1)
    durable.replace(facts, text.encode() + b"\n")
    print(text)
    return EXIT_WRONG if account.labelled else EXIT_FINE


def _checked(arguments: argparse.Namespace) -> Path:
    out: Path = arguments.out.absolute()
    if arguments.format == "hftbacktest" and out.suffix != ".npz":
        raise NeedsAPerson(
            f"write {arguments.out}: hftbacktest opens no other name than one in .npz",
            hint=f"--out {arguments.out}.npz",
        )
    if arguments.levels is not None and arguments.levels < 1:
        raise NeedsAPerson(f"write {arguments.levels} levels", hint="--levels 1 or more, or all")
    return out


def _tokens(cast: Cast, outcome: str | None, form: str) -> set[str]:
    if outcome is not None:
        found = {outcome_at(outcome, each.tokens)[0] for each in cast.subjects}
    else:
        found = {token for each in cast.subjects for token, _ in each.tokens}
    if form == "hftbacktest" and len(found) != 1:
        raise NeedsAPerson(
            "export for hftbacktest: it reads one asset from a file",
            hint="one MARKET and its --outcome",
        )
    return found


def _facts(
    arguments: argparse.Namespace, cast: Cast, account: Account, told: dict[str, object]
) -> dict[str, object]:
    return {
        "schema": "orderbooks.export/1",
        "format": arguments.format,
        "out": arguments.out.name,
        "from_utc": utc_text(cast.from_ns),
        "until_utc": utc_text(cast.until_ns),
        "source": arguments.source,
        "markets": [
            {"slug": each.slug, "condition_id": each.condition_id, "tokens": dict(each.tokens)}
            for each in cast.subjects
        ],
        "tick_sizes": [shortest(each) for each in sorted(account.ticks)],
        "scenes": {each.value: account.kinds[each] for each in Kind},
        "left_out": dict(account.left_out),
        **told,
        "segments": [
            {"path": path, "sha256": sha256, "rows": rows}
            for path, (sha256, rows) in sorted(account.sources.items())
        ],
        "gaps": account.gaps,
    }


def _hftbacktest(
    out: Path, scenes: Iterator[Scene], _cast: Cast, account: Account, _levels: int | None
) -> dict[str, object]:
    events = HftEvents()

    def records() -> Iterator[bytes]:
        for scene in scenes:
            book = scene.answer.book
            trade = account.trade(scene)
            if trade is not None:
                yield events.trade(trade)
            elif account.usable(scene) and book is not None:
                yield events.book(book, scene.at_ns)
            elif scene.kind != Kind.EVENT:
                yield events.gap(scene.at_ns)

    export_files.write_npz(out, records())
    return {"events": msgspec.to_builtins(events.counts)}


def _tardis(
    out: Path, scenes: Iterator[Scene], cast: Cast, account: Account, _levels: int | None
) -> dict[str, object]:
    slices = Slices(out, cast.from_ns, cast.until_ns)
    respelled = 0
    try:
        for scene in scenes:
            raw = scene.answer.event if scene.kind == Kind.EVENT else scene.raw
            if scene.kind == Kind.EVENT or account.usable(scene):
                slices.message(scene.at_ns, raw)
                respelled += b"\n" in raw
            else:
                slices.disconnect(scene.at_ns)
        slices.publish()
    finally:
        slices.abandon()
    return {
        "slices": {
            "files": slices.files,
            "messages": slices.messages,
            "disconnects": slices.disconnects,
            "respelled": respelled,
        }
    }


def _csv(
    out: Path, scenes: Iterator[Scene], _cast: Cast, account: Account, levels: int | None
) -> dict[str, object]:
    rows = 0

    def lines() -> Iterator[str]:
        nonlocal rows
        yield export_text.csv_head()
        for scene in scenes:
            trade = account.trade(scene)
            if trade is not None:
                told = iter([export_text.csv_trade(scene, trade)])
            elif scene.kind == Kind.EVENT:
                continue
            else:
                told = export_text.csv_rows(scene, levels)
            for row in told:
                rows += 1
                yield row

    export_files.write_text(out, lines())
    return {"rows": rows}


_Writer = Callable[[Path, Iterator[Scene], Cast, Account, int | None], dict[str, object]]
_WRITERS: dict[str, _Writer] = {"hftbacktest": _hftbacktest, "tardis": _tardis, "csv": _csv}
