"""What `make vm-rehearsal` rests on, as far as no machine boots."""

import subprocess
import sys

import pytest

from tests.vps import acts, blackouts, document
from tests.vps.image import ROOT


def test_every_step_of_the_document_is_a_section_of_it_and_the_containers_too():
    page = (ROOT / "docs/VPS_DEPLOYMENT.md").read_text()
    sections = {f"doc: {each.heading}" for each in document.blocks(page)}
    steps = {name for name, *_ in blackouts.PLAN if name.startswith("doc: ")}

    assert steps <= sections
    assert steps <= {name for name, *_ in acts.PLAN}


def test_the_bounds_that_are_tried_are_those_of_the_unit():
    unit = (ROOT / "ops/systemd/orderbooks.service").read_text().splitlines()

    assert set(blackouts.BOUNDS.values()) <= set(unit)
    assert ["1572864000", "256"] == [blackouts.kernel_says(each) for each in ("1500M", "256")]


@pytest.mark.parametrize("module", ["tests.vps", "tests.vps.vm"])
def test_a_rehearsal_knows_its_steps_before_it_makes_anything(module, tmp_path):
    words = (sys.executable, "-m", module, "--folder", tmp_path / "made", "--out", tmp_path)
    told = subprocess.run(
        [*words, "--until", "no such step"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == told.returncode
    assert "'doc: Install'" in told.stderr
    assert [] == list(tmp_path.iterdir())
