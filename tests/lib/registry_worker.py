"""Runs Python in another environment, piece by piece: for clients whose packages are not those of the tests.

    python registry_worker.py        reads lines of JSON {"code": "...", "vars": {...}}, writes {"result": ...} or {"error": ...}

Names live on between the pieces; what a piece leaves in `result` goes back. Worker is the other end.
"""

import json
import subprocess
import sys
import traceback


class Worker:
    """One such process."""

    def __init__(self, python):
        self.process = subprocess.Popen([str(python), "-W", "ignore", __file__], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self, code, **values):
        self.process.stdin.write(json.dumps({"code": code, "vars": values}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the worker ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def worker_of(environment, setup=None):
    """For a fixture (yield from): a Worker in that environment of tools/pyenv, which has run `setup`; skips where there is none."""
    import cairn     # not on the other end
    import pytest

    python = cairn.find_python(environment)
    if python is None:
        pytest.skip(f"no environment {environment}: tools/pyenv {environment}")
    one = Worker(python)
    if setup:
        one.run(setup)
    yield one
    one.stop()


def plain(value):
    """What JSON can say of it."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def main():
    names = {}
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        piece = json.loads(line)
        names.update(piece["vars"], result=None)
        try:
            exec(compile(piece["code"], "<test>", "exec"), names)  # the tests' own code
            answer = {"result": plain(names["result"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
