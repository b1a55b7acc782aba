"""Replays every .case file of this folder (format: tests/lib/case.py) against the target of the session.

CAIRN_E2E_TARGET=mlflow replays them against the real MLflow server; the "=> cairn" blocks of a file are the only
differences that are allowed, and DIFFERENCES.md lists them for people.
"""

from pathlib import Path

import pytest

import cairn
import case
import differences

HERE = Path(__file__).resolve().parent
FILES = case.find_cases(HERE)


def name_of(path):
    return str(path.relative_to(HERE))[: -len(".case")]


@pytest.mark.parametrize("engine", cairn.engines())
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_case(path, engine, servers):
    server = servers(engine)
    one = case.Case(path)
    for prefix in one.prefixes:
        try:
            case.Replay(one, server.url, server.kind, prefix).run()
        except case.CaseError as err:
            pytest.fail(f"{err}\n(prefix {prefix})", pytrace=False)


def test_differences_are_listed():
    """DIFFERENCES.md is what the files say; write it with: python tests/lib/differences.py."""
    assert differences.render(HERE) == (HERE / "DIFFERENCES.md").read_text(encoding="utf-8")
