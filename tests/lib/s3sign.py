"""Signature Version 4 in Python, written apart from the program's: the tests sign with it, and the double checks with it."""

import datetime
import hashlib
import hmac
import http.client
import urllib.parse

EMPTY = hashlib.sha256(b"").hexdigest()


def quote(text, safe=""):
    return urllib.parse.quote(text, safe="-_.~" + safe)


def signature(secret, method, path, query, headers, payload, when, region, service="s3"):
    """query: list of (name, value), decoded; headers: lower-case dict of the signed ones; path decoded."""
    lines = [method, quote(path, "/"),
             "&".join(f"{k}={v}" for k, v in sorted((quote(k), quote(v)) for k, v in query))]
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    lines += ["", ";".join(sorted(headers)), payload]
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (when[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def head(endpoint, access, secret, method, path, query=(), body=b"", region="us-east-1", fields=None):
    """(fields, target) of a signed request, path style."""
    url = urllib.parse.urlsplit(endpoint)
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(body).hexdigest()
    headers = dict({k.lower(): v for k, v in (fields or {}).items()}, host=url.netloc)
    headers["x-amz-date"] = when
    headers["x-amz-content-sha256"] = payload
    sig = signature(secret, method, path, list(query), headers, payload, when, region)
    scope = f"{when[:8]}/{region}/s3/aws4_request"
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={access}/{scope}, "
                                f"SignedHeaders={';'.join(sorted(k for k in headers))}, Signature={sig}")
    return headers, quote(path, "/") + ("?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in query) if query else "")


def request(endpoint, access, secret, method, path, query=(), body=b"", region="us-east-1", fields=None):
    """One signed request, path style; (status, body, fields)."""
    url = urllib.parse.urlsplit(endpoint)
    headers, target = head(endpoint, access, secret, method, path, query, body, region, fields)
    conn = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        conn.request(method, target, body=body or None, headers=headers)
        answer = conn.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        conn.close()
