"""How the fleet is, in a word: for a probe, or over HTTP on this machine for whoever asks there.

It says what the watchdog last wrote; it asks nobody.
"""

import argparse
import json
import signal
import threading
import time

import msgspec

from workers.edge import terminal
from workers.edge.health_server import HealthServer, judged
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
EXAMPLES = """\
examples:
  orderbooks health                              one word, and why
  orderbooks health --json                       the same for a program
  orderbooks health --look                       for a probe that restarts: does the watchdog look?
  orderbooks health --listen 127.0.0.1:8010      GET /health /disk /alerts /metrics, until Ctrl-C
  orderbooks health --listen unix:var/health.sock

exit codes: 0 ok or degraded; 1 failing, or nobody has looked for two minutes; 2 cannot do it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--listen", metavar="WHERE", help="127.0.0.1:PORT, [::1]:PORT or unix:PATH")
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.add_argument(
        "--look",
        action="store_true",
        help="judge only whether the watchdog has looked, not what it saw",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict, or serve it until SIGINT or SIGTERM."""
    data = DataDir(arguments.data)
    if arguments.listen:
        return _serve(data, arguments.listen)
    found = judged(data, time.time_ns())
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        print(found.verdict)
        for reason in found.reasons:
            print(f"  {terminal.printable(reason)}")
    is_fine = found.has_looked if arguments.look else found.is_serving
    return EXIT_FINE if is_fine else EXIT_WRONG


def _serve(data: DataDir, listen: str) -> int:
    # Before it listens: whoever finds it listening may end it at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    server = HealthServer(data, listen)
    threading.Thread(target=_end_when_asked, args=(server,), daemon=True).start()
    try:
        print(f"listening: curl {server.where}", flush=True)
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
    return EXIT_FINE


def _end_when_asked(server: HealthServer) -> None:
    signal.sigwait(_STOPS)
    server.shutdown()
