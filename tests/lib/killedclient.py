"""The real client logs a folder and a model while the server is killed and started again: its own retries bring it home."""

import os
import random

from cutter import Cutter

MIB = 1 << 20
FILES = {"small.txt": 10, "edge.bin": 32 * 1024 + 1, "deep/er/big.bin": 20 * MIB + 7, "deep/empty": 0, "middle.bin": 3 * MIB, "other.bin": MIB}
CUT = 12 * MIB  # of more than 24 MiB that are sent: in the middle of the largest file, or beside others in which it is


def log(server, folder, monkeypatch):
    """(run id, folder of the files, model, its URI). The server is killed after CUT bytes, with requests in the middle of their bodies, and
    starts again on the same store."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    chance = random.Random(5)
    for name, size in FILES.items():
        os.makedirs(os.path.dirname(folder / name), exist_ok=True)
        (folder / name).write_bytes(chance.randbytes(size))

    def kill_and_start():
        server.kill()
        server.start()
        proxy.to = server.port

    proxy = Cutter(server.port, CUT, before_cut=kill_and_start)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")  # what the client has by itself; half its pauses
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{proxy.port}")
    mlflow.set_experiment("killed")
    with mlflow.start_run() as run:
        mlflow.log_metric("before", 1.0)
        mlflow.log_artifacts(folder, "out")
        assert proxy.cuts == 1, proxy.sent
        mlflow.log_metric("after", 2.0)
        model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        info = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])  # else it imports everything to see
        mlflow.log_dict({"a": 1}, "d.json")
    return run.info.run_id, model, info.model_uri


def compare(server, run_id, folder, model, model_uri, to):
    """All of it is there, byte for byte, and the run has ended."""
    import mlflow

    mlflow.set_tracking_uri(server.url)
    got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="out", dst_path=str(to))
    for name in FILES:
        with open(os.path.join(got, name), "rb") as f:
            assert f.read() == (folder / name).read_bytes(), name
    again = mlflow.sklearn.load_model(model_uri)
    assert (again.predict([[0.5], [2.5]]) == model.predict([[0.5], [2.5]])).all()
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"a": 1}
    run = mlflow.get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"before": 1.0, "after": 2.0})
