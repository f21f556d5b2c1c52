"""Holds edge.durable: whole files under their names, and nothing overwritten."""

import errno
import os
import resource
import signal

import pytest

from workers.edge import durable


def test_a_replaced_file_is_whole_and_leaves_no_draft(tmp_path):
    path = tmp_path / "state.json"
    for data in (b"one", b"", b"x" * 100_000):
        durable.replace(path, data)

        assert data == path.read_bytes()
    durable.replace_unsynced(path, b"last")

    assert ([path], b"last") == (list(tmp_path.iterdir()), path.read_bytes())


@pytest.mark.parametrize("again", [durable.replace_own, durable.replace_unsynced])
def test_a_draft_that_a_death_left_of_a_state_file_is_gone_with_the_next_one(tmp_path, again):
    path = tmp_path / "state.json"
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))  # SIGXFSZ comes in the middle.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        again(path, b"x" * 100)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert [10] == [each.stat().st_size for each in tmp_path.iterdir()]

    again(path, b"new")

    assert ([path], b"new") == (list(tmp_path.iterdir()), path.read_bytes())


def test_an_old_draft_of_ours_is_in_nobodys_way(tmp_path):
    durable.write_new(tmp_path / "draft", b"a torn one")
    durable.write_new(tmp_path / "draft", b"new")

    assert b"new" == (tmp_path / "draft").read_bytes()


@pytest.mark.parametrize("kind", ["file", "dangling link", "directory"])
def test_a_taken_name_is_never_created_again(tmp_path, kind):
    path = tmp_path / "taken"
    match kind:
        case "file":
            path.write_bytes(b"kept")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        durable.create_exclusively(path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_link_is_not_appended_to(tmp_path):
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="Too many levels") as caught:
        durable.append(tmp_path / "link", b"no")

    assert (errno.ELOOP, b"kept") == (caught.value.errno, (tmp_path / "target").read_bytes())


@pytest.mark.parametrize("dangling", [False, True])
def test_a_move_never_overwrites(tmp_path, dangling):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    target.symlink_to(tmp_path / "none") if dangling else target.write_bytes(b"published")

    with pytest.raises(FileExistsError):
        durable.move(source, target)

    assert b"new" == source.read_bytes()
    assert dangling or b"published" == target.read_bytes()


def test_a_move_goes_to_another_directory(tmp_path):
    durable.make_directories(tmp_path / "x/y/z")
    (tmp_path / "a").write_bytes(b"data")

    durable.move(tmp_path / "a", tmp_path / "x/y/z/b")

    assert b"data" == (tmp_path / "x/y/z/b").read_bytes()
    assert not (tmp_path / "a").exists()


def test_a_read_back_gives_the_bytes_in_pieces(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)

    pieces = list(durable.read_back(tmp_path / "a"))

    assert data == b"".join(pieces)
    assert len(pieces) == 3


def test_a_partial_write_says_how_far_it_came(tmp_path):
    fd = durable.create_exclusively(tmp_path / "a")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(durable.PartialWrite) as caught:
            durable.write_all(fd, b"x" * 2500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
        os.close(fd)

    assert (1000, errno.EFBIG) == (caught.value.done, caught.value.error.errno)
    assert 1000 == (tmp_path / "a").stat().st_size


def test_a_lock_has_one_holder_and_ends_with_its_descriptor(tmp_path):
    held = durable.try_lock(tmp_path / ".lock")

    assert None is durable.try_lock(tmp_path / ".lock")

    durable.close(held)
    again = durable.try_lock(tmp_path / ".lock")
    assert None is not again
    durable.close(again)
