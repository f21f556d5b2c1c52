"""The chain of one writer's manifests: nothing missing, nothing exchanged, nothing edited.

Each manifest names the SHA-256 of the bytes of the one before it; spool/open/<worker>/chain.json
names the newest. To change one manifest unseen, every later one and the head must be rewritten.
"""

from collections.abc import Iterator, Sequence

import msgspec

from workers.core.archive.manifests import Chain, Head


class Link(msgspec.Struct, frozen=True):
    """One published manifest: where, what it says of the chain, and the SHA-256 of its bytes."""

    path: str
    name: str
    chain: Chain
    sha256: str


class Break(msgspec.Struct, frozen=True):
    """Something wrong with a chain; `path` is the manifest that shows it."""

    path: str
    detail: str


def breaks(writer: str, links: Sequence[Link], head: Head, *, head_path: str) -> Iterator[Break]:
    """Everything wrong with the chain of one writer.

    Args:
        writer: the worker.
        links: its manifests, in any order.
        head: its chain.json, read after the manifests were listed.
        head_path: where that lies.
    """
    ordered = sorted(links, key=lambda each: each.chain.seq)
    previous: Link | None = None
    for link in ordered:
        yield from _link_breaks(writer, link, previous)
        previous = link
    yield from _head_breaks(writer, previous, head, head_path)


def breaks_of_part(writer: str, links: Sequence[Link]) -> Iterator[Break]:
    """What is wrong with the chain of one writer where neighbours are here; gaps are not told."""
    ordered = sorted(links, key=lambda each: each.chain.seq)
    previous: Link | None = None
    for link in ordered:
        is_neighbour = previous is not None and link.chain.seq <= previous.chain.seq + 1
        if is_neighbour or link.chain.seq == 1:
            yield from _link_breaks(writer, link, previous)
        elif link.chain.writer != writer:
            yield Break(
                link.path, f"its chain is {link.chain.writer!r}'s, its worker is {writer!r}"
            )
        previous = link


def _link_breaks(writer: str, link: Link, previous: Link | None) -> Iterator[Break]:
    chain = link.chain
    if chain.writer != writer:
        yield Break(link.path, f"its chain is {chain.writer!r}'s, its worker is {writer!r}")
    before = previous.chain.seq if previous else 0
    if chain.seq == before and previous:
        yield Break(link.path, f"link {chain.seq} of {writer} is also {previous.name}")
    elif chain.seq > before + 1:
        yield Break(
            link.path, f"{_numbers(before + 1, chain.seq - 1)} of {writer} missing; {_said(chain)}"
        )
    elif previous and chain.previous_name != previous.name:
        yield Break(link.path, f"follows {chain.previous_name}, link {before} is {previous.name}")
    elif previous and chain.previous_sha256 != previous.sha256:
        yield Break(previous.path, f"was changed after {link.name} was chained to it")
    elif not previous and (chain.previous_name or chain.previous_sha256):
        yield Break(link.path, f"is link 1 and says it follows {chain.previous_name}")


def _said(chain: Chain) -> str:
    return f"the last of them is {chain.previous_name}"


def _numbers(first: int, last: int) -> str:
    return f"link {first}" if first == last else f"links {first} to {last}"


def _head_breaks(writer: str, last: Link | None, head: Head, path: str) -> Iterator[Break]:
    seq = last.chain.seq if last else 0
    if head.seq == seq:
        if last and head.sha256 != last.sha256:
            yield Break(last.path, f"was changed after {writer}'s chain head named it")
        return
    if head.seq < seq:
        yield Break(
            path, f"names link {head.seq}, link {seq} is published: it was put back or lost"
        )
        return
    settled = head.previous
    is_under_way = settled is not None and settled.seq == seq == head.seq - 1
    is_first = head.seq == 1 and last is None
    if is_under_way or is_first:
        yield Break(path, f"names {head.name}, which is not published")
        if last and settled and settled.sha256 != last.sha256:
            yield Break(last.path, f"was changed after {writer}'s chain head named it")
    else:
        yield Break(
            path, f"{_numbers(seq + 1, head.seq)} of {writer} missing; the last is {head.name}"
        )
