"""orderbooks: look at, prove and care for the archive.

    python -m workers.tools VERB …        (the `orderbooks` command of a checkout)

Promises  exit 0 = fine, 1 = found something wrong, 2 = cannot do it, or a wrong command line;
          what is expected to fail fails with a sentence and a hint on stderr, without a traceback
Never     starts more than the verb it was asked for: each is imported when it is called
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from workers import VERSION
from workers.core.errors import NeedsAPerson, OrderbooksError
from workers.edge import terminal
from workers.tools.verbs import VERBS, Place

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT, EXIT_INTERRUPTED = 0, 1, 2, 130
CHECKOUT = Path(__file__).resolve().parent.parent.parent

EPILOG = """\
examples:
  orderbooks up                        record until stopped with Ctrl-C
  orderbooks status --watch            look at it
  orderbooks verify && orderbooks coverage
  orderbooks VERB --help               everything about one verb

exit codes: 0 fine, 1 found something wrong, 2 cannot do it or wrong command line
"""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in VERBS:
        return _top(words)
    name = words[0]
    module = VERBS[name].load()
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
    verbs = "\n".join(f"  {name:{width}}  {verb.what}" for name, verb in VERBS.items())
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
    if VERBS[name].place is Place.DATA:
        parser.add_argument(
            "--data", type=Path, metavar="DIR", help="data directory (default: the settings')"
        )
    module.add_arguments(parser)
    return parser


def _guarded(
    name: str, arguments: argparse.Namespace, run: Callable[[argparse.Namespace], int]
) -> int:
    try:
        if VERBS[name].place is Place.DATA:
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
    found: Path | None = arguments.data
    if found is None:
        from workers.edge import settings_file  # noqa: PLC0415 - most verbs need no settings

        found = settings_file.load(arguments.config).data_dir
    if not found.is_dir():
        raise NeedsAPerson(
            f"open the data directory {found}: there is none",
            hint="it is made when the fleet first runs (`orderbooks up`); --data DIR names another",
        )
    return found.absolute()


if __name__ == "__main__":
    raise SystemExit(main())
