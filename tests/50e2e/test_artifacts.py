"""Artifacts through the proxy: files, folders, large and empty ones, the routes of the user interface."""

import hashlib
import os
import time

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import pytest

import cairn
import killedclient


def test_upload_list_download(client, run, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.bin").write_bytes(bytes(range(256)))
    (tmp_path / "d" / "ü x.txt").write_text("ü")
    client.log_artifact(run, str(tmp_path / "a.txt"))
    client.log_artifact(run, str(tmp_path / "a.txt"), "sub/deep")
    client.log_artifacts(run, str(tmp_path / "d"), "data")
    assert sorted((f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run)) == [
        ("a.txt", False, 5), ("data", True, None), ("sub", True, None)]
    assert sorted(f.path for f in client.list_artifacts(run, "data")) == ["data/b.bin", "data/ü x.txt"]
    assert client.list_artifacts(run, "a.txt") == []
    assert client.list_artifacts(run, "nothing") == []
    target = tmp_path / "out"
    target.mkdir()
    out = client.download_artifacts(run, "", str(target))
    assert open(os.path.join(out, "sub", "deep", "a.txt")).read() == "hello"
    assert open(os.path.join(out, "data", "b.bin"), "rb").read() == bytes(range(256))
    assert open(os.path.join(out, "data", "ü x.txt")).read() == "ü"
    with pytest.raises(Exception, match="nothing"):
        client.download_artifacts(run, "nothing.txt", str(target))


def test_empty_file(client, run, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    client.log_artifact(run, str(tmp_path / "empty"))
    assert [(f.path, f.is_dir) for f in client.list_artifacts(run)] == [("empty", False)]
    assert os.path.getsize(client.download_artifacts(run, "empty", str(tmp_path))) == 0


def test_last_writer_wins(client, run, tmp_path):
    for text in ("one", "two", "three three"):
        (tmp_path / "f").write_text(text)
        client.log_artifact(run, str(tmp_path / "f"))
    assert client.list_artifacts(run)[0].file_size == 11
    out = tmp_path / "out"
    out.mkdir()
    assert open(client.download_artifacts(run, "f", str(out))).read() == "three three"


def test_large_file_streams(client, run, tmp_path, server):
    """48 MiB of noise: the same bytes come back, and the server did not keep them in memory."""
    rnd = np.random.default_rng(1)
    path = tmp_path / "big.bin"
    path.write_bytes(rnd.bytes(48 << 20))
    before = server.rss_kib() if hasattr(server, "rss_kib") else 0
    client.log_artifact(run, str(path))
    out = tmp_path / "out"
    out.mkdir()
    got = client.download_artifacts(run, "big.bin", str(out))
    digest = [hashlib.sha256(open(p, "rb").read()).hexdigest() for p in (path, got)]
    assert digest[0] == digest[1]
    if before and "asan" not in str(getattr(server, "binary", "")):
        assert server.rss_kib() - before < 32 * 1024


def test_text_dict_figure_image_table(tracking):
    with mlflow.start_run() as run:
        mlflow.log_text("hällo", "t/note.txt")
        mlflow.log_dict({"a": [1, 2, {"b": None}]}, "d.json")
        mlflow.log_dict({"a": 1}, "d.yaml")
        figure, axis = plt.subplots()
        axis.plot([0, 1], [1, 0])
        mlflow.log_figure(figure, "plots/f.png")
        plt.close(figure)
        mlflow.log_image(np.zeros((8, 8, 3), dtype=np.uint8), "i.png")
        mlflow.log_image(np.zeros((8, 8, 3), dtype=np.uint8), key="steps", step=3)
        mlflow.log_table(pd.DataFrame({"x": [1, 2]}), "table.json")
        mlflow.log_table(pd.DataFrame({"x": [3]}), "table.json")
        uri = run.info.artifact_uri
    assert mlflow.artifacts.load_text(uri + "/t/note.txt") == "hällo"
    assert mlflow.artifacts.load_dict(uri + "/d.json") == {"a": [1, 2, {"b": None}]}
    assert mlflow.artifacts.load_image(uri + "/i.png").size == (8, 8)
    table = mlflow.load_table("table.json", run_ids=[run.info.run_id])
    assert list(table["x"]) == [1, 2, 3]
    paths = {f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}
    assert {"t", "d.json", "d.yaml", "plots", "i.png", "images", "table.json"} <= paths


def test_delete(client, run, tmp_path, server):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    (tmp_path / "x").mkdir()
    for name in ("a", "b"):
        (tmp_path / "x" / name).write_text(name)
    client.log_artifacts(run, str(tmp_path / "x"), "x")
    repo = get_artifact_repository(client.get_run(run).info.artifact_uri, tracking_uri=server.url)
    repo.delete_artifacts("x/a")
    assert [f.path for f in client.list_artifacts(run, "x")] == ["x/b"]
    repo.delete_artifacts("x")
    assert client.list_artifacts(run) == []


def test_many_files(client, run, tmp_path):
    folder = tmp_path / "many"
    for i in range(120):
        (folder / f"d{i % 7}").mkdir(parents=True, exist_ok=True)
        (folder / f"d{i % 7}" / f"f{i:03}").write_text(str(i))
    client.log_artifacts(run, str(folder), "many")
    listed = [f.path for d in client.list_artifacts(run, "many") for f in client.list_artifacts(run, d.path)]
    assert len(listed) == 120
    out = tmp_path / "out"
    out.mkdir()
    got = client.download_artifacts(run, "many", str(out))
    assert open(os.path.join(got, "d3", "f003")).read() == "3"


def test_paths_stay_inside(rest, run, exp):
    root = f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/"
    for path in ("..%2f..%2fx", "%252e%252e/x", "a/..%2f..%2f..%2f..%2fetc%2fpasswd"):
        assert rest.call("PUT", root + path, data=b"x").status_code == 400
        assert rest.get(root + path).status_code == 400
    answer = rest.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run, "path": "../.."})
    assert answer.status_code == 400 and answer.json()["message"] == "Invalid path"


def test_routes_of_the_user_interface(rest, run):
    assert rest.post("/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": run, "path": "a/u.txt"},
                     data=b"up").status_code == 200
    answer = rest.get("/get-artifact", params={"run_id": run, "path": "a/u.txt"})
    assert answer.content == b"up"
    assert "u.txt" in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_streamed_upload_without_length(rest, client, run, exp):
    """A generator has no length: the body comes chunked."""
    def pieces():
        for i in range(200):
            yield bytes([i]) * 5000

    url = f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/stream.bin"
    assert rest.call("PUT", url, data=pieces()).status_code == 200
    assert client.list_artifacts(run)[0].file_size == 1000000
    assert rest.get(url).content == b"".join(pieces())


@pytest.mark.cairn_only
def test_killed_while_the_client_uploads(tmp_path, monkeypatch):
    """On SQLite and a folder; on PostgreSQL and S3: 55s3/test_s3_server.py."""
    own = cairn.CairnServer(tmp_path / "data").start()
    try:
        kept = killedclient.log(own, tmp_path / "files", monkeypatch)
        killedclient.compare(own, kept[0], tmp_path / "files", *kept[1:], tmp_path / "down")
        end = time.monotonic() + 60
        while list((own.data / "blobs" / "tmp").iterdir()):     # what the killed one left
            assert time.monotonic() < end
            time.sleep(0.02)
        assert own.stop() == 0
    finally:
        own.kill()
