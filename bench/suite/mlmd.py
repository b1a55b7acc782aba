"""ML Metadata: calls beside the library of pip, by bench/mlmd.py, on a server of its own."""
import json
import shutil
import subprocess

from .servers import ROOT, Failed, Postgres

# Rows: what bench/mlmd.py calls them, their titles, targets.
ROWS = (("put 1", "PutExecution with 10 artifacts, 1 client", None), ("put 16", "PutExecution with 10 artifacts, 16 clients", "<= 200 us"),
        ("get 64", "an artifact by its name, 64 calls at a time", "<= 15 us"),
        ("one 64", "list, a filter that one of {artifacts} matches", ">= 50x"),
        ("number 64", "list, filter by a number that 50 of {artifacts} have", ">= 50x"),
        ("page 64", "list, filter by state and a pattern, 100 of {artifacts}", ">= 50x"),
        ("subgraph 64", "GetLineageSubgraph of 20 hops, 33 artifacts", ">= 50x"))


def environment():
    """The interpreter, or None with what there is to install."""
    if not shutil.which("h2load"):
        return None, "h2load"
    done = subprocess.run([ROOT / "tools/pyenv", "mlmd"], stdout=subprocess.PIPE, text=True)
    return (done.stdout.strip() + "/bin/python", None) if done.returncode == 0 else (None, "the environment mlmd")


def calls(server, python, artifacts, n, rounds):
    """{row: {"us", "library_us", "front_us", "transport_us", "ratio", "front_ratio"}}"""
    argv = [python, ROOT / "bench/mlmd.py", "--cairn", server.program, "--artifacts", str(artifacts), "--calls", str(n), "--rounds", str(rounds)]
    pg = None
    try:
        if server.engine == "postgres":
            (server.folder / "mlmd").mkdir()
            pg = Postgres(server.folder / "mlmd").start()
            argv += ["--store", pg.new_database(), "--database", str(pg.process.pid)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)
    finally:
        if pg:
            pg.stop()
    if done.returncode:
        raise Failed(f"bench/mlmd.py said: {(done.stdout + done.stderr)[-300:]}")
    return json.loads(done.stdout)
