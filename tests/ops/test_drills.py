"""Holds the drills to the pages they practise, and shows that one can pass and can fail."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.drills import __main__ as drills
from tests.drills.__main__ import DRILLS, Drill
from tests.drills.ground import Ground
from tests.rig import ROOT
from workers.core.health.conditions import ALERTS

PAGE = (ROOT / "docs/OPERATIONS.md").read_text()
SCRIPTS = sorted((ROOT / "ops/drills").glob("*.sh"))


def test_every_drill_is_an_executable_that_names_its_page():
    assert set(DRILLS) == {path.stem for path in SCRIPTS}
    for path in SCRIPTS:
        drill = DRILLS[path.stem]
        text = path.read_text()
        assert os.access(path, os.X_OK), path
        assert f"docs/OPERATIONS.md#{drill.page} " in text
        assert f"# {drill.purpose}\n" in text
        assert f"-m tests.drills {path.stem} " in text


def test_every_drill_stands_in_the_list_with_its_page():
    listed = PAGE[PAGE.index("## Drills") : PAGE.index("## Log events")]

    rows = dict(re.findall(r"^\| \[([\w-]+)\]\(\S+\) \| (.*) \|$", listed, re.MULTILINE))

    assert set(DRILLS) == set(rows)
    for name, drill in DRILLS.items():
        assert f"](#{drill.page})" in rows[name]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_names_its_drill_or_a_test_that_provokes_it(alert: str):
    said = re.search(rf"^### {alert}\n.*?^\* Drill: (.*?)\n", PAGE, re.MULTILINE | re.DOTALL)
    assert said is not None
    drill = re.search(r"ops/drills/([\w-]+)\.sh", said[1])
    test = re.search(r"`(tests/\S+\.py)`", said[1])

    assert (drill is None) != (test is None)
    if test is not None:
        assert alert in (ROOT / test[1]).read_text()
    else:
        assert drill is not None
        assert drill[1] in DRILLS


def test_a_drill_passes_where_the_page_is_true():
    done = subprocess.run(
        [ROOT / "ops/drills/clock-step.sh"], capture_output=True, text=True, check=False
    )

    assert (0, "PASS clock-step") == (done.returncode, done.stdout.splitlines()[-1][:15])


def test_a_drill_fails_where_it_is_not_and_the_report_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def act(ground: Ground) -> None:
        """Nothing is as it should be."""
        ground.say("a step")
        ground.must(False, "the sky has fallen")

    monkeypatch.setattr(drills, "DRILLS", {"sky": Drill("every-day", act)})

    assert 1 == drills.main(["--reports", str(tmp_path)])

    (report,) = tmp_path.iterdir()
    assert "* FAIL: Failed: the sky has fallen" in report.read_text()
    said = capsys.readouterr().out
    assert re.search(r"^FAIL sky in \d+ s Failed: the sky has fallen$", said, re.MULTILINE)
