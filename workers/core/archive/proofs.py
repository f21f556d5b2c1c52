"""What one segment proves: its rows counted again, every book hashed again, every promise noted.

Promises  the same code counts that counted when the rows were written; what a segment says about
          requests is kept as runs of request numbers, so that a day of evidence stays small.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from workers.core.archive import ledger, story
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.runs import Run, Runs
from workers.core.archive.segments import SegmentName, scan_rows, segment_folder
from workers.core.archive.story import Told, request_number
from workers.core.books.bookhash import verdict
from workers.core.causes import OK
from workers.core.coverage.lives import outcomes

#: One damaged file must not fill the screen.
PROBLEMS_MAX = 20


class Unread(msgspec.Struct, frozen=True):
    """Requests whose rows are not here, by their numbers (both ends inclusive).

    `run` is `<worker>.<run>`; `tokens` of a books segment, None = the requests of a ledger.
    """

    run: str
    tokens: frozenset[str] | None
    first: int
    last: int


class Proof(msgspec.Struct):
    """What was found in one segment; runs are of request numbers, keys `<worker>.<run>`.

    `asked` is every request of a ledger; `promised` the rows it promises and `held` the rows a
    books segment has, by (key, token); `stopped` the runs that ended as asked. `unread` is what
    its manifest says of a data file that retention let go: rows that are elsewhere, not missing.
    """

    name: str
    path: str
    kind: str = ""
    is_cut_short: bool = False
    rows: int = 0
    bytes: int = 0
    hashes: dict[str, int] = {}
    problems: list[str] = []
    asked: dict[str, list[Run]] = {}
    promised: dict[tuple[str, str], list[Run]] = {}
    held: dict[tuple[str, str], list[Run]] = {}
    stopped: list[str] = []
    unread: Unread | None = None

    def accuse(self, problem: str) -> None:
        """Note a problem; of many in one segment the first are enough."""
        if len(self.problems) == PROBLEMS_MAX:
            self.problems.append("and more")
        elif len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


def examine_place(manifest: SegmentManifest, name: SegmentName, path: str) -> Iterator[str]:
    """Whether a manifest lies where it says and says what its name says."""
    told = manifest.told
    folder = segment_folder(name.kind, told.first_due_ms or 0)
    if manifest.path != path:
        yield f"lies at {path}, its manifest says {manifest.path}"
    elif manifest.path.rpartition("/")[0] != folder:
        yield f"lies in {manifest.path.rpartition('/')[0]}, its first tick belongs to {folder}"
    said = (manifest.subject, manifest.kind, manifest.worker)
    if not manifest.path.endswith(f"/{manifest.name}.jsonl.gz"):
        yield f"its manifest is of {manifest.name}"
    elif (name.kind, name.worker) != said[1:]:
        yield f"its manifest says it is {said[1]} of {said[2]}"


def examine(proof: Proof, manifest: SegmentManifest, stream: bytes) -> None:
    """Read every row of a segment and compare with its manifest; adds to `proof`."""
    scan = scan_rows(stream)
    if scan.damage:
        proof.accuse(f"uncompressed: {scan.damage}")
    good = stream[: scan.good_bytes]
    proof.rows = scan.rows
    market = manifest.told.market
    try:
        told = story.retell(manifest.kind, good, {market.condition_id: market} if market else {})
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        proof.accuse(f"a row is not of this schema: {error}")
        return
    for problem in _differences(manifest.told, told.told()):
        proof.accuse(problem)
    proof.hashes = msgspec.structs.asdict(told.told().hashes)
    gather(proof, manifest.kind, good, market, run=f"{manifest.worker}.{manifest.run}")


def trust(proof: Proof, manifest: SegmentManifest) -> None:
    """Take a manifest's word for rows that are not here; adds to `proof`."""
    told = manifest.told
    is_ledger = manifest.kind == "ledger"
    run = f"{manifest.worker}.{told.run or manifest.run}"
    if is_ledger and manifest.ended == "stop":
        proof.stopped.append(run)
    if told.first_request is None or manifest.kind not in {"ledger", "books", "frames"}:
        return
    tokens = frozenset(each.token_id for each in told.captured)
    if manifest.kind == "frames" and told.market is not None:
        tokens = frozenset(told.market.tokens)
    proof.unread = Unread(
        run=run,
        tokens=None if is_ledger else tokens,
        first=told.first_request,
        last=told.last_request or told.first_request,
    )


def gather(
    proof: Proof,
    kind: str,
    rows: bytes,
    market: story.ManifestMarket | None = None,
    *,
    run: str = "",
) -> None:
    """Note what whole rows hold, ask and promise; adds to `proof`.

    `run` is of a ledger's first rows: a segment may hold nothing but the end of its run.
    """
    lines = rows[:-1].split(b"\n") if rows else []
    if kind == "books":
        _gather_books(proof, lines, market)
    elif kind == "frames":
        _gather_frames(proof, lines, market)
    elif kind == "ledger":
        _gather_ledger(proof, lines, run)


def _differences(said: Told, found: Told) -> Iterator[str]:
    """Every member that rows prove, where the manifest says something else."""
    for member in found.__struct_fields__:
        claimed, counted = getattr(said, member), getattr(found, member)
        if member == "market":
            continue
        if member == "ticks":
            claimed, counted = claimed.captured, counted.captured
        if claimed != counted:
            yield f"manifest: told.{member} is {_short(claimed)}, its rows say {_short(counted)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _gather_books(proof: Proof, lines: list[bytes], market: story.ManifestMarket | None) -> None:
    held: dict[tuple[str, str], Runs] = {}
    last: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        row = story.read_row(line)
        raw = row.raw_book()
        found = verdict(raw)
        if found != row.hash:
            proof.accuse(f"row {number}: its book's hash is {found}, recorded {row.hash!r}")
        problem = _wrong_book(raw, row.token_id, market)
        if problem:
            proof.accuse(f"row {number}: {problem}")
        run, _, _ = row.request.rpartition(".")
        key = (run, row.token_id)
        request = request_number(row.request)
        if last.get(key) == request:
            proof.accuse(f"row {number}: a second row of {row.request} for token {row.token_id}")
        last[key] = request
        if key not in held:
            held[key] = Runs(row.token_id)
        held[key].add(request)
    proof.held = {key: runs.listed() for key, runs in held.items()}


def _gather_frames(proof: Proof, lines: list[bytes], market: story.ManifestMarket | None) -> None:
    """The rows that answers of REST promise; the same book may stand beside each connection."""
    held: dict[tuple[str, str], set[int]] = {}
    for number, line in enumerate(lines, 1):
        row = story.read_row(line)
        try:
            ids = _frame_ids.decode(row.raw_event())
        except msgspec.MsgspecError as error:
            proof.accuse(f"row {number}: it holds no event: {error}")
            continue
        if market is not None and market.tokens and ids.market != market.condition_id:
            proof.accuse(f"row {number}: an event of {ids.market} is not of {market.slug}")
        if row.request:
            run, _, _ = row.request.rpartition(".")
            held.setdefault((run, ids.asset_id), set()).add(request_number(row.request))
    for key, numbers in held.items():
        runs = Runs(key[1])
        for each in sorted(numbers):
            runs.add(each)
        proof.held[key] = runs.listed()


class _FrameIds(msgspec.Struct, frozen=True):
    market: str = ""
    asset_id: str = ""


_frame_ids = msgspec.json.Decoder(_FrameIds)


class _Ids(msgspec.Struct, frozen=True):
    market: str
    asset_id: str


_ids = msgspec.json.Decoder(_Ids)


def _wrong_book(raw: bytes, token_id: str, market: story.ManifestMarket | None) -> str:
    """Why a book does not belong in this row, or ""."""
    try:
        ids = _ids.decode(raw)
    except msgspec.MsgspecError as error:
        return f"its book has no ids: {error}"
    if ids.asset_id != token_id:
        return f"its book is of token {ids.asset_id}, the row of {token_id}"
    if market is None or not market.tokens:
        return ""
    if ids.market != market.condition_id or token_id not in market.tokens:
        return f"token {token_id} of {ids.market} is not of {market.slug}"
    return ""


def _gather_ledger(proof: Proof, lines: list[bytes], run: str) -> None:
    asked: dict[str, Runs] = {}
    promised: dict[tuple[str, str], Runs] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = ledger.read_row(line)
        except msgspec.MsgspecError as error:
            proof.accuse(f"row {number}: not a ledger row: {error}")
            continue
        if isinstance(row, ledger.Started):
            run = f"{row.worker}.{row.run}"
        elif isinstance(row, ledger.Request):
            run = row.id.rpartition(".")[0]
            _note_request(proof, row, number, asked, promised)
        elif isinstance(row, ledger.Stopped):
            proof.stopped.append(run)
    proof.asked = {key: runs.listed() for key, runs in asked.items()}
    proof.promised = {key: runs.listed() for key, runs in promised.items()}


def _note_request(
    proof: Proof,
    row: ledger.Request,
    number: int,
    asked: dict[str, Runs],
    promised: dict[tuple[str, str], Runs],
) -> None:
    run, request = row.id.rpartition(".")[0], request_number(row.id)
    asked.setdefault(run, Runs("")).add(request)
    if row.layout == "kept" and row.body_kept_bytes == row.body_bytes:
        digest = hashlib.sha256(row.kept_body()).hexdigest()
        if row.sha256 is not None and digest != row.sha256:
            proof.accuse(f"row {number}: the body kept of {row.id} has another SHA-256")
    for cause, tokens in outcomes(row):
        for token in tokens if cause == OK else ():
            promised.setdefault((run, token), Runs(token)).add(request)
