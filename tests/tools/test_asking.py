"""Holds `orderbooks probe` and `discover`: asked of a loopback venue, right, spoiled and gone."""

import json
from collections.abc import Iterator

import pytest

from tests.ports import mute_port
from tests.venue import Venue
from workers.core.polling.probing import DIFFERS, OK, UNREACHABLE
from workers.core.universe import rounds
from workers.core.universe.universe import Universe
from workers.edge import settings_file
from workers.edge.rest import RestClient
from workers.edge.spool import locks, reader, state
from workers.edge.spool.directory import DataDir
from workers.tools import __main__ as command
from workers.tools import discover, probe

#: Five minutes a window, as the real series has it.
SERIES = [
    {
        "name": "btc-5m",
        "series_id": "10684",
        "slug": "btc-updown-5m-{start_unix}",
        "period_s": 300,
    }
]


@pytest.fixture
def venue(tmp_path):
    """A venue at the real pace: windows of five minutes."""
    with Venue(tmp_path / "venue", lines=("btc-5m",)) as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor anybody else can meanwhile."""
    with mute_port() as port:
        yield f"http://127.0.0.1:{port}"


def config(tmp_path, url: str):
    """A settings file for this address."""
    path = tmp_path / "orderbooks.yaml"
    settings = {
        "data_dir": str(tmp_path / "var"),
        "venue": {"gamma_url": url, "clob_url": url},
        "selection": {"series": SERIES},
        "discovery": {"requests_per_10s": 400},
    }
    path.write_text(json.dumps(settings))
    return path


def probed(tmp_path, url: str) -> dict[str, probe.Check]:
    """All checks by endpoint, without the pauses between them."""
    settings = settings_file.load(config(tmp_path, url)).settings
    timeout_s = settings.discovery.request_timeout_s
    client = RestClient(timeout_s=timeout_s, max_body_bytes=1 << 20, user_agent="test")
    checks = probe.Prober(settings, client.fetch, lambda: None).probe()
    client.close()
    assert len(checks) <= 12
    return {each.endpoint: each for each in checks}


def test_a_venue_as_it_is_known_gives_ok_everywhere(venue, tmp_path):
    checks = probed(tmp_path, venue.url)

    assert {OK} == {each.verdict for each in checks.values()}, checks
    assert 0 == probe.exit_code(list(checks.values()))
    assert "verified" == checks["GET /book"].facts["hash"]
    clock = checks["GET /time"].facts
    assert abs(clock["offset_ms"]) <= clock["tolerance_ms"]
    assert checks["POST /books"].facts["is_rebuilt_from_its_books"]


@pytest.mark.parametrize(
    ("fault", "endpoint", "word"),
    [
        ({"kind": "status", "route": "book", "code": 503}, "GET /book", "status 503"),
        ({"kind": "html", "route": "time", "code": 403}, "GET /time", "status 403"),
        ({"kind": "garbage", "route": "events"}, "GET /events/keyset", "JSON"),
        ({"kind": "bad_hash", "route": "book"}, "GET /book", "hash is failed"),
        (
            {"kind": "drift", "route": "book", "mode": "missing", "key": "tick_size"},
            "GET /book",
            "without tick_size",
        ),
        ({"kind": "empty_page", "route": "events"}, "GET /events/keyset", "expected at least one"),
        ({"kind": "empty_array", "route": "books"}, "POST /books", "no book of a token"),
    ],
)
def test_a_venue_that_changed_is_told_by_endpoint(venue, tmp_path, fault, endpoint, word):
    venue.faults.add(**fault)

    found = probed(tmp_path, venue.url)[endpoint]

    assert DIFFERS == found.verdict, found
    assert word in found.detail
    assert 1 == probe.exit_code([found])


def test_new_keys_are_a_fact_and_no_difference(venue, tmp_path):
    venue.faults.add("drift", route="book", mode="extra", key="new_key", number=-1)

    found = probed(tmp_path, venue.url)["GET /book"]

    assert found.facts["extra_keys"]
    assert "without" not in found.detail


def test_without_a_venue_every_endpoint_is_unreachable(nobody, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probe, "PAUSE_S", 0)
    path = config(tmp_path, nobody)

    assert 2 == command.main(["probe", "--config", str(path), "--json"])

    out, err = capsys.readouterr()
    assert {UNREACHABLE} == {each["verdict"] for each in json.loads(out)["checks"]}
    assert "no endpoint answered" in err


def test_a_probe_writes_a_file_for_programs_and_a_page(venue, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probe, "PAUSE_S", 0)
    path = config(tmp_path, venue.url)

    assert 0 == command.main(["probe", "--config", str(path)])

    folder = tmp_path / "var/manifests/probe"
    data, page = sorted(folder.iterdir())
    assert "orderbooks.probe/1" == json.loads(data.read_bytes())["schema"]
    assert page.read_text() == capsys.readouterr().out
    assert "| GET /book | ok | 200 |" in page.read_text()


def test_a_dry_round_shows_the_markets_and_writes_nothing(venue, tmp_path, capsys):
    path = config(tmp_path, venue.url)

    assert 0 == command.main(["discover", "--once", "--dry-run", "--config", str(path)])

    assert "btc-updown-5m-" in capsys.readouterr().out
    assert not (tmp_path / "var").exists()


def test_a_round_publishes_the_universe_as_discovery_does(venue, tmp_path, capsys):
    path = config(tmp_path, venue.url)

    assert 0 == command.main(["discover", "--once", "--config", str(path)])

    data = DataDir(tmp_path / "var")
    kinds = [manifest.kind for _, manifest in reader.manifests(data)]
    first = state.read(data.universe, Universe)
    # Two ledgers, when the hour ends meanwhile.
    assert (1, {"ledger", "pages", "universe"}) == (kinds.count("universe"), {*kinds})
    assert 0 == command.main(["verify", "--data", str(data.root), "--jobs", "1"])
    capsys.readouterr()
    assert 0 == command.main(["discover", "--once", "--config", str(path)])
    then = state.read(data.universe, Universe)
    # A window may begin or end meanwhile: only then there is another publication.
    changed = rounds._content(first) != rounds._content(then)
    assert (1, 1 + changed) == (first.seq, then.seq)
    assert f"Universe {then.seq}" in capsys.readouterr().out


def test_a_round_is_refused_while_discovery_runs(venue, tmp_path, capsys):
    path = config(tmp_path, venue.url)
    data = DataDir(tmp_path / "var")
    data.prepare()
    folder = data.open_folder("discovery")
    folder.mkdir()
    lock = discover.durable.try_lock(folder / ".lock")

    assert 2 == command.main(["discover", "--once", "--config", str(path)])
    assert "a discovery is running" in capsys.readouterr().err
    assert not data.universe.exists()

    discover.durable.close(lock)


def test_an_odd_round_is_told(venue, tmp_path, capsys):
    venue.faults.add("three_outcomes", route="events")

    code = command.main(
        ["discover", "--once", "--dry-run", "--config", str(config(tmp_path, venue.url))]
    )

    assert 1 == code
    assert "mapping_refused" in capsys.readouterr().out


def test_a_round_without_gamma_says_so(nobody, tmp_path, capsys):
    path = config(tmp_path, nobody)

    assert 2 == command.main(["discover", "--once", "--dry-run", "--config", str(path)])
    assert "Gamma did not answer" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _free_locks():
    yield
    locks.release_all()
