"""Replays every .case file of this folder (format: tests/lib/case.py) against cairn, under both names of the API."""

from pathlib import Path

import pytest

import cairn
import case

HERE = Path(__file__).resolve().parent
FILES = case.find_cases(HERE)
PREFIXES = ("/api/model_registry/v1alpha3", "/api/model_registry/v1")
pytestmark = pytest.mark.cairn_only


@pytest.mark.parametrize("engine", cairn.engines())
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_case(path, engine, servers):
    server = servers(engine)
    one = case.Case(path)
    for prefix in PREFIXES:
        try:
            case.Replay(one, server.url, server.kind, prefix).run()
        except case.CaseError as err:
            pytest.fail(f"{err}\n(prefix {prefix})", pytrace=False)
