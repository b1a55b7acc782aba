"""Servers shared by all black-box tests of a session; see lib/cairn.py for the environment variables."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

import cairn  # noqa: E402

# The pip client must see nothing of the machine's own settings, and must not wait minutes for a broken server.
for _name in [n for n in os.environ if n.startswith("MLFLOW_")]:
    del os.environ[_name]
os.environ.update({
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
})


def pytest_collection_modifyitems(items):
    for item in items:
        if cairn.is_mlflow_target() and item.get_closest_marker("cairn_only"):
            item.add_marker(pytest.mark.skip(reason="MLflow does not have this"))


class LazyPostgres:
    """One PostgreSQL for the session, started when first needed; it outlives every server that uses it."""

    def __init__(self):
        self.pg = None

    def get(self):
        if self.pg is None:
            if not cairn.Postgres.is_available():
                pytest.skip("PostgreSQL 15 is not installed")
            self.pg = cairn.Postgres().start()
        return self.pg


@pytest.fixture(scope="session")
def lazy_postgres():
    lazy = LazyPostgres()
    yield lazy
    if lazy.pg:
        lazy.pg.stop()


@pytest.fixture(scope="session")
def postgres(lazy_postgres):
    return lazy_postgres.get()


def stop_cleanly(server):
    """A server ends with 0; a sanitizer that found something ends it otherwise."""
    status = server.stop()
    assert server.kind != "cairn" or status in (0, None), f"the server ended with {status}:\n{server.log(100)}"


@pytest.fixture(scope="session")
def servers(tmp_path_factory, lazy_postgres):
    """One server per engine, started when first asked for: servers("sqlite")."""
    running = {}

    def get(engine):
        if engine not in running:
            folder = tmp_path_factory.mktemp(engine)
            if engine == "running":
                running[engine] = cairn.RunningServer(os.environ["CAIRN_E2E_URL"])
            elif engine == "mlflow":
                running[engine] = cairn.MlflowServer(folder / "data").start()
            elif engine == "postgres":
                running[engine] = cairn.CairnServer(folder / "data", store=lazy_postgres.get().new_database()).start()
            else:
                running[engine] = cairn.CairnServer(folder / "data").start()
        return running[engine]

    yield get
    for one in running.values():
        stop_cleanly(one)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    """Start one more cairn server with options of its own; all are stopped at the end of the session."""
    started = []

    def start(**options):
        server = cairn.CairnServer(tmp_path_factory.mktemp("own") / "data", **options).start()
        started.append(server)
        return server

    yield start
    for one in started:
        stop_cleanly(one)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the server's log."""
    outcome = yield
    report = outcome.get_result()
    server = getattr(item, "funcargs", {}).get("server")
    if report.when == "call" and report.failed and server is not None:
        report.sections.append(("server log", server.log(25)))
