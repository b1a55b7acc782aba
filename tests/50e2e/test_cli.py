"""The command line as a client: lists, formats, exit codes, contexts, login by token file, completion."""

import csv
import io
import json
import os
import subprocess

import pytest
from mlflow.entities import Metric, Param

import cairn

pytestmark = pytest.mark.cairn_only


class Cli:
    """cairn with a home folder of its own, so that no settings of the machine are seen or changed."""

    def __init__(self, home):
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_", "MLFLOW_", "XDG_"))}
        self.env.update(HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"))
        self.home = home

    def __call__(self, *args, code=0, stdin=None, **env):
        done = subprocess.run([str(cairn.find_binary()), *map(str, args)], capture_output=True, text=True, input=stdin,
                              env=dict(self.env, **env), cwd=self.home, timeout=60)
        assert done.returncode == code, f"{args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *args, **kwargs):
        return json.loads(self(*args, "-o", "json", **kwargs))


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture
def three(client, exp):
    """Three runs with values, in a fresh experiment."""
    ids = []
    for i in range(3):
        run = client.create_run(exp, run_name=f"run-{i}").info.run_id
        client.log_batch(run, [Metric("acc", i / 4, 1, 0)], [Param("opt", "adam" if i else "sgd, \"plain\"")])
        ids.append(run)
    client.set_terminated(ids[0])
    return ids


def test_run_ls(server, cli, exp, three, uniq):
    rows = cli.json("run", "ls", "-e", exp, "--server", server.url)
    assert {r["run_id"] for r in rows} == set(three)
    one = next(r for r in rows if r["run_id"] == three[2])
    assert one["metrics"] == {"acc": 0.5} and one["params"] == {"opt": "adam"} and one["run_name"] == "run-2"
    assert cli.json("run", "ls", "-e", f"e2e-{uniq}", "--server", server.url) == rows
    rows = cli.json("run", "ls", "-e", exp, "--filter", "params.opt = 'adam' OR metrics.acc < 0.1", "--sort", "metrics.acc DESC",
                    "--server", server.url)
    assert [r["run_id"] for r in rows] == three[::-1]
    assert len(cli.json("run", "ls", "-e", exp, "--limit", 2, "--server", server.url)) == 2


def test_formats(server, cli, exp, three):
    base = ["run", "ls", "-e", exp, "--sort", "metrics.acc ASC", "--server", server.url]
    assert cli(*base, "-o", "name").split() == three
    rows = list(csv.DictReader(io.StringIO(cli(*base, "-o", "csv=run_id,metrics.acc,params.opt"))))
    assert [(r["run_id"], float(r["metrics.acc"]), r["params.opt"]) for r in rows] == [
        (three[0], 0.0, "sgd, \"plain\""), (three[1], 0.25, "adam"), (three[2], 0.5, "adam")]
    lines = [json.loads(line) for line in cli(*base, "-o", "jsonl").splitlines()]
    assert [r["run_id"] for r in lines] == three
    assert all(run in cli(*base, "-o", "table") for run in three)


def test_run_show(server, cli, three):
    assert "run-1" in cli("run", "show", three[1], "--server", server.url)
    assert three[1] in cli("run", "show", three[1][:12], "--server", server.url)
    assert cli.json("run", "show", three[2], "--server", server.url)["metrics"]["acc"] == 0.5


def test_experiment_ls(server, cli, exp, uniq):
    rows = cli.json("experiment", "ls", "--filter", f"name = 'e2e-{uniq}'", "--server", server.url)
    assert [(r["experiment_id"], r["name"]) for r in rows] == [(exp, f"e2e-{uniq}")]


def test_deleted(server, client, cli, exp, three):
    client.delete_run(three[0])
    assert set(cli("run", "ls", "-e", exp, "-o", "name", "--server", server.url).split()) == set(three[1:])
    assert cli("run", "ls", "-e", exp, "--deleted", "-o", "name", "--server", server.url).split() == three[:1]


def test_all_pages(server, client, cli, exp):
    for i in range(120):
        client.create_run(exp, start_time=1000 + i)
    assert len(cli.json("run", "ls", "-e", exp, "--server", server.url)) == 100
    names = cli("run", "ls", "-e", exp, "--all", "-o", "name", "--server", server.url).split()
    assert len(names) == len(set(names)) == 120


def test_exit_codes(server, cli):
    cli("run", "show", "0" * 32, "--server", server.url, code=3)
    cli("run", "ls", "--server", f"http://127.0.0.1:{cairn.free_port()}", code=6)
    cli("run", "lss", code=2)
    cli("run", "ls", "--no-such-flag", code=2)
    cli("run", "ls", "--filter", "metrics.acc >", "--server", server.url, code=2)
    cli("version")
    cli("--help")
    cli("help", "run", "ls")


def test_the_server_by_environment(server, cli, exp, three):
    assert set(cli("run", "ls", "-e", exp, "-o", "name", CAIRN_SERVER=server.url).split()) == set(three)


def test_contexts(server, cli, exp, three):
    cli("context", "set", "here", "--server", server.url)
    cli("context", "set", "gone", "--server", "http://127.0.0.1:1")
    cli("context", "use", "here")
    assert set(cli("run", "ls", "-e", exp, "-o", "name").split()) == set(three)
    cli("run", "ls", "--context", "gone", code=6)
    assert "here" in cli("context", "ls") and "gone" in cli("context", "ls")
    cli("context", "rm", "gone")
    assert "gone" not in cli("context", "ls")


def test_login(cli, tmp_path, start_server):
    token = "a-token-of-some-length-123"
    (tmp_path / "token").write_text(token + "\n")
    one = start_server(args=["--token-file", str(tmp_path / "token")])
    cli("run", "ls", "--server", one.url, code=4)
    cli("login", one.url, "--with-token", stdin="not-the-right-token\n", code=4)
    cli("login", one.url, "--with-token", "--name", "team", stdin=token + "\n")
    cli("run", "ls")
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "token" and token in p.read_text(errors="replace")]
    assert kept and all(p.stat().st_mode & 0o077 == 0 for p in kept)
    cli("run", "ls", "--server", one.url, "--token-file", tmp_path / "token")
    cli("logout", "team")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "token" and token in p.read_text(errors="replace")]


@pytest.mark.parametrize("shell,check", [("bash", ["bash", "-n"]), ("zsh", None), ("fish", None)])
def test_completion(cli, shell, check, tmp_path):
    text = cli("completion", shell)
    assert "experiment" in text
    if check:
        (tmp_path / "script").write_text(text)
        subprocess.run([*check, str(tmp_path / "script")], check=True)


def test_options_come_from_flag_environment_and_file(cli, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".cairn.conf").write_text("[server]\ndata = from-the-file\n")
    cli.home = folder
    assert "from-the-file" in cli("config", "explain")
    assert "from-the-environment" in cli("config", "explain", CAIRN_DATA="from-the-environment")


def test_models(server, cli, client, run, uniq):
    name, at = f"model {uniq}", ["--server", server.url]
    first = cli.json("model", "register", name, f"runs:/{run}/model", "--tag", "gate=passed", "--alias", "next", *at)
    assert (first["version"], first["run_id"], first["aliases"], first["tags"]) == (1, run, ["next"], {"gate": "passed"})
    assert cli.json("model", "register", name, "s3://bucket/m", "--description", "second", *at)["version"] == 2
    assert [v["version"] for v in cli.json("model", "show", name, *at)] == [2, 1]
    assert cli.json("model", "show", f"{name}@next", *at)["version"] == 1
    assert cli.json("model", "show", f"{name}/latest", *at)["description"] == "second"
    cli("model", "alias", f"{name}/2", "next", *at)
    assert client.get_model_version_by_alias(name, "next").version == "2"
    row = cli.json("model", "ls", "--filter", f"name = '{name}'", *at)[0]
    assert (row["latest_version"], row["aliases"]) == (2, {"next": "2"})
    assert name in cli("model", "ls", "--filter", f"name LIKE '%{uniq}'", "-o", "table", *at)
    assert cli.json("model", "history", name, "--alias", "next", *at)["version"] == 2
    assert cli.json("model", "history", name, *at)[0]["what"] == "alias"
    cli("model", "alias", name, "next", "--remove", *at)
    cli("model", "rm", f"{name}/1", code=2, *at)  # nobody to ask
    cli("model", "rm", f"{name}/1", "--yes", *at)
    assert [v["version"] for v in cli.json("model", "show", name, *at)] == [2]
    cli("model", "rm", name, "--yes", *at)
    cli("model", "show", name, code=3, *at)
