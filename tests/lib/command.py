"""The cairn program as a command, for tests of the command line."""

import json
import os
import pty
import select
import subprocess
import time

import cairn


class Cli:
    """The program in a home and a working directory of its own."""

    def __init__(self, folder, url=None):
        self.folder = folder
        self.binary = cairn.find_binary()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_", "MLFLOW_"))}
        self.env.update(HOME=str(folder), XDG_CONFIG_HOME=str(folder / "config"), LC_ALL="C.UTF-8")
        if url:
            self.env["CAIRN_SERVER"] = url

    def run(self, *args, rc=0, stdin="", env=None):
        done = subprocess.run([str(self.binary), *map(str, args)], capture_output=True, text=True, input=stdin,
                              cwd=self.folder, env=dict(self.env, **(env or {})), timeout=60)
        assert done.returncode == rc, f"{args}: {done.returncode}, not {rc}\n{done.stdout}\n{done.stderr}"
        self.err = done.stderr
        return done.stdout

    def json(self, *args, **kwargs):
        return json.loads(self.run(*args, "-o", "json", **kwargs))

    def on_terminal(self, *args, columns=80):
        """stdout and stderr of the program on a terminal of that width."""
        parent, child = pty.openpty()
        process = subprocess.Popen([str(self.binary), *args], stdin=child, stdout=child, stderr=child, cwd=self.folder,
                                   env=dict(self.env, COLUMNS=str(columns)), start_new_session=True)
        os.close(child)
        data = b""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([parent], [], [], 0.2)[0]:
                try:
                    piece = os.read(parent, 65536)
                except OSError:
                    break
                if not piece:
                    break
                data += piece
        os.close(parent)
        process.wait(30)
        return data.decode()
