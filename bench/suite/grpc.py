"""gRPC: a unary call beside nghttpd, by bench/grpc.py."""
import json
import shutil
import subprocess
import sys

from .servers import ROOT, Failed


def missing():
    """What there is to install, or None."""
    return next((name for name in ("h2load", "nghttpd") if not shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")), None)


def calls(server, n, rounds):
    """{"call_us": ..., "nghttpd_us": ..., "ratio": ..., "rate": ...} of one call to a server of its own."""
    done = subprocess.run([sys.executable, ROOT / "bench/grpc.py", "--cairn", server.program, "--calls", str(n), "--rounds", str(rounds)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"bench/grpc.py said: {done.stdout[-300:]}") from None
    return {"call_us": found["us_cpu_per_call"]["cairn"], "nghttpd_us": found["us_cpu_per_call"]["nghttpd"], "ratio": found["ratio"],
            "rate": found["calls_per_s"]["cairn"]}
