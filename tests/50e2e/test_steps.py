"""Memory of steps: keys as an independent reader computes them, look-ups from every tongue, and what hostile input gets."""

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
import requests

import cairn
from command import Cli

pytestmark = pytest.mark.cairn_only

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "stepkeys.json").read_text())
SECTIONS = {"inputs": 2, "code": 3, "parameters": 4, "environment": 5}


def sized(b):
    return struct.pack("<I", len(b)) + b


def value(v):
    if v is None:
        return b"\0"
    if isinstance(v, bool):
        return b"\4" + bytes([v])
    if isinstance(v, int):
        return b"\1" + struct.pack("<q", v)
    if isinstance(v, float):
        return b"\2" + struct.pack("<d", v + 0.0)
    if isinstance(v, str) and v.startswith("sha256:") and len(v) == 71:
        return b"\5" + bytes.fromhex(v[7:])
    if isinstance(v, str):
        return b"\3" + sized(v.encode())
    return b"\6" + sized(json.dumps(v, sort_keys=True, separators=(",", ":")).encode())


def bytes_of(step):
    """docs/formats/stepkey.md, by somebody else."""
    entries = [(1, b"", value(step["step"]))]
    entries += [(n, k.encode(), value(v)) for s, n in SECTIONS.items() for k, v in step.get(s, {}).items()]
    return b"\1" + b"".join(bytes([n]) + sized(k) + v for n, k, v in sorted(entries, key=lambda e: e[:2]))


def test_the_keys_that_are_written_down():
    assert len(VECTORS) >= 8
    for vector in VECTORS:
        assert bytes_of(vector["of"]).hex() == vector["bytes"]
        assert hashlib.sha256(bytes.fromhex(vector["bytes"])).hexdigest() == vector["key"]


@pytest.fixture
def cli(server, tmp_path):
    return Cli(tmp_path, server.url)


@pytest.fixture
def ask(rest):
    def run(path, want=200, namespace=None, **body):
        headers = {"cairn-namespace": namespace} if namespace else {}
        answer = rest.post(f"/api/cairn/v1/steps{path}", json=body, headers=headers)
        assert answer.status_code == want, answer.text
        return answer.json() if want == 200 else answer.json()["error"]

    return run


def test_the_server_agrees(ask, cli, tmp_path):
    for vector in VECTORS:
        got = ask("/key", **vector["of"])
        assert (base64.b64decode(got["bytes"]).hex(), got["key"]) == (vector["bytes"], vector["key"])
    (tmp_path / "step.json").write_text(json.dumps(VECTORS[2]["of"]))
    assert cli.run("step", "key", "-f", "step.json").strip() == VECTORS[2]["key"]


def test_what_a_file_says_is_not_said_again(cli, tmp_path):
    (tmp_path / "step.json").write_text(json.dumps({"step": "train", "parameters": {"lr": 0.1}}))
    for option, value in (("--param", "lr=0.2"), ("--step", "other")):
        cli.run("step", "key", "-f", "step.json", option, value, rc=2)
        assert option in cli.err
    both = cli.run("step", "key", "-f", "step.json", "--code", "git=1")
    assert both == cli.run("step", "key", "--step", "train", "--param", "lr=0.1", "--code", "git=1")


def test_a_step_is_done_once(ask, cli, client, exp, run, uniq, tmp_path):
    """A run logs a model; the step is found until the model's files go, and again when somebody did it anew."""
    (tmp_path / "train.csv").write_text(uniq)
    what = ["--step", f"train {uniq}", "--input", "data=@train.csv", "--code", "git=3f1c", "--param", "lr=0.1", "--env", "python=3.11"]
    described = {"step": f"train {uniq}", "inputs": {"data": f"sha256:{hashlib.sha256(uniq.encode()).hexdigest()}"},
                 "code": {"git": "3f1c"}, "parameters": {"lr": 0.1}, "environment": {"python": "3.11"}}
    key = cli.run("step", "key", *what).strip()
    assert key == ask("/key", **described)["key"] == hashlib.sha256(bytes_of(described)).hexdigest()
    assert "no execution is kept" in cli.run("step", "find", *what, rc=7)

    run_id = run
    (tmp_path / "model.bin").write_text("weights")
    client.log_artifact(run_id, str(tmp_path / "model.bin"))
    sha = hashlib.sha256(b"weights").hexdigest()
    assert cli.run("step", "record", f"run:{run_id}", *what, "--output", f"weights=sha256:{sha}").strip() == key
    assert "RUNNING" in cli.run("step", "find", key, rc=7)
    client.set_terminated(run_id)
    hit = ask("/find", key=key)
    assert (hit["reuse"], hit["execution"]) == (True, f"run:{run_id}")
    assert hit["outputs"] == [{"name": "weights", "sha256": sha, "checked": True}]
    assert cli.json("step", "find", *what)["outputs"] == hit["outputs"]
    assert ask("", **described, execution=f"run:{run_id}")["known"]

    cli.run("step", "find", *what[:-2], "--env", "python=3.12", rc=7)
    other = ask("/find", **{**described, "parameters": {"lr": 0.2, "depth": 3}, "environment": {"python": "3.12"}})
    assert (other["miss"], other["nearest"], other["nearest_key"]) == ("unknown", f"run:{run_id}", key)
    assert other["differences"] == [
        {"section": "parameter", "name": "depth", "now": 3},
        {"section": "parameter", "name": "lr", "before": 0.1, "now": 0.2},
        {"section": "environment", "name": "python", "before": "3.11", "now": "3.12"},
    ]

    cli.run("step", "invalidate", "--step", f"train {uniq}", "--reason", "bad labels")
    gone = ask("/find", key=key)
    assert (gone["reuse"], gone["miss"], gone["why"]) == (False, "invalidated", "taken out by anonymous: bad labels")
    assert ask("", 400, **described, execution=f"run:{run_id}")["field"] == "execution"
    again = client.create_run(exp).info.run_id
    client.set_terminated(again)
    ask("", **described, execution=f"run:{again}")
    assert ask("/find", key=key)["execution"] == f"run:{again}"
    client.delete_run(again)
    assert ask("/find", key=key)["why"] == f"run:{again} is deleted, not FINISHED"


def test_a_model_that_went(ask, client, exp, run, uniq, tmp_path):
    """Outputs that links lead to are looked at, too: a logged model counts while it is ready, is not deleted and has its files."""
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(exp, name="net", source_run_id=run)
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
    client.set_terminated(run)
    step = {"step": f"model {uniq}", "parameters": {"a": 1}}
    ask("", **step, execution=f"run:{run}", outputs=[{"name": "net", "node": f"model:{model.model_id}"}])
    why = [ask("/find", **step)["why"]]
    client.finalize_logged_model(model.model_id, "READY")
    why.append(ask("/find", **step)["why"])
    (tmp_path / "weights").write_text(uniq)
    client.log_model_artifacts(model.model_id, str(tmp_path))
    hit = ask("/find", **step)
    assert hit["reuse"] and hit["outputs"] == [{"name": "net", "node": f"model:{model.model_id}", "checked": True,
                                               "uri": model.artifact_location}]
    client.delete_logged_model(model.model_id)
    why.append(ask("/find", **step)["why"])
    name = f"model:{model.model_id}"
    assert why == [f"{name} is not ready", f"{name} has no files any more", f"{name} is deleted"]


BAD = [
    ("/key", {}, "step"),
    ("/key", {"step": ""}, "step"),
    ("/key", {"step": "x" * 1001}, "step"),
    ("/key", {"step": "a\0b"}, "step"),
    ("/key", {"step": "x", "inputs": [1]}, "inputs"),
    ("/key", {"step": "x", "code": "text"}, "code"),
    ("/key", {"step": "x", "parameters": {"n": 2**63}}, "parameters"),
    ("/key", {"step": "x", "parameters": {"n" * 1001: 1}}, "parameter"),
    ("/key", {"step": "x", "environment": {"l": ["x" * 70000]}}, "environment"),
    ("/find", {}, "step"),
    ("/find", {"key": "12"}, "key"),
    ("/find", {"key": "0" * 64, "step": "x", "code": {"a": 1}}, "key"),
    ("", {"step": "x", "execution": "x"}, "execution"),
    ("", {"step": "x", "execution": "execution:"}, "execution"),
    ("", {"step": "x", "execution": "execution:99999999999999999999"}, "execution"),
    ("", {"step": "x"}, "execution"),
    ("/invalidate", {}, "key"),
    ("/invalidate", {"key": "0" * 64, "step": "x"}, "key"),
    ("/invalidate", {"key": "0" * 64}, "key"),
    ("/invalidate", {"step": "nothing has this name"}, "step"),
    ("/invalidate", {"step": "x", "reason": "r" * 2001}, "reason"),
]


def test_hostile_input_names_the_field(rest):
    for path, body, field in BAD:
        answer = rest.post(f"/api/cairn/v1/steps{path}", json=body)
        assert 400 <= answer.status_code < 500, (path, body, answer.text)
        assert answer.json()["error"]["field"] == field, (path, body, answer.text)


def test_namespaces(ask, run, client, uniq):
    client.set_terminated(run)
    step = {"step": f"ns {uniq}", "code": {"git": "1"}}
    ask("", namespace=f"team-{uniq}", **step, execution=f"run:{run}")
    assert ask("/find", namespace=f"team-{uniq}", **step)["reuse"]
    assert ask("/find", **step)["miss"] == "unknown"


def test_deep_and_broken_json(rest):
    for text in ('{"step":"x","parameters":{"a":' + "[" * 100 + "]" * 100 + "}}", '{"step":"x","parameters":{"a":1,"a":2}}',
                 '{"step":"x","parameters":{"a":[{"b":1,"b":2}]}}'):
        answer = rest.post("/api/cairn/v1/steps/key", data=text, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text


def test_killed_in_the_middle(tmp_path):
    """All of a record or nothing; what was acknowledged is there afterwards."""
    binary = cairn.find_binary_with_failpoints()
    step = {"step": "train", "parameters": {"lr": 0.1}}

    def start(point=""):
        return cairn.CairnServer(tmp_path / "data", binary=binary, env={"CAIRN_FAILPOINT": point and f"{point}=kill"}).start()

    def send(path, **body):
        return requests.post(f"{server.url}/api/cairn/v1/steps{path}", json=body, timeout=60).json()

    server = start("core.step.record")
    mlflow = f"{server.url}/api/2.0/mlflow/runs"
    run = requests.post(f"{mlflow}/create", json={"experiment_id": "0"}, timeout=60).json()["run"]["info"]["run_id"]
    requests.post(f"{mlflow}/update", json={"run_id": run, "status": "FINISHED"}, timeout=60).raise_for_status()
    with pytest.raises(requests.ConnectionError):
        send("", **step, execution=f"run:{run}")
    server.process.proc.wait(60)
    server = start("core.step.invalidate")
    assert send("/find", **step)["miss"] == "unknown"
    assert "known" not in send("", **step, execution=f"run:{run}")
    with pytest.raises(requests.ConnectionError):
        send("/invalidate", step="train")
    server.process.proc.wait(60)
    server = start()
    assert send("/find", **step)["reuse"]
    assert send("/invalidate", step="train") == {"invalidated": "1"}
    server.kill()
    server = start()
    assert send("/find", **step)["miss"] == "invalidated"
    assert server.stop() == 0


def test_two_servers(request, tmp_path):
    """What one server records, another on the same database finds at once; what one takes out, the other does not give."""
    if "postgres" not in cairn.engines():
        pytest.skip("engine not selected")
    store = request.getfixturevalue("postgres").new_database()
    step = {"step": "train", "code": {"git": "1"}}
    pair = [cairn.CairnServer(tmp_path / f"data{i}", store=store).start() for i in range(2)]

    def send(i, path, **body):
        return requests.post(f"{pair[i].url}/api/{path}", json=body, timeout=60).json()

    for i in range(4):
        a, b = i % 2, (i + 1) % 2
        run = send(a, "2.0/mlflow/runs/create", experiment_id="0")["run"]["info"]["run_id"]
        send(b, "2.0/mlflow/runs/update", run_id=run, status="FINISHED")
        assert "key" in send(b, "cairn/v1/steps", **step, execution=f"run:{run}")
        assert send(a, "cairn/v1/steps/find", **step)["execution"] == f"run:{run}"
        assert send(a, "cairn/v1/steps/invalidate", step="train")["invalidated"] == "1"
        assert send(b, "cairn/v1/steps/find", **step)["miss"] == "invalidated"
    for server in pair:
        assert server.stop() == 0
