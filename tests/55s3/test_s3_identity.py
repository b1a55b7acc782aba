"""Web identity against radosgw's own token service: it asks the issuer for its keys and checks the token, and gives credentials of a
role. No secret is in the settings of the server, only the name of a file. The issuer is tests/lib/oidcissuer.py."""

import json
import os

import pytest

import cairn
import oidcissuer
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    one = oidcissuer.Issuer(tmp_path_factory.mktemp("issuer")).start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def role(radosgw, issuer):
    """A role of the S3 service that whoever has a token of the issuer may take."""
    def iam(action, **query):
        return radosgw.call("POST", "/", sorted(dict(query, Action=action, Version="2010-05-08").items()))

    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": [f"arn:aws:iam:::oidc-provider/{issuer.host}"]},
        "Action": ["sts:AssumeRoleWithWebIdentity"], "Condition": {"StringEquals": {f"{issuer.host}:app_id": "cairn"}}}]}
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}]}
    iam("CreateOpenIDConnectProvider", **{"Url": issuer.url, "ClientIDList.member.1": "cairn",
                                         "ThumbprintList.member.1": issuer.thumbprint})
    iam("CreateRole", RoleName="server", Path="/", AssumeRolePolicyDocument=json.dumps(trust))
    iam("PutRolePolicy", RoleName="server", PolicyName="all", PolicyDocument=json.dumps(allow))
    return "arn:aws:iam:::role/server"


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
