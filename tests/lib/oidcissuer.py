"""An OpenID Connect issuer for one machine: its discovery document, its keys, and tokens signed with RS256 (by the openssl command).

    issuer = Issuer(folder).start()
    issuer.token(aud="cairn")           # a JWT
    issuer.thumbprint, issuer.url, issuer.host

A Provider is the same with the package oidc-provider of Node, an issuer that others wrote; its tokens are asked for as clients do."""

import base64
import hashlib
import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cairn import Process, StartError, tail

ROOT = Path(__file__).resolve().parents[2]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self, folder):
        self.key, self.cert = Path(folder) / "issuer-key.pem", Path(folder) / "issuer-cert.pem"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "2",
                      "-subj", "/CN=issuer")
        der = self._openssl("x509", "-in", self.cert, "-outform", "DER")
        modulus = self._openssl("x509", "-in", self.cert, "-noout", "-modulus").decode().strip().split("=")[1]
        self.thumbprint = hashlib.sha1(der).hexdigest().upper()
        self.jwk = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": b64(bytes.fromhex(modulus)), "e": "AQAB",
                    "x5c": [base64.b64encode(der).decode()]}
        self.asked = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                issuer.asked.append(self.path)
                found = {"/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": issuer.url + "/jwks"},
                         "/jwks": {"keys": [issuer.jwk]}}.get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @staticmethod
    def _openssl(*argv, data=None):
        return subprocess.run(["openssl", *map(str, argv)], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout

    @property
    def host(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self):
        return f"http://{self.host}"

    def token(self, **claims):
        now = int(time.time())
        payload = dict({"iss": self.url, "sub": "server", "aud": "cairn", "client_id": claims.get("aud", "cairn"), "iat": now,
                        "exp": now + 3600}, **claims)
        text = b64(b'{"alg":"RS256","typ":"JWT","kid":"k1"}') + "." + b64(json.dumps(payload).encode())
        return text + "." + b64(self._openssl("dgst", "-sha256", "-sign", self.key, data=text.encode()))

    def start(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def openssl(*argv):
    return subprocess.run(["openssl", *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


class Provider:
    """oidc-provider in a process of its own (tests/lib/oidcprovider.mjs)."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.key, self.cert = self.folder / "key.pem", self.folder / "cert.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", "/CN=issuer")
        self.thumbprint = hashlib.sha1(openssl("x509", "-in", self.cert, "-outform", "DER")).hexdigest().upper()
        self.process, self.url = None, ""

    @property
    def host(self):
        return self.url.removeprefix("http://")

    def start(self):
        env = subprocess.run([ROOT / "tools/nodeenv", "oidc-provider"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if env.returncode:
            raise StartError(env.stderr)
        log = self.folder / "provider.log"
        self.process = Process(["node", ROOT / "tests/lib/oidcprovider.mjs", Path(env.stdout.strip()) / "node_modules", self.key, self.cert],
                               log, cwd=self.folder)
        end = time.monotonic() + 120
        while not self.url:
            if not self.process.is_running() or time.monotonic() > end:
                raise StartError(tail(log, 20))
            self.url = next((line for line in log.read_text().splitlines() if line.startswith("http://")), "")
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process:
            self.process.kill()

    def token(self, seconds=600):
        """Asked for with the grant client_credentials."""
        body = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": f"urn:cairn:{seconds}"}).encode()
        request = urllib.request.Request(self.url + "/token", body, {"Authorization": "Basic " + base64.b64encode(b"cairn:secret").decode()})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["access_token"]

    @staticmethod
    def claims(token):
        part = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    def is_good(self, token):
        """What a token service looks at: the signature, by the key that the issuer publishes, its name, the audience, the time."""
        with urllib.request.urlopen(self.url + "/jwks", timeout=60) as answer:
            published = json.load(answer)["keys"][0]["x5c"][0]
        cert, sig, text = (self.folder / n for n in ("published.pem", "sig", "text"))
        cert.write_text(f"-----BEGIN CERTIFICATE-----\n{published}\n-----END CERTIFICATE-----\n")
        head, _, last = token.rpartition(".")
        sig.write_bytes(base64.urlsafe_b64decode(last + "=" * (-len(last) % 4)))
        text.write_text(head)
        (self.folder / "public.pem").write_bytes(openssl("x509", "-in", cert, "-noout", "-pubkey"))
        try:
            openssl("dgst", "-sha256", "-verify", self.folder / "public.pem", "-signature", sig, text)
        except subprocess.CalledProcessError:
            return False
        claims = self.claims(token)
        return claims["iss"] == self.url and claims["aud"] == "cairn" and claims["exp"] > time.time()
