"""Every crash point, with a report: `make crash`, or `python -m tests.crash [SEED]`.

About half an hour on two cores. SEED (printed) chooses the deaths whose recovery is killed too.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import harness, plants
from tests.crash.harness import Again, Point

CUTS = (0, 1, 3, 9, 40, 160)
DEATHS = 24
ERRORS_IN_RECOVERY = 1500


def _say(text: str) -> None:
    print(text, flush=True)


def _report(name: str, points: list[Point] | list[Again], *, plant: str = "") -> int:
    started = time.monotonic()
    tried, failures = harness.try_all(
        points, plant=plant, tell=_say if not plant else lambda _: None
    )
    _say(f"{name:34} {tried:6} points {len(failures):4} bad {time.monotonic() - started:7.1f} s")
    return len(failures)


def _campaign(folder: Path, seed: int) -> int:
    dice = random.Random(seed)
    lines, root = harness.workload_calls(folder)
    kills, errors = harness.kill_points(lines, root), harness.error_points(lines, root)
    bad = _report("kill at every call", [Point(each) for each in kills])
    cuts = [Point(each, cut) for each in kills[::2] for cut in CUTS[1:]]
    bad += _report("kill, then a torn file", cuts)
    bad += _report("error at every call", [Point(each) for each in errors])
    deaths: list[Again] = []
    refusals: list[Again] = []
    for number in range(DEATHS):
        point = Point(dice.choice(kills), dice.choice(CUTS))
        here = folder / str(number)
        here.mkdir()
        deaths += harness.deaths_in_recovery(here, point)
        (here / "errors").mkdir()
        refusals += harness.deaths_in_recovery(here / "errors", point, errors="all")
    bad += _report("kill in the recovery of a kill", deaths)
    sample = dice.sample(refusals, min(len(refusals), ERRORS_IN_RECOVERY))
    bad += _report("error in the recovery of a kill", sample)
    for plant in ("manifest_first", "forked_chain", "salvage_drops_a_row"):
        seen = _report(f"control: {plant}", [Point(each) for each in kills[::9]], plant=plant)
        bad += not seen
    return bad


def main(arguments: list[str]) -> int:
    """Run the campaign; the exit code is 0 when nothing was bad and every control was seen."""
    reason = harness.unavailable()
    if reason:
        _say(f"faults cannot be injected: {reason}")
        return 2
    seed = int(arguments[0]) if arguments else random.SystemRandom().randrange(1_000_000)
    _say(f"seed {seed}; {len(plants.PLANTS)} bugs can be planted")
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        bad = _campaign(Path(folder), seed)
    _say(f"{bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
