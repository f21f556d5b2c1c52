"""orderbooks: look at, prove and care for the archive.

    python -m workers.tools VERB …        (the `orderbooks` command of a checkout)

Promises  exit 0 = fine, 1 = found something wrong, 2 = cannot do it, or a wrong command line;
          what is expected to fail fails with a sentence and a hint on stderr, without a traceback
Never     starts more than the verb it was asked for: each is imported when it is called
"""

# ruff: noqa: PLC0415 - a verb costs only its own imports: `status` starts in 0.1 s

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from workers import VERSION
from workers.core.errors import OrderbooksError
from workers.edge import terminal

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT, EXIT_INTERRUPTED = 0, 1, 2, 130
CHECKOUT = Path(__file__).resolve().parent.parent.parent

VERBS = {
    "up": "run the fleet in the foreground",
    "ctl": "talk to the running fleet: status, start, stop, restart, tail",
    "status": "what every worker and market is doing now",
    "verify": "prove that every published file is whole and unchanged",
    "coverage": "account for every tick that was due",
    "response": "rebuild one HTTP response byte for byte",
    "spool": "what waits, what failed, what is in quarantine",
    "discover": "one round of discovery, to look at",
    "probe": "check every public endpoint that is used",
    "label": "say of a file or a gap that it is invalid, deprecated or known",
    "config": "check a settings file, or print the settings in force",
}
#: These work on a data directory: it is found before they run.
ON_DATA = {"status", "verify", "coverage", "response", "spool", "label"}
EPILOG = """\
examples:
  orderbooks up                        record until stopped with Ctrl-C
  orderbooks status --watch            look at it
  orderbooks verify && orderbooks coverage
  orderbooks VERB --help               everything about one verb

exit codes: 0 fine, 1 found something wrong, 2 cannot do it or wrong command line
"""


def _verb(name: str) -> ModuleType:  # noqa: PLR0911 - a table of imports that a reader can follow
    match name:
        case "up":
            from workers.tools import up

            return up
        case "ctl":
            from workers.tools import ctl

            return ctl
        case "status":
            from workers.tools import status

            return status
        case "verify":
            from workers.tools import verify

            return verify
        case "coverage":
            from workers.tools import coverage

            return coverage
        case "response":
            from workers.tools import response

            return response
        case _:
            return _rarer_verb(name)


def _rarer_verb(name: str) -> ModuleType:
    match name:
        case "spool":
            from workers.tools import spool

            return spool
        case "discover":
            from workers.tools import discover

            return discover
        case "probe":
            from workers.tools import probe

            return probe
        case "label":
            from workers.tools import label

            return label
        case _:
            from workers.tools import config

            return config


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in VERBS:
        return _top(words)
    name = words[0]
    module = _verb(name)
    parser = _parser(name, module)
    arguments = parser.parse_args(_config_first(words[1:]))
    return _guarded(name, arguments, module.run)


def _config_first(words: list[str]) -> list[str]:
    """`--config FILE` in front, wherever it was typed.

    `ctl` hands everything from its first word on to supervisorctl.
    """
    if "--config" not in words[:-1]:
        return words
    at = words.index("--config")
    return [*words[at : at + 2], *words[:at], *words[at + 2 :]]


def _top(words: list[str]) -> int:
    if words and words[0] in ("--version", "-V"):
        print(f"orderbooks {VERSION}")
        return EXIT_FINE
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {what}" for name, what in VERBS.items())
    text = f"usage: orderbooks VERB …\n\n{verbs}\n\n{EPILOG}"
    if not words or words[0] in ("--help", "-h", "help"):
        print(text, end="")
        return EXIT_FINE
    terminal.complain(f"no verb {words[0]!r}", hint=f"one of: {', '.join(VERBS)}")
    return EXIT_CANNOT


def _parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    said = (module.__doc__ or "").strip()
    parser = argparse.ArgumentParser(
        prog=f"orderbooks {name}",
        description=said,
        epilog=getattr(module, "EXAMPLES", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=Path(os.environ.get("ORDERBOOKS_CONFIG") or CHECKOUT / "config/orderbooks.yaml"),
        help="settings (default: $ORDERBOOKS_CONFIG, else config/orderbooks.yaml of the checkout)",
    )
    if name in ON_DATA:
        parser.add_argument(
            "--data", type=Path, metavar="DIR", help="data directory (default: the settings')"
        )
    module.add_arguments(parser)
    return parser


def _guarded(
    name: str, arguments: argparse.Namespace, run: Callable[[argparse.Namespace], int]
) -> int:
    try:
        if name in ON_DATA:
            arguments.data = _data_directory(arguments)
        code = run(arguments)
        sys.stdout.flush()
    except OrderbooksError as error:
        terminal.complain(str(error), error.hint)
        return EXIT_CANNOT
    except BrokenPipeError:
        # The reader of a pipe has seen enough (`| head`); stdout must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FINE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        terminal.complain(f"{name}: {error}", hint="may this user read it? is the disk well?")
        return EXIT_CANNOT
    return code


def _data_directory(arguments: argparse.Namespace) -> Path:
    from workers.core.errors import NeedsAPerson

    found: Path | None = arguments.data
    if found is None:
        from workers.edge import settings_file

        found = settings_file.load(arguments.config).data_dir
    if not found.is_dir():
        raise NeedsAPerson(
            f"open the data directory {found}: there is none",
            hint="it is made when the fleet first runs (`orderbooks up`); --data DIR names another",
        )
    return found.absolute()


if __name__ == "__main__":
    raise SystemExit(main())
