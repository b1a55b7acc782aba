"""Web identity against radosgw's own token service: it asks the issuer for its keys and checks the token, and gives credentials of a
role. No secret is in the settings of the server, only the name of a file. The issuer is tests/lib/oidcissuer.py."""

import json
import os
import time

import pytest

import cairn
import oidcissuer
import s3double
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    one = oidcissuer.Issuer(tmp_path_factory.mktemp("issuer")).start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """An issuer that others wrote."""
    one = oidcissuer.Provider(tmp_path_factory.mktemp("provider"))
    try:
        yield one.start()
    finally:
        one.stop()


@pytest.fixture(scope="module")
def role(radosgw, issuer):
    return new_role(radosgw, issuer, "server")


def new_role(radosgw, issuer, name):
    """A role of the S3 service that whoever has a token of the issuer may take."""
    def iam(action, **query):
        return radosgw.call("POST", "/", sorted(dict(query, Action=action, Version="2010-05-08").items()))

    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": [f"arn:aws:iam:::oidc-provider/{issuer.host}"]},
        "Action": ["sts:AssumeRoleWithWebIdentity"], "Condition": {"StringEquals": {f"{issuer.host}:app_id": "cairn"}}}]}
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}]}
    iam("CreateOpenIDConnectProvider", **{"Url": issuer.url, "ClientIDList.member.1": "cairn",
                                         "ThumbprintList.member.1": issuer.thumbprint})
    iam("CreateRole", RoleName=name, Path="/", AssumeRolePolicyDocument=json.dumps(trust))
    iam("PutRolePolicy", RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allow))
    return f"arn:aws:iam:::role/{name}"


def environment(token_file, role):
    return {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file), "AWS_ROLE_ARN": role}


def test_a_token_becomes_credentials(radosgw, on_s3, issuer, role, tmp_path):
    token = issuer.token()
    (tmp_path / "token").write_text(token)
    server = on_s3(radosgw, env=environment(tmp_path / "token", role), args=["--log-level", "debug"])
    data = os.urandom(18 * MIB)
    assert ask(server, "PUT", PATH + "a.bin", data)[0] == 200
    assert ask(server, "GET", PATH + "a.bin")[1] == data
    assert "/jwks" in issuer.asked
    log = server.log(100000)
    assert token not in log and token.split(".")[2] not in log


def test_of_a_profile(radosgw, on_s3, issuer, role, tmp_path):
    (tmp_path / "token").write_text(issuer.token())
    (tmp_path / "config").write_text(f"[profile robot]\nrole_arn = {role}\nweb_identity_token_file = {tmp_path / 'token'}\n"
                                     "role_session_name = night\n")
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    server = on_s3(radosgw, env=env, args=["--s3-profile", "robot"])
    assert ask(server, "PUT", PATH + "a.bin", b"x" * MIB)[0] == 200


@pytest.mark.parametrize("claims", [{"aud": "somebody-else"}, {"iss": "http://127.0.0.1:9"}, {"exp": 1000}])
def test_a_token_that_is_not_good(radosgw, on_s3, issuer, role, tmp_path, claims):
    token = issuer.token(**claims)
    (tmp_path / "token").write_text(token)
    with pytest.raises(cairn.StartError) as e:
        on_s3(radosgw, env=environment(tmp_path / "token", role), args=["--s3-patience", "1s"])
    assert "token service" in str(e.value) and "AWS_WEB_IDENTITY_TOKEN_FILE" in str(e.value), str(e.value)
    assert token not in str(e.value)


def test_no_token_file(radosgw, on_s3, role, tmp_path):
    with pytest.raises(cairn.StartError) as e:
        on_s3(radosgw, env=environment(tmp_path / "nothing", role))
    assert "the token of the web identity" in str(e.value), str(e.value)


def expired(provider):
    """A token that was good for a second."""
    token = provider.token(1)
    until = provider.claims(token)["exp"]
    while time.time() <= until + 1:
        time.sleep(0.1)
    return token


def test_an_issuer_of_others(radosgw, on_s3, provider, tmp_path):
    """The token service of radosgw and an issuer that neither of us wrote; a token that is over is refused, its successor taken."""
    role = new_role(radosgw, provider, "others")
    (tmp_path / "token").write_text(expired(provider))
    with pytest.raises(cairn.StartError) as e:
        on_s3(radosgw, env=environment(tmp_path / "token", role), args=["--s3-patience", "1s"])
    assert "token service" in str(e.value), str(e.value)
    (tmp_path / "token").write_text(provider.token())
    server = on_s3(radosgw, env=environment(tmp_path / "token", role))
    data = os.urandom(9 * MIB)
    assert ask(server, "PUT", PATH + "a.bin", data)[0] == 200
    assert ask(server, "GET", PATH + "a.bin")[1] == data


def test_tokens_are_rotated(on_s3, provider, tmp_path):
    """Credentials that run out are renewed with the token that is in the file by then; while it is not good, clients are asked to
    come again."""
    double = s3double.Double().start()
    asked = []
    double.web_check = lambda token: (asked.append(token), provider.is_good(token))[1]
    first, second, third = provider.token(), provider.token(), provider.token()
    (tmp_path / "token").write_text(first)
    server = on_s3(double, env=environment(tmp_path / "token", "arn:aws:iam::1:role/cairn"), args=["--s3-patience", "2s"])

    def run_out():
        double.sessions = {k: (secret, session, 0) for k, (secret, session, _) in double.sessions.items()}

    assert ask(server, "PUT", PATH + "a.bin", b"a" * MIB)[0] == 200 and asked == [first]
    (tmp_path / "token").write_text(second)
    assert ask(server, "PUT", PATH + "b.bin", b"b" * MIB)[0] == 200 and asked == [first], "nothing has run out"
    run_out()
    assert ask(server, "PUT", PATH + "c.bin", b"c" * MIB)[0] == 200 and asked == [first, second]
    bad = expired(provider)
    (tmp_path / "token").write_text(bad)
    run_out()
    status, text, answer = ask(server, "PUT", PATH + "d.bin", b"d" * MIB)
    assert status == 503 and answer.getheader("Retry-After"), text
    assert bad in asked
    (tmp_path / "token").write_text(third)
    assert ask(server, "PUT", PATH + "d.bin", b"d" * MIB)[0] == 200 and asked[-1] == third
    assert server.stop() == 0
    log = server.log(100000)
    assert not [t for t in (first, second, third, bad) if t.split(".")[2] in log]
    double.stop()
