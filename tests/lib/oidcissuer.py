"""An OpenID Connect issuer for one machine: its discovery document, its keys, and tokens signed with RS256 (by the openssl command).

    issuer = Issuer(folder).start()
    issuer.token(aud="cairn")           # a JWT
    issuer.thumbprint, issuer.url, issuer.host
"""

import base64
import hashlib
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


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
