"""Raw HTTP cases: bytes in, expected answers and the fate of the connection out.

A file holds comments (#) and cases; one case is one new connection:

    == a title
    > GET /health HTTP/1.1            a line that is sent with CRLF behind it
    > Host: localhost
    >                                 the empty line
    >| a\\nb\\x00                     bytes sent as they stand; escapes \\r \\n \\t \\0 \\xHH \\\\
    >*200 X-$i: v                     the line 200 times, $i counts from 0
    < 200                             an answer with this status; lines are sent up to here before it is read
    < 200 OK                          ... and exactly this body;  "< 200 ~ REGEX" a body like this;  "< 200 head" no body
    <: Allow: REGEX                   a header of the last answer
    < 400|408                         any of these
    = close                           the server has closed the connection ("keep": one more request is answered on it,
                                      "either": not looked at)

${x*300} is "x" 300 times, $uniq differs in every replay. A case without "=" expects "keep".
"""

import re
import socket
import uuid
from pathlib import Path

VARIABLE = re.compile(r"\$\{(.)\*(\d+)\}|\$(uniq|i)\b")
ESCAPE = re.compile(r"\\(r|n|t|0|\\|x[0-9a-fA-F]{2})")
PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
TIMEOUT_S = 15.0


class RawError(AssertionError):
    """The server did something else; the text shows what."""


class Case:
    def __init__(self, title, path, line):
        self.title = title
        self.path = path
        self.line = line
        self.steps = []           # ("send", text) | ("expect", statuses, kind, body) | ("header", name, regex)
        self.fate = "keep"


def parse(path):
    cases = []
    for n, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("== "):
            cases.append(Case(line[3:].strip(), path, n))
        elif line == "" or line.startswith("#"):
            continue
        elif not cases:
            raise ValueError(f"{path}:{n}: text before the first case")
        else:
            parse_line(cases[-1], line, f"{path}:{n}")
    return cases


def parse_line(case, line, where):
    if line.startswith(">|"):
        case.steps.append(("send", unescape(line[2:].removeprefix(" "))))
    elif line.startswith(">*"):
        count, _, text = line[2:].partition(" ")
        case.steps.append(("repeat", int(count), text))
    elif line.startswith(">"):
        case.steps.append(("send", line[1:].removeprefix(" ") + "\r\n"))
    elif line.startswith("<:"):
        name, _, regex = line[2:].partition(":")
        case.steps.append(("header", name.strip().lower(), regex.strip()))
    elif line.startswith("< "):
        statuses, _, rest = line[2:].partition(" ")
        kind = "head" if rest == "head" else "regex" if rest.startswith("~ ") else "body" if rest else "any"
        case.steps.append(("expect", [int(s) for s in statuses.split("|")], kind,
                           rest[2:] if kind == "regex" else rest))
    elif line.startswith("= "):
        case.fate = line[2:].strip()
        if case.fate not in ("keep", "close", "either"):
            raise ValueError(f"{where}: unknown fate {case.fate}")
    else:
        raise ValueError(f"{where}: cannot read {line!r}")


def unescape(text):
    return ESCAPE.sub(lambda m: PLAIN.get(m.group(1)) or chr(int(m.group(1)[1:], 16)), text)


class Connection:
    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.at_end = False

    def close(self):
        self.sock.close()

    def send(self, data):
        """Send; a server that has already refused may close while we still write."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def fill(self):
        """Read some bytes; False at the end of the connection."""
        if self.at_end:
            return False
        try:
            got = self.sock.recv(65536)
        except ConnectionResetError:
            got = b""
        except socket.timeout:
            raise RawError(f"no bytes for {TIMEOUT_S} s after {self.data[-300:]!r}") from None
        self.at_end = got == b""
        self.data += got
        return not self.at_end

    def take(self, n):
        while len(self.data) < n:
            if not self.fill():
                raise RawError(f"the connection ended inside of an answer: {self.data[:300]!r}")
        head, self.data = self.data[:n], self.data[n:]
        return head

    def take_line(self):
        while b"\r\n" not in self.data:
            if not self.fill():
                raise RawError(f"the connection ended where an answer was due, after {self.data[:300]!r}")
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def answer(self, has_body=True):
        """One answer: (status, headers, body). The framing of the answer itself is checked strictly."""
        line = self.take_line()
        m = re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) [ -~]*", line)
        if not m:
            raise RawError(f"bad status line {line!r}")
        status = int(m.group(1))
        headers = {}
        while True:
            line = self.take_line()
            if line == b"":
                break
            m = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)", line)
            if not m:
                raise RawError(f"bad header line {line!r}")
            headers[m.group(1).decode().lower()] = m.group(2).decode("latin-1").strip()
        if status < 200 or status in (204, 304) or not has_body:
            return status, headers, b""
        return status, headers, self.body(headers)

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            if "content-length" in headers:
                raise RawError("an answer with Content-Length and Transfer-Encoding")
            body = b""
            while True:
                n = int(self.take_line().split(b";")[0], 16)
                body += self.take(n)
                if n == 0:
                    while self.take_line() != b"":
                        pass
                    return body
                if self.take(2) != b"\r\n":
                    raise RawError("a chunk does not end in CRLF")
        if "content-length" in headers:
            return self.take(int(headers["content-length"]))
        while self.fill():
            pass
        body, self.data = self.data, b""
        return body

    def is_closed(self):
        """True if the server has ended the connection without another byte."""
        self.sock.settimeout(5.0)
        try:
            more = self.fill()
        except RawError:
            raise RawError("the connection is still open") from None
        if more or self.data:
            raise RawError(f"more bytes instead of the end: {self.data[:300]!r}")
        return True


def expand(text, variables):
    def one(m):
        return m.group(1) * int(m.group(2)) if m.group(1) else str(variables.get(m.group(3), m.group(0)))
    return VARIABLE.sub(one, text)


def replay(case, host, port):
    """Run one case; RawError if the server does something else."""
    conn = Connection(host, port)
    variables = {"uniq": uuid.uuid4().hex[:10]}
    try:
        pending = ""
        last = None
        for step in case.steps:
            if step[0] == "send":
                pending += expand(step[1], variables)
            elif step[0] == "repeat":
                pending += "".join(expand(step[2], dict(variables, i=i)) + "\r\n" for i in range(step[1]))
            elif step[0] == "expect":
                conn.send(pending.encode("latin-1"))
                pending = ""
                last = expect(conn, step)
            else:
                value = last[1].get(step[1], "")
                if not re.search(step[2], value):
                    raise RawError(f"header {step[1]} is {value!r}, expected {step[2]!r}")
        if pending:
            conn.send(pending.encode("latin-1"))
        if case.fate == "close":
            conn.is_closed()
        elif case.fate == "keep":
            conn.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, _, body = conn.answer()
            if (status, body) != (200, b"OK"):
                raise RawError(f"the connection is not usable any more: {status} {body[:100]!r}")
    except RawError as err:
        raise RawError(f"{case.path}:{case.line}: {case.title}: {err}") from None
    finally:
        conn.close()


def expect(conn, step):
    _, statuses, kind, want = step
    status, headers, body = conn.answer(has_body=kind != "head")
    if status not in statuses:
        raise RawError(f"expected {statuses}, got {status} {body[:300]!r}")
    text = body.decode("latin-1")
    if kind == "body" and text != want:
        raise RawError(f"expected the body {want!r}, got {text[:300]!r}")
    if kind == "regex" and not re.search(want, text):
        raise RawError(f"expected a body like {want!r}, got {text[:300]!r}")
    return status, headers, body
