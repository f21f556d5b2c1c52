"""The laws of the commit, read from the system calls of a whole life.

A killed process loses nothing of the page cache, so no kill can show a missing fsync; the order
of the calls can.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(.*)")
_FD_PATH = re.compile(r"^\d+<([^>]*)>")
_TEXT = re.compile(r'"([^"]*)"')
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Call:
    """One system call: where it stands, what it touched, whether it worked."""

    at: int
    name: str
    path: str
    target: str
    worked: bool
    creates: bool


def calls(lines: Iterable[str]) -> list[Call]:
    """The calls that name a file."""
    found = []
    for at, line in enumerate(lines):
        match = _CALL.match(line)
        if match is None:
            continue
        name, arguments, result, _ = match.groups()
        texts = _TEXT.findall(arguments)
        fd = _FD_PATH.match(arguments)
        path = fd[1] if fd else (texts[0] if texts else "")
        target = texts[-1] if name == "rename" else ""
        worked = not result.startswith("-")
        found.append(Call(at, name, path, target, worked, "O_CREAT" in arguments))
    return found


def broken_laws(trace: list[Call]) -> list[str]:
    """Every law that a trace breaks, for every segment in it."""
    wrong = list(_retried_syncs(trace))
    names = [each for each in trace if each.name == "rename" and each.worked]
    for commit in names:
        if commit.target.endswith(".manifest.json"):
            name = Path(commit.target).name.removesuffix(".manifest.json")
            wrong += [f"{name}: {law}" for law in _laws_of_segment(trace, commit)]
    for each in names:
        wrong += [f"{Path(each.target).name}: {law}" for law in _laws_of_rename(trace, each)]
    return wrong


def _laws_of_rename(trace: list[Call], rename: Call) -> Iterator[str]:
    """Bytes before their name, and the name in both directories before anything else."""
    source, target = Path(rename.path), Path(rename.target)
    written = _last(trace, "write", rename.path, rename.at)
    if written >= 0 and not _between(trace, SYNCS, rename.path, written, rename.at):
        yield "renamed before its bytes were synced"
    later = [each.at for each in trace if each.at > rename.at and each.name in ("rename", "write")]
    after = min(later, default=rename.at + 1000)
    for folder in {source.parent, target.parent}:
        if not _between(trace, SYNCS, str(folder), rename.at, after):
            yield f"{folder.name}/ was not synced after a rename"


def _laws_of_segment(trace: list[Call], commit: Call) -> Iterator[str]:
    """Data before manifest, chain before commit, proof before data, tickets last."""
    name = Path(commit.target).name.removesuffix(".manifest.json")
    data_name = commit.target.replace(".manifest.json", ".jsonl.gz")
    moves = [each for each in trace if each.name == "rename" and each.target == data_name]
    if not moves or moves[-1].at > commit.at:
        yield "the manifest got its name before the data"
        return
    move = moves[-1]
    chains = [each.at for each in _renames(trace, "/chain.json") if each.at < move.at]
    drafts = [each.at for each in _renames(trace, f"/{name}.manifest.json.tmp")]
    if not drafts or not chains or not min(drafts) < max(chains) < move.at:
        yield "expected draft, then chain.json, then the data"
    written = _last(trace, "write", move.path, move.at)
    proof = _last(trace, "fadvise64", move.path, move.at)
    if not written < proof < move.at:
        yield "renamed without being read back from the disk"
    issued = [each.at for each in _renames(trace, f"/{name}.ready")]
    if len(issued) != 2 or min(issued) < commit.at:
        yield f"expected two tickets after the commit, at {commit.at}: {issued}"


def _renames(trace: list[Call], suffix: str) -> Iterator[Call]:
    yield from (each for each in trace if each.name == "rename" and each.target.endswith(suffix))


def _retried_syncs(trace: list[Call]) -> Iterator[str]:
    failed: set[str] = set()
    for each in trace:
        if each.name == "fdatasync" and each.path in failed:
            yield f"{Path(each.path).name}: fdatasync again after it failed"
        if each.name == "fdatasync" and not each.worked:
            failed.add(each.path)


def _last(trace: list[Call], name: str, path: str, before: int) -> int:
    found = [each.at for each in trace if each.name == name and each.path == path]
    return max((at for at in found if at < before), default=-1)


def _between(trace: list[Call], names: Iterable[str], path: str, after: int, before: int) -> bool:
    return any(
        each.name in names and each.path == path and each.worked and after < each.at < before
        for each in trace
    )
