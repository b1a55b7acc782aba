"""Replays the raw HTTP cases of this folder (format: tests/lib/rawhttp.py) against a cairn server."""

from pathlib import Path

import pytest

import cairn
import rawhttp

pytestmark = pytest.mark.cairn_only

HERE = Path(__file__).resolve().parent
CASES = [(path, case) for path in sorted(HERE.glob("*.http")) for case in rawhttp.parse(path)]


def name_of(pair):
    return f"{pair[0].stem}: {pair[1].title}"


@pytest.mark.parametrize("pair", CASES, ids=name_of)
def test_case(pair, servers):
    server = servers(cairn.engines()[0])
    try:
        rawhttp.replay(pair[1], "127.0.0.1", server.port)
    except rawhttp.RawError as err:
        pytest.fail(str(err), pytrace=False)
