"""What cairn adds to the registry: registering in one step, pages of its history, names with any quotes, sources without secrets."""

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import cairn
import command
from replicas import Servers

pytestmark = pytest.mark.cairn_only
BASE = "/api/cairn/v1/registered-models/"


@pytest.fixture
def name(uniq):
    return f"model {uniq}"


@pytest.fixture
def cli(server, tmp_path):
    return command.Cli(tmp_path, server.url)


def test_a_refused_version_leaves_no_model(client, rest, cli, name, run):
    for bad in ("s3://bucket/../x", "/etc/passwd", f"runs:/{'0' * 32}/model"):
        answer = rest.post(BASE + "register", json={"name": name, "source": bad, "run_id": run})
        assert answer.status_code == 400 and answer.json()["error"]["field"] == "source", answer.text
    cli.run("model", "register", name, "models:/nobody/1", rc=3)
    cli.run("model", "register", name, f"runs:/{run}/model", "--alias", "v7", rc=2)  # not a name for an alias
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(name)
    assert rest.get(BASE + "history", params={"name": name}).status_code == 404


def test_register_in_one_step(client, rest, name, run):
    body = {"name": name, "source": f"runs:/{run}/model", "run_id": run, "alias": "prod", "tags": [{"key": "gate", "value": "ok"}]}
    first = rest.post(BASE + "register", json=body).json()["model_version"]
    assert (first["version"], first["aliases"], first["tags"]) == ("1", ["prod"], [{"key": "gate", "value": "ok"}])
    second = rest.post(BASE + "register", json=dict(body, description="again")).json()["model_version"]
    assert (second["version"], second["description"], second["aliases"]) == ("2", "again", ["prod"])
    assert client.get_model_version(name, "1").aliases == []
    made = rest.post("/api/2.0/mlflow/registered-models/create",
                     json={"name": name + " p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    assert made.status_code == 200
    taken = rest.post(BASE + "register", json=dict(body, name=name + " p"))
    assert taken.status_code == 409 or "already taken by a prompt" in taken.text, taken.text
    events = rest.get(BASE + "history", params={"name": name}).json()["events"]
    assert [e["what"] for e in events] == ["alias", "tag", "description", "created", "alias", "tag", "created", "created"]


def test_history_in_pages(client, rest, cli, name):
    client.create_registered_model(name, description="x" * 100_000)
    client.create_model_version(name, "s3://bucket/m")
    for i in range(25):
        client.update_model_version(name, "1", f"text {i}")
        client.set_registered_model_alias(name, f"a{i % 5}", "1")
    client.transition_model_version_stage(name, "1", "Staging")
    seen, token = [], None
    while True:
        page = rest.get(BASE + "history", params={"name": name, "max_results": 7, **({"page_token": token} if token else {})}).json()
        assert len(page["events"]) == 7 or "next_page_token" not in page
        seen += page["events"]
        token = page.get("next_page_token")
        if not token:
            break
    whole = rest.get(BASE + "history", params={"name": name}).json()["events"]
    assert seen == whole and len(whole) == 54 and whole[-2]["value"] == "x" * 100_000
    found = rest.get(BASE + "history", params={"name": name, "what": "alias", "key": "a3"}).json()["events"]
    assert [e["key"] for e in found] == ["a3"] * 5
    texts = rest.get(BASE + "history", params={"name": name, "what": "description", "version": 1, "max_results": 2}).json()["events"]
    assert [e["value"] for e in texts] == ["text 24", "text 23"]
    then = rest.get(BASE + "history", params={"name": name, "what": "stage", "version": 1, "max_results": 1}).json()["events"]
    assert [e["value"] for e in then] == ["Staging"]
    assert rest.get(BASE + "history", params={"name": name, "what": "birthday"}).status_code == 400
    assert rest.get(BASE + "history", params={"name": name, "page_token": "x"}).status_code == 400
    assert len(cli.json("model", "history", name, "--limit", "2000", "--what", "alias")) == 25


def test_long_values_end_a_page_early(client, rest, name):
    """60 values of 100,000 bytes are more than a page holds: all of them come, whole."""
    client.create_registered_model(name)
    for i in range(60):
        client.update_registered_model(name, f"{i:03}" + "y" * 99_990)
    seen, token, pages = [], None, 0
    while True:
        page = rest.get(BASE + "history", params={"name": name, **({"page_token": token} if token else {})}).json()
        seen += page["events"]
        pages += 1
        token = page.get("next_page_token")
        if not token:
            break
    assert pages > 1 and [e["value"][:3] for e in seen[:-1]] == [f"{i:03}" for i in range(59, -1, -1)]
    assert {len(e["value"]) for e in seen[:-1]} == {99_993}


def test_names_with_both_quotes(client, cli, exp, uniq):
    name = f"""it's "{uniq}" 100%_é"""
    client.create_registered_model(name)
    for i in range(3):
        client.create_model_version(name, f"s3://bucket/{i}")
    assert [v["version"] for v in cli.json("model", "show", name)] == [3, 2, 1]
    assert cli.json("model", "show", name + "/2")["source"] == "s3://bucket/1"
    run = client.create_run(exp, run_name=name).info.run_id
    assert cli.json("run", "show", name)["run_id"] == run


def test_taking_an_alias_from_a_version(client, cli, name):
    client.create_registered_model(name)
    for i in range(2):
        client.create_model_version(name, f"s3://bucket/{i}")
    client.set_registered_model_alias(name, "prod", "2")
    cli.run("model", "alias", f"{name}/1", "prod", "--remove", rc=5)
    assert "names version 2, not 1" in cli.err
    assert client.get_registered_model(name).aliases == {"prod": "2"}
    cli.run("model", "alias", f"{name}/2", "prod", "--remove")
    assert client.get_registered_model(name).aliases == {}
    cli.run("model", "alias", name, "prod", "--remove")  # it is not there: fine


SECRETS = [
    ("https://joe:hunter2-{u}@host/m", "https://joe:***@host/m"),
    ("https://ghp_hunter2-{u}@host/m", "https://***@host/m"),
    ("s3://AKIA:hunter2-{u}@bucket/m", "s3://AKIA:***@bucket/m"),
    ("https://host/m?X-Amz-Credential=a&X-Amz-Signature=hunter2-{u}&x=1", "https://host/m?X-Amz-Credential=a&X-Amz-Signature=***&x=1"),
    ("https://host/m?%74oken=hunter2-{u}", "https://host/m?%74oken=***"),
    ("abfss://files@account.dfs.core.windows.net/m-{u}", None),
]


def test_secrets_of_sources_are_not_kept(own, uniq, tmp_path):
    name = f"model {uniq}"
    client = MlflowClient(tracking_uri=own.url, registry_uri=own.url)
    cli = command.Cli(tmp_path, own.url)
    for i, (source, shown) in enumerate(SECRETS):
        source = source.format(u=uniq)
        version = cli.json("model", "register", name, source)
        assert version["source"] == (shown or source)
        assert ("stored as ***" in cli.err) == (shown is not None)
        made = client.create_model_version(name + " b", source) if i else None
        if not i:
            client.create_registered_model(name + " b")
        elif shown:
            assert made.source == shown and client.get_model_version_download_uri(name + " b", made.version) == shown
    cli.run("model", "register", name, f"s3://a:hunter2-{uniq}@bucket/../m", rc=2)
    assert f"hunter2-{uniq}" not in cli.err
    assert f"hunter2-{uniq}" not in cli.run("model", "history", name)
    assert own.stop() == 0
    secret = f"hunter2-{uniq}".encode()
    assert not [p for p in own.data.parent.rglob("*") if p.is_file() and secret in p.read_bytes()]
    own.start()


def test_searches_follow_every_change(client, rest, uniq):
    """Names come from memory; with last_updated_timestamp in the filter they come from rows: both must always agree."""
    def names(extra=""):
        found, token = [], None
        while True:
            page = client.search_registered_models(f"name LIKE 'f-{uniq}-%'{extra}", max_results=300, page_token=token)
            found += [m.name for m in page]
            token = page.token
            if not token:
                return found

    def check(*want):
        assert names() == names(" AND last_updated_timestamp > 0") == [f"f-{uniq}-{w}" for w in want]

    check()
    for letter in "cab":
        client.create_registered_model(f"f-{uniq}-{letter}")
    check("a", "b", "c")
    client.rename_registered_model(f"f-{uniq}-b", f"f-{uniq}-z")
    check("a", "c", "z")
    client.delete_registered_model(f"f-{uniq}-a")
    check("c", "z")
    client.create_registered_model(f"f-{uniq}-a", tags={"t": "1"})
    check("a", "c", "z")
    client.set_registered_model_tag(f"f-{uniq}-c", "mlflow.prompt.is_prompt", "true")  # a prompt is left out
    check("a", "z")
    gone = rest.call("DELETE", "/api/2.0/mlflow/registered-models/delete-tag",
                     json={"name": f"f-{uniq}-c", "key": "mlflow.prompt.is_prompt"})
    assert gone.status_code == 200, gone.text
    check("a", "c", "z")
    assert names(" AND tags.t = '1'") == [f"f-{uniq}-a"]
    for i in range(600):  # more than is read one by one
        rest.post("/api/2.0/mlflow/registered-models/set-tag", json={"name": f"f-{uniq}-a", "key": "n", "value": str(i)})
    rest.post("/api/2.0/mlflow/registered-models/create", json={"name": f"f-{uniq}-d"})
    check("a", "c", "d", "z")


def test_many_versions_and_stages(client, rest, name):
    """The newest of each stage, the stage with the oldest version first, among many versions."""
    client.create_registered_model(name)
    for i in range(30):
        rest.post("/api/2.0/mlflow/model-versions/create", json={"name": name, "source": f"s3://bucket/{i}"})
    for version, stage in ((3, "Production"), (9, "Staging"), (12, "Production"), (30, "Archived")):
        client.transition_model_version_stage(name, str(version), stage)
    latest = [(v.current_stage, int(v.version)) for v in client.get_registered_model(name).latest_versions]
    assert latest == [("None", 29), ("Production", 12), ("Staging", 9), ("Archived", 30)]
    client.delete_model_version(name, "29")
    client.delete_model_version(name, "12")
    latest = [(v.current_stage, int(v.version)) for v in client.get_registered_model(name).latest_versions]
    assert latest == [("None", 28), ("Production", 3), ("Staging", 9), ("Archived", 30)]


@pytest.mark.skipif("postgres" not in cairn.engines(), reason="engine not selected")
def test_servers_of_one_database_search_the_same(postgres, tmp_path, uniq):
    """The list of names in one server follows what another has acknowledged."""
    servers = Servers(tmp_path, postgres.new_database())
    try:
        clients = [MlflowClient(tracking_uri=s.url, registry_uri=s.url) for s in (servers.add(), servers.add())]
        want = []
        for i in range(12):
            clients[i % 2].create_registered_model(f"r-{uniq}-{i:02}")
            want.append(f"r-{uniq}-{i:02}")
            for client in clients:
                assert [m.name for m in client.search_registered_models(f"name LIKE 'r-{uniq}-%'")] == want
        clients[0].rename_registered_model(want[0], f"r-{uniq}-zz")
        assert [m.name for m in clients[1].search_registered_models(f"name LIKE 'r-{uniq}-%'")] == want[1:] + [f"r-{uniq}-zz"]
    finally:
        servers.end()


def test_the_command_line_on_what_runs_and_others_registered(client, rest, cli, run, uniq, tmp_path):
    """A version by runs:/ has its files; names with slashes, as Kubeflow's have; every command answers programs in JSON; as of a day."""
    name = f"org%2Fteam {uniq}"
    (tmp_path / "w.bin").write_bytes(b"w" * 70_000)
    client.log_artifact(run, str(tmp_path / "w.bin"), "model")
    made = rest.post("/api/model_registry/v1alpha3/registered_models", json={"name": f"org/team {uniq}"}).json()
    assert made["name"] == f"org/team {uniq}"
    for stage in ("Staging", "Production"):
        version = cli.json("model", "register", name, f"runs:/{run}/model")["version"]
        client.transition_model_version_stage(name, str(version), stage)
        client.update_model_version(name, str(version), f"was {stage}")
    assert cli.json("model", "alias", f"{name}/1", "prod") == {"name": name, "version": 1, "alias": "prod", "done": "given"}
    assert [v["version"] for v in cli.json("model", "show", name)] == [2, 1]
    for text in (f"{name}/1", f"{name}@prod", f"{name}/Staging"):
        assert cli.json("model", "show", text)["version"] == 1, text
    where = cli.json("model", "get", f"{name}@prod", "--to", "here")
    assert (tmp_path / "here/w.bin").read_bytes() == b"w" * 70_000 and where
    assert cli.json("model", "inspect", f"{name}@prod")["files"][0]["name"] == "w.bin"
    (tmp_path / "w.bin").write_bytes(b"v" * 70_000)
    client.log_artifact(run, str(tmp_path / "w.bin"), "other")
    cli.run("model", "register", name, f"runs:/{run}/other")
    changed = [r for r in cli.json("model", "diff", f"{name}/2", f"{name}/3") if r["key"] == "w.bin"]
    assert [(r["what"], r["change"]) for r in changed] == [("file", "~")]

    # as of a day: what there was then, for one version as well
    assert cli.json("model", "history", name, "--alias", "prod", "--at", "2100-03-03")["version"] == 1
    cli.run("model", "history", name, "--alias", "prod", "--at", "2020-03-03", rc=3)
    assert cli.json("model", "history", name, "--at", "2020-03-03T10:00") == []
    for what, value in (("stage", "Production"), ("description", "was Production")):
        then = cli.json("model", "history", f"{name}/2", "--what", what, "--at", "2100-03-03", "--limit", "1")
        assert [(e["version"], e["value"]) for e in then] == [(2, value)]
    cli.run("model", "history", name, "--at", "soon", rc=2)
    assert "is no time" in cli.err

    assert cli.json("model", "alias", name, "prod", "--remove")["done"] == "removed"
    assert cli.json("model", "rm", f"{name}/1", "--yes") == {"name": name, "version": 1, "alias": None, "done": "deleted"}
    assert cli.json("model", "rm", name, "--yes")["done"] == "deleted"
    assert [e["what"] for e in cli.json("model", "history", f"{name}/3", "--limit", "1")] == ["created"]
