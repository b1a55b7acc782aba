"""Writes tests/40protocol/mlflow/DIFFERENCES.md: every step where cairn answers otherwise than MLflow, with the reason."""

import sys
from pathlib import Path

import case

FOLDER = Path(__file__).resolve().parents[1] / "40protocol" / "mlflow"

HEAD = """# Where cairn answers otherwise than MLflow

Made by `python tests/lib/differences.py` from the `=> cairn` blocks of the case files; a test compares it.
Every line was reviewed: cairn differs on purpose, for the reason given. "(no counterpart)" marks what only cairn has.

| file | step | MLflow | cairn | reason |
|---|---|---|---|---|
"""


def outcome(expect):
    if expect is None:
        return "(no counterpart)"
    code = expect.body.get("error_code") if expect.kind == "json" and isinstance(expect.body, dict) else None
    return f"{expect.status} {code}" if code else str(expect.status)


def render(folder):
    rows = []
    for path in case.find_cases(folder):
        name = str(path.relative_to(folder))
        for step, theirs, ours in case.Case(path).differences():
            title = step.title.replace("|", "\\|")
            rows.append(f"| {name} | {title} | {outcome(theirs)} | {outcome(ours)} | {ours.reason.replace('|', chr(92) + '|')} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (FOLDER / "DIFFERENCES.md").write_text(render(FOLDER), encoding="utf-8")
    sys.exit(0)
