"""What a rehearsal did and saw: steps of commands and checks, as JSON and as a page.

Promises  a step is PASS only when it was taken to its end and every check of it held; the whole is
          PASS only when every planned step is, and UNFINISHED while none failed and one was not run
"""

import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.vps.machine import Ran
from workers.core.report.markdown import safe, table

SCHEMA = "orderbooks.rehearsal/1"
NOT_RUN, PASS, FAIL, UNFINISHED = "NOT RUN", "PASS", "FAIL", "UNFINISHED"
KEPT_CHARS = 2000


class Check(msgspec.Struct):
    """Something that must hold, and what was found."""

    what: str
    holds: bool
    found: str


class Step(msgspec.Struct):
    """One step of the plan."""

    name: str
    meaning: str
    result: str = NOT_RUN
    began_utc: str = ""
    took_s: float = 0
    problem: str = ""
    shown: str = ""
    commands: list[dict[str, Any]] = []
    checks: list[Check] = []

    def ran(self, ran: Ran, expected: int) -> None:
        """Note a command; its exit code is a check."""
        self.commands.append(
            {
                "command": ran.command,
                "began_utc": utc(ran.began_s),
                "took_s": round(ran.took_s, 1),
                "code": ran.code,
                "expected": expected,
                "out": ran.out[-KEPT_CHARS:],
            }
        )
        if ran.code != expected:
            said = f"{self.name}: {ran.command}: exit {ran.code}: {ran.out}"
            print(f"{utc(time.time())}  {said}"[:KEPT_CHARS], flush=True)

    def check(self, what: str, found: object, *, holds: bool) -> None:
        """Note what must hold."""
        self.checks.append(Check(what, holds, str(found)[:KEPT_CHARS]))
        if not holds:
            print(f"{utc(time.time())}  {self.name}: NOT {what}: {found}"[:KEPT_CHARS], flush=True)

    def is_right(self) -> bool:
        """True when nothing of it is wrong, and it has shown something."""
        codes = all(each["code"] == each["expected"] for each in self.commands)
        shown = bool(self.commands or self.checks)
        return shown and codes and not self.problem and all(each.holds for each in self.checks)


class Record:
    """All steps of one rehearsal, planned first."""

    def __init__(self, plan: dict[str, str], about: dict[str, str]) -> None:
        self.steps = [Step(name, meaning) for name, meaning in plan.items()]
        self.about = about
        self.began_s = time.time()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Take a step; what it raises is its problem, and not the rehearsal's end."""
        step = next(each for each in self.steps if each.name == name)
        began_s = time.time()
        step.began_utc = utc(began_s)
        print(f"{step.began_utc}  {name}", flush=True)
        try:
            yield step
        except Exception as error:  # noqa: BLE001 - the report says it
            step.problem = f"{type(error).__name__}: {error}"[:KEPT_CHARS]
        step.took_s = round(time.time() - began_s, 1)
        step.result = PASS if step.is_right() else FAIL
        print(f"{utc(time.time())}  {name}: {step.result} {step.problem}", flush=True)

    def result(self) -> str:
        """PASS, FAIL or UNFINISHED."""
        results = {each.result for each in self.steps}
        if FAIL in results:
            return FAIL
        return UNFINISHED if NOT_RUN in results else PASS

    def told(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "schema": SCHEMA,
            "result": self.result(),
            "began_utc": utc(self.began_s),
            "took_s": round(time.time() - self.began_s),
            "kernel": platform.release().partition("-")[0],
            **self.about,
            "steps": msgspec.to_builtins(self.steps),
        }


def utc(wall_s: float) -> str:
    """A moment as text, to the second."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def written(record: Record, out: Path, stem: str, not_shown: str, **words: str) -> Path:
    """Write what was seen so far as `<out>/<stem>_<day>` .json and .md; the path without a suffix.

    `words` are `page`'s.
    """
    told = record.told()
    out.mkdir(exist_ok=True)
    name = out / f"{stem}_{utc(record.began_s)[:10]}"
    name.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    name.with_suffix(".md").write_text(page(told, not_shown, **words))
    return name


def page(
    told: dict[str, Any],
    not_shown: str,
    *,
    title: str = "Rehearsal of docs/VPS_DEPLOYMENT.md",
    made_by: str = "make vps-rehearsal",
) -> str:
    """The page of what `Record.told` tells."""
    facts = [[name, told[name]] for name in told if name not in ("steps", "schema", "result")]
    rows = [
        [each["name"], each["result"], f"{each['took_s']:.0f} s", each["meaning"]]
        for each in told["steps"]
    ]
    parts = [
        f"# {title}: {told['result']}",
        f"Made by `{made_by}`; the JSON beside it has every output.",
        table(("what", "is"), facts),
        table(("step", "result", "took", "what must be shown"), rows),
        f"## What this is not\n\n{not_shown.strip()}",
        *(_step(each) for each in told["steps"]),
    ]
    return "\n\n".join(parts) + "\n"


def _step(step: dict[str, Any]) -> str:
    parts = [f"## {step['name']}: {step['result']}", f"{step['meaning']}. {step['began_utc']}"]
    if step["problem"]:
        parts.append(f"Problem: {safe(step['problem'])}")
    if step["commands"]:
        lines = [
            f"{each['began_utc']}  exit {each['code']}  {each['took_s']:5} s  {each['command']}"
            for each in step["commands"]
        ]
        parts.append("```text\n" + "\n".join(lines) + "\n```")
    if step["checks"]:
        checks = [
            [
                "yes" if each["holds"] else "NO",
                each["what"],
                safe(" ".join(each["found"].split())[:300]),
            ]
            for each in step["checks"]
        ]
        parts.append(table(("holds", "what", "found"), checks))
    if step["shown"]:
        parts.append(f"```text\n{step['shown'].strip()}\n```")
    return "\n\n".join(parts)
