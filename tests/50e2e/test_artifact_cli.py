"""cairn artifact: what a user does with files of runs on the command line."""

import os
import tarfile
import zipfile

import numpy as np
import pytest

import command

pytestmark = pytest.mark.cairn_only


@pytest.fixture
def cli(server, tmp_path):
    return command.Cli(tmp_path, server.url)


@pytest.fixture
def source(tmp_path):
    """A folder with a link, a pipe and files."""
    folder = tmp_path / "d"
    (folder / "e").mkdir(parents=True)
    (folder / "a.txt").write_text("hello\n")
    (folder / "empty").write_bytes(b"")
    (folder / "e" / "big").write_bytes(np.random.default_rng(5).bytes(700000))
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    return folder


def test_put_ls_get_rm(cli, source, run, tmp_path):
    cli.run("artifact", "put", run, "d", "d/a.txt", "--to", "x/")
    assert "d/link is a symbolic link" in cli.err and "3" in cli.err and "d/pipe" in cli.err
    assert [(f["path"], f["size"]) for f in cli.json("artifact", "ls", run, "x", "--recursive")] == [
        ("x/a.txt", 6), ("x/d/", None), ("x/d/a.txt", 6), ("x/d/e/", None), ("x/d/e/big", 700000), ("x/d/empty", 0)]
    cli.run("artifact", "get", run, "x", "--to", "out")
    for name in ("a.txt", "empty", "e/big"):
        assert (tmp_path / "out/d" / name).read_bytes() == (source / name).read_bytes()
    assert not (tmp_path / "out/d/link").exists()
    (tmp_path / "out/a.txt").write_text("mine")
    cli.run("artifact", "get", run, "x", "--to", "out", rc=5)
    assert (tmp_path / "out/a.txt").read_text() == "mine"
    cli.run("artifact", "get", run, "x/a.txt", "--to", "out", "--force")
    assert (tmp_path / "out/a.txt").read_text() == "hello\n"
    assert cli.run("artifact", "cat", run, "x/a.txt") == "hello\n"
    cli.run("artifact", "get", run, "--zip", "all.zip")
    assert zipfile.ZipFile(tmp_path / "all.zip").testzip() is None
    cli.run("artifact", "get", run, "x/d", "--tar", "d.tar")
    assert sorted(tarfile.open(tmp_path / "d.tar").getnames()) == ["a.txt", "e", "e/big", "empty"]
    cli.run("artifact", "rm", run, "x", rc=2)
    cli.run("artifact", "rm", run, "x", "--recursive", rc=2)
    assert "--yes" in cli.err
    cli.run("artifact", "rm", run, "x", "--recursive", "--yes")
    assert cli.json("artifact", "ls", run) == []


def test_what_is_not_there_and_what_may_not_be(cli, source, run, tmp_path):
    cli.run("artifact", "ls", run, "none", rc=3)
    cli.run("artifact", "get", run, "none", rc=3)
    cli.run("artifact", "get", run, "none", "--zip", "none.zip", rc=3)
    assert not (tmp_path / "none.zip").exists()
    cli.run("artifact", "put", run, "none", rc=3)
    cli.run("artifact", "put", run, "d/a.txt", "--to", "../up", rc=2)
    cli.run("artifact", "put", run, "d/link")
    assert cli.json("artifact", "ls", run) == []


def test_paths_of_the_proxy(cli, source, uniq):
    cli.run("artifact", "put", "-", "d/a.txt", "--to", f"free-{uniq}")
    assert [f["path"] for f in cli.json("artifact", "ls", "-", f"free-{uniq}")] == [f"free-{uniq}/a.txt"]
