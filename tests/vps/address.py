"""The venue's address outside: a name server, and TLS before the venue. Both can fail.

Writes    <folder>/authorities.pem, what a client must trust; the certificates and their keys
Promises  a failure lasts until the next word; connections that stand outlive a name that is gone,
          as they do everywhere, until `hang_up`
Never     sends a packet but to who asked, and to the venue on this machine's loopback
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path

from tests.remotes import certificate

NAME = "venue.test"
#: What the name server says: the address; that there is no such name; nothing, for it is gone.
KNOWN, UNKNOWN, GONE = "known", "unknown", "gone"
#: What the venue shows: its certificate; one that ran out yesterday; one of another host.
GOOD, EXPIRED, ANOTHERS = "good", "expired", "another's"
_CERTIFICATES = {
    GOOD: (NAME, 30 * certificate.DAY_S),
    EXPIRED: (NAME, -certificate.DAY_S),
    ANOTHERS: ("another.test", 30 * certificate.DAY_S),
}
_NO_ERROR, _NO_SUCH_NAME = 0x8180, 0x8183
_TYPE_A = b"\0\1"
_HEADER_BYTES, _TAIL_BYTES = 12, 4
_PIECE_BYTES = 1 << 16


class Names:
    """A name server that knows one name."""

    def __init__(self, host: str, address: str, port: int = 53) -> None:
        self._at, self._address = (host, port), socket.inet_aton(address)
        self._said = GONE
        self._socket: socket.socket | None = None
        self.say(KNOWN)

    def say(self, word: str) -> None:
        """From now on KNOWN, UNKNOWN or GONE."""
        self._said = word
        if word == GONE and self._socket is not None:
            # While a thread waits in it the port stays bound: wake it by an empty question.
            self._socket.sendto(b"", self._at)
            self._thread.join()
            self._socket.close()
            self._socket = None
        elif word != GONE and self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind(self._at)
            self._at = self._socket.getsockname()
            self._thread = threading.Thread(target=self._serve, args=[self._socket], daemon=True)
            self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._at[1])

    def _serve(self, own: socket.socket) -> None:
        while True:
            try:
                asked, who = own.recvfrom(512)
                if not asked:
                    return
                own.sendto(self._answer(asked), who)
            except OSError:
                return

    def _answer(self, asked: bytes) -> bytes:
        end = asked.index(b"\0", _HEADER_BYTES) + 1
        question = asked[_HEADER_BYTES : end + _TAIL_BYTES]
        wanted = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0"
        is_known = self._said == KNOWN and asked[_HEADER_BYTES:end].lower() == wanted
        answers = b""
        if is_known and question[-_TAIL_BYTES:-2] == _TYPE_A:
            answers = b"\xc0\x0c\0\1\0\1" + bytes(4) + b"\0\4" + self._address
        flags = (_NO_ERROR if is_known else _NO_SUCH_NAME).to_bytes(2, "big")
        counts = b"\0\1" + (b"\0\1" if answers else b"\0\0") + bytes(4)
        return asked[:2] + flags + counts + question + answers


class Front:
    """TLS on some ports of a host; behind each a port of this machine's loopback."""

    def __init__(self, folder: Path, host: str, ports: Mapping[int, int]) -> None:
        self.authorities = folder / "authorities.pem"
        self._folder, self._tls = folder, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._open: set[asyncio.StreamWriter] = set()
        pairs = {
            word: certificate.make([name], until_s=s) for word, (name, s) in _CERTIFICATES.items()
        }
        for word, pair in pairs.items():
            (folder / f"{word}.pem").write_text(pair.certificate + pair.key)
        # All of them: each is refused for what is wrong with it alone.
        self.authorities.write_text("".join(pair.certificate for pair in pairs.values()))
        self.show(GOOD)
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.ports = [self._during(self._listen(host, port, to)) for port, to in ports.items()]

    def show(self, word: str) -> None:
        """From the next handshake on this certificate: GOOD, EXPIRED or ANOTHERS."""
        self._tls.load_cert_chain(self._folder / f"{word}.pem")

    def hang_up(self) -> None:
        """End every connection that stands."""
        for each in list(self._open):
            self._loop.call_soon_threadsafe(each.transport.abort)

    def close(self) -> None:
        """End it."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _during(self, work: Coroutine[None, None, int]) -> int:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, host: str, port: int, to: int) -> int:
        async def carry(theirs: asyncio.StreamReader, to_them: asyncio.StreamWriter) -> None:
            try:
                ours, to_us = await asyncio.open_connection("127.0.0.1", to)
                self._open |= {to_them, to_us}
                await asyncio.gather(_pump(theirs, to_us), _pump(ours, to_them))
            finally:
                to_them.close()

        server = await asyncio.start_server(carry, host, port, ssl=self._tls)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(_PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
