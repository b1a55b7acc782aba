"""Paths that try to leave their root, or to be two things at once: every form on every route that takes a path. Each is refused with a
4xx, and nothing was read, written or deleted."""

import http.client
import json
import re
import tarfile
from urllib.parse import quote

import pytest

PROXY = "/api/2.0/mlflow-artifacts/"
SECRET = b"not for you"

# name: the path as the server gets it after the one decoding of the URL (or body).
PATHS = {
    "dots": "../../secret",
    "dots_inside": "a/../../../secret",
    "dots_alone": "..",
    "dots_at_the_end": "a/..",
    "one_dot": "./secret",
    "one_dot_inside": "a/./secret",
    "CVE_2023_1176_absolute": "/etc/passwd",
    "CVE_2023_1177_file_uri": "file:///etc/passwd",
    "CVE_2023_3765_drive": "C:/windows/win.ini",
    "CVE_2023_30172_drive_backslash": "C:\\windows\\win.ini",
    "CVE_2023_6977_backslash": "..\\..\\secret",
    "CVE_2023_6909_backslash_after_slash": "a/\\..\\secret",
    "CVE_2023_6753_windows_separators": "a\\b",
    "unc": "\\\\host\\share",
    "CVE_2024_1560_encoded_twice": "%2e%2e%2fsecret",
    "CVE_2023_6831_encoded_three_times": "%252e%252e%252fsecret",
    "encoded_six_times": "%2525252525252e%2525252525252e/secret",
    "encoded_backslash": "%5c..%5csecret",
    "encoded_slash_at_the_start": "%2fetc%2fpasswd",
    "half_encoded_dots": ".%2e/secret",
    "CVE_2024_1483_fragment": "a#/../../secret",
    "CVE_2024_2928_fragment_at_the_start": "#/../secret",
    "encoded_fragment": "a%23b",
    "CVE_2024_3573_upper_case_scheme": "FILE:/etc/passwd",
    "CVE_2024_3573_no_host": "file:etc/passwd",
    "CVE_2024_8859_dbfs": "dbfs:/../etc/passwd",
    "s3_scheme": "s3://bucket/key",
    "nul": "a\0b",
    "encoded_nul": "a%00b",
    "control": "a\x07b",
    "delete_character": "a\x7fb",
    "newline": "a\nb",
    "tab": "a\tb",
    "white_space_in_an_escape_hides_nothing": "%2\t52e",
    "empty_component": "a//b",
    "leading_slashes": "//a",
    "component_too_long": "a/" + "x" * 256,
    "path_too_long": "/".join(["y" * 200] * 11),
}
BYTES = {
    "overlong_utf8_dots": "%C0%AE%C0%AE/secret",
    "overlong_utf8_slash": "..%C0%AFsecret",
    "not_utf8": "%FF",
    "lone_surrogate": "%ED%A0%80",
    "escape_cut_short": "a%2",
}


class Plain:
    """Requests whose targets nobody tidies up."""

    def __init__(self, server):
        self.port = server.port

    def __call__(self, method, target, body=None, json_type=True):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} if body is not None and json_type else {}
        conn.request(method, target, body=body, headers=headers)
        answer = conn.getresponse()
        data = answer.read()
        conn.close()
        return answer.status, data


@pytest.fixture
def ask(server):
    return Plain(server)


@pytest.fixture
def model(client, exp):
    return client.create_logged_model(exp).model_id


def everywhere(exp, run, model, path, encoded):
    """Every route that takes a path of artifacts: (method, target, body)."""
    root = f"{exp}/{run}/artifacts"
    api = "/api/cairn/v1/artifacts"
    absolute = re.match(r"/|\\\\|[A-Za-z0-9]+:", path)  # only where it stands first; behind a slash it is a name
    if not absolute:
        yield "GET", f"{PROXY}artifacts/{root}/{encoded}", None
        yield "PUT", f"{PROXY}artifacts/{root}/{encoded}", b"x"
        yield "DELETE", f"{PROXY}artifacts/{root}/{encoded}", None
        yield "GET", f"{PROXY}presigned/{root}/{encoded}", None
    yield "GET", f"{PROXY}artifacts?path=" + (encoded if absolute else quote(root + "/", safe="") + encoded), None
    yield "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}&path={encoded}", None
    yield "GET", f"/get-artifact?run_id={run}&path={encoded}", None
    yield "POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={encoded}", b"x"
    yield "GET", f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?artifact_file_path={encoded}", None
    yield "GET", f"/api/2.0/mlflow/logged-models/{model}/artifacts/directories?artifact_directory_path={encoded}", None
    yield "GET", f"{api}?run_id={run}&path={encoded}", None
    yield "GET", f"{api}/file?run_id={run}&path={encoded}", None
    yield "PUT", f"{api}/file?model_id={model}&path={encoded}", b"x"
    yield "DELETE", f"{api}/file?run_id={run}&path={encoded}&recursive=true", None
    yield "GET", f"{api}/archive?run_id={run}&path={encoded}", None


def bodies(run, path):
    """Routes that take the path in JSON."""
    for what in ("presigned-upload-url", "presigned-download-url"):
        yield f"/api/2.0/mlflow/artifacts/{what}", {"run_id": run, "path": path}


def nothing_happened(ask, exp, run):
    status, data = ask("GET", f"{PROXY}artifacts?path={exp}/{run}/artifacts")
    assert (status, json.loads(data)) == (200, {"files": [{"path": "keep", "is_dir": False, "file_size": 1}]})


def refuse(ask, server, exp, run, model, path, encoded):
    assert ask("PUT", f"{PROXY}artifacts/{exp}/{run}/artifacts/keep", b"k", False)[0] == 200
    for method, target, body in everywhere(exp, run, model, path, encoded):
        status, data = ask(method, target, body, False)
        assert 400 <= status < 500 or (status == 501 and "/presigned/" in target), f"{method} {target}: {status} {data!r}"
        assert SECRET not in data and b"root:" not in data
    nothing_happened(ask, exp, run)


@pytest.mark.cairn_only
@pytest.mark.parametrize("name", PATHS)
def test_path(name, ask, server, exp, run, model):
    path = PATHS[name]
    refuse(ask, server, exp, run, model, path, quote(path, safe=""))
    for target, body in bodies(run, path):
        status, data = ask("POST", target, json.dumps(body))
        assert status == 400 and json.loads(data)["error_code"] in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@pytest.mark.cairn_only
@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_text(name, ask, server, exp, run, model):
    refuse(ask, server, exp, run, model, "", BYTES[name])


@pytest.mark.cairn_only
@pytest.mark.parametrize("name", ["a b", "ü", "u\u0308", "trailing.", "trailing ", "CON", "a;b=c", "A", "a", "...", "-", "~", "a%20b", "@",
                                  "a&b", "a=b", "a+b", "a?b"])
def test_names_that_are_only_odd_are_kept_apart(name, ask, server, exp, run):
    """Names are keys of a table and never of a file system: no folding, no normalising, no end that is cut."""
    root = f"{PROXY}artifacts/{exp}/{run}/artifacts"
    others = ["A", "a", "ü", "u\u0308", "trailing", "trailing.", "trailing "]
    for one in {name, *others}:
        assert ask("PUT", f"{root}/{quote(one, safe='')}", one.encode(), False)[0] == 200
    for one in {name, *others}:
        assert ask("GET", f"{root}/{quote(one, safe='')}") == (200, one.encode())
    listed = json.loads(ask("GET", f"{PROXY}artifacts?path={exp}/{run}/artifacts")[1])["files"]
    assert {f["path"] for f in listed} == {name, *others}


@pytest.mark.cairn_only
def test_links_in_an_archive_are_only_bytes(ask, exp, run, tmp_path):
    """The server never unpacks: a tar file with a link out of it is one file like any other."""
    with tarfile.open(tmp_path / "t.tar", "w") as made:
        link = tarfile.TarInfo("x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    data = (tmp_path / "t.tar").read_bytes()
    assert ask("PUT", f"{PROXY}artifacts/{exp}/{run}/artifacts/t.tar", data, False)[0] == 200
    assert ask("GET", f"{PROXY}artifacts/{exp}/{run}/artifacts/t.tar") == (200, data)
    assert ask("GET", f"{PROXY}artifacts/{exp}/{run}/artifacts/t.tar/x")[0] == 404


@pytest.mark.cairn_only
@pytest.mark.parametrize("first, second", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d"), ("a/b/c", "a/b")])
@pytest.mark.parametrize("size", [1, 100000])
def test_a_beside_a_b(first, second, size, ask, exp, run):
    root = f"{PROXY}artifacts/{exp}/{run}/artifacts"
    assert ask("PUT", f"{root}/{first}", b"1", False)[0] == 200
    status, data = ask("PUT", f"{root}/{second}", b"x" * size, False)
    assert status == 400 and json.loads(data)["error_code"] == "INVALID_PARAMETER_VALUE"
    assert ask("GET", f"{root}/{first}") == (200, b"1")
