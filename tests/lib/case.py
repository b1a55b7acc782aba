"""Protocol cases: request and expected answer as a text file, replayed over a plain HTTP connection.

A file holds comments (#), directives (@) and steps (==):

    # What this file proves.
    @ with run                              creates $exp (experiment id), $name (its name), $run before the first step
    @ prefixes /api/2.0 /ajax-api/2.0       replay all of it once per prefix; "~" in a path is the prefix (default /api/2.0)

    == a title
    POST ~/mlflow/runs/log-metric?x=1       method and target, sent as they stand
    X-Header: value                         request headers (Content-Type: application/json comes by itself with a
    {"run_id": "$run",                      JSON body; "Content-Type: -" leaves it out)
     "key": "k"}                            a JSON body; or one line "raw TEXT", "hex 0a0b", "empty"
    => 200                                  expected status
    Content-Type: application/json          expected headers (matchers allowed)
    {"metrics": [{"value": "@num"}]}        expected JSON; or one line "text TEXT", "text~ REGEX", "empty"
    => cairn 400 the reason                 what cairn answers instead, on purpose, and why
    {"error_code": "INVALID_STATE"}

The word "chunked" alone on a line sends the body with Transfer-Encoding: chunked. A step with only "=> cairn" is
skipped against the real server. Objects are compared as subsets ("@only": true forbids other members), lists exactly
(first element "@set": in any order; "@some": the rest is contained). Strings that begin with "@" are matchers:
@any @str @int @num @bool @obj @list @absent @nonempty, @re:REGEX (whole value), @has:TEXT, and " > name" behind one of
them stores the value as $name. In requests and expectations $name is replaced (by the value itself when it is the whole
string), ${x*300} is "x" 300 times, ["@repeat", 1001, ITEM] is a list of items with $i counting from 0. $uniq differs
in every replay, $uniq_upper is the same in upper case.
"""

import http.client
import json
import math
import re
import sys
import urllib.parse
import uuid
from pathlib import Path

VARIABLE = re.compile(r"\$\{(.)\*(\d+)\}|\$([a-z_][a-z0-9_]*)|\$\{([a-z_][a-z0-9_]*)\}")
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ", "HEAD ", "OPTIONS ")


class CaseError(AssertionError):
    """An answer is not what the file says; the text shows the exchange."""


class Expectation:
    def __init__(self, status, reason=""):
        self.status = status
        self.reason = reason
        self.headers = []
        self.kind = None          # "json", "text", "text~", "empty", or None: the body is not looked at
        self.body = None


class Step:
    def __init__(self, title, line):
        self.title = title
        self.line = line
        self.method = None
        self.target = None
        self.headers = []
        self.kind = None          # "json", "raw", "hex", "empty", or None: no body
        self.body = None
        self.chunked = False
        self.expect = {}          # "" and "cairn"


class Case:
    def __init__(self, path):
        self.path = Path(path)
        self.comment = []
        self.prefixes = ["/api/2.0"]
        self.prelude = []
        self.steps = []
        self._parse()

    def _fail(self, n, what):
        raise ValueError(f"{self.path}:{n}: {what}")

    def _parse(self):
        step = None
        target = None             # the Step or Expectation that lines belong to
        pending = None            # lines of a JSON text
        pending_line = 0

        def close_json():
            nonlocal pending
            if pending is not None:
                try:
                    target.body = json.loads("\n".join(pending))
                except ValueError as err:
                    self._fail(pending_line, f"bad JSON: {err}")
                target.kind = "json"
                pending = None

        for n, line in enumerate(self.path.read_text(encoding="utf-8").split("\n"), 1):
            line = line.rstrip("\r")
            if line.startswith("#"):
                if step is None:
                    self.comment.append(line[1:].strip())
            elif line.startswith("@ "):
                self._directive(n, line[2:].split())
            elif line.startswith("== "):
                close_json()
                step = Step(line[3:].strip(), n)
                self.steps.append(step)
                target = step
            elif line.startswith("=> "):
                close_json()
                words = line[3:].split(None, 1)
                who = ""
                if words[0] == "cairn":
                    who = "cairn"
                    words = words[1].split(None, 1)
                target = Expectation(int(words[0]), words[1].strip() if len(words) > 1 else "")
                if who and not target.reason and "" in step.expect:
                    self._fail(n, "a difference needs its reason")
                step.expect[who] = target
            elif pending is not None:
                pending.append(line)
            elif line == "":
                continue
            elif step is None:
                self._fail(n, "text before the first step")
            elif step.method is None:
                if not line.startswith(METHODS):
                    self._fail(n, "expected METHOD target")
                step.method, step.target = line.split(" ", 1)
            elif line[0] in "{[\"":
                pending = [line]
                pending_line = n
            elif line == "chunked":
                step.chunked = True
            elif line == "empty" or line.split(" ", 1)[0] in ("raw", "hex", "text", "text~"):
                target.kind, _, target.body = line.partition(" ")
            elif ":" in line:
                name, _, value = line.partition(":")
                target.headers.append((name.strip(), value.strip()))
            else:
                self._fail(n, f"cannot read {line!r}")
        close_json()
        for one in self.steps:
            if one.method is None or not one.expect:
                self._fail(one.line, "a step needs a request and an expectation")

    def _directive(self, n, words):
        if words[0] == "prefixes":
            self.prefixes = words[1:]
        elif words[0] == "with" and words[1] in ("experiment", "run"):
            self.prelude.append(words[1])
        else:
            self._fail(n, f"unknown directive {words[0]}")

    def differences(self):
        """(step, default expectation or None, cairn's expectation) where cairn differs on purpose."""
        return [(s, s.expect.get(""), s.expect["cairn"]) for s in self.steps if "cairn" in s.expect]


class Variables(dict):
    def text(self, s):
        def one(m):
            if m.group(1):
                return m.group(1) * int(m.group(2))
            name = m.group(3) or m.group(4)
            if name not in self:
                return m.group(0)
            return str(self[name])
        return VARIABLE.sub(one, s)

    def value(self, v):
        """A JSON value with variables replaced and repeats expanded."""
        if isinstance(v, str):
            m = VARIABLE.fullmatch(v)
            if m and not m.group(1) and (m.group(3) or m.group(4)) in self:
                return self[m.group(3) or m.group(4)]
            return self.text(v)
        if isinstance(v, list):
            if len(v) == 3 and v[0] == "@repeat":
                out = []
                for i in range(v[1]):
                    out.append(Variables(self, i=i).value(v[2]))
                return out
            return [self.value(x) for x in v]
        if isinstance(v, dict):
            return {self.text(k): self.value(x) for k, x in v.items()}
        return v


KINDS = {
    "@any": lambda v: True,
    "@str": lambda v: isinstance(v, str),
    "@int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "@num": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "@bool": lambda v: isinstance(v, bool),
    "@obj": lambda v: isinstance(v, dict),
    "@list": lambda v: isinstance(v, list),
    "@nonempty": lambda v: bool(v),
}


def match(expected, got, variables, where="answer"):
    """None when got is as expected, else a text; captures are stored in variables."""
    if isinstance(expected, str) and expected.startswith("@"):
        return match_string(expected, got, variables, where)
    if isinstance(expected, dict):
        return match_object(expected, got, variables, where)
    if isinstance(expected, list):
        return match_list(expected, got, variables, where)
    if isinstance(expected, str):
        expected = variables.value(expected)
    if isinstance(expected, float) and math.isnan(expected):
        ok = isinstance(got, float) and math.isnan(got)
    elif isinstance(expected, bool) or isinstance(got, bool):
        ok = expected is got
    else:
        ok = expected == got and isinstance(expected, str) == isinstance(got, str)
    return None if ok else f"{where}: expected {expected!r}, got {got!r}"


def match_string(expected, got, variables, where):
    spec, _, name = expected.partition(" > ")
    if spec in KINDS:
        ok = KINDS[spec](got)
    elif spec.startswith("@re:"):
        ok = isinstance(got, str) and re.fullmatch(variables.text(spec[4:]), got, re.S) is not None
    elif spec.startswith("@has:"):
        ok = isinstance(got, str) and variables.text(spec[5:]) in got
    elif spec == "@absent":
        ok = False
    else:
        return f"{where}: unknown matcher {spec}"
    if not ok:
        return f"{where}: expected {spec}, got {got!r}"
    if name:
        variables[name.strip()] = got
    return None


def match_object(expected, got, variables, where):
    if not isinstance(got, dict):
        return f"{where}: expected an object, got {got!r}"
    for key, want in expected.items():
        if key == "@only":
            continue
        key = variables.text(key)
        if want == "@absent":
            if key in got:
                return f"{where}.{key}: must be absent, is {got[key]!r}"
        elif key not in got:
            return f"{where}.{key}: is missing in {got!r}"
        else:
            why = match(want, got[key], variables, f"{where}.{key}")
            if why:
                return why
    if expected.get("@only"):
        more = set(got) - {variables.text(k) for k in expected}
        if more:
            return f"{where}: unexpected members {sorted(more)}"
    return None


def match_list(expected, got, variables, where):
    if not isinstance(got, list):
        return f"{where}: expected a list, got {got!r}"
    if expected and expected[0] == "@repeat":
        expected = variables.value(expected)
    if expected and expected[0] in ("@set", "@some"):
        left = list(got)
        for i, want in enumerate(expected[1:]):
            for item in left:
                if match(want, item, variables, where) is None:
                    left.remove(item)
                    break
            else:
                return f"{where}: nothing like {variables.value(want)!r} in {got!r}"
        if left and expected[0] == "@set":
            return f"{where}: unexpected {left!r}"
        return None
    if len(expected) != len(got):
        return f"{where}: expected {len(expected)} elements, got {len(got)}: {got!r}"
    for i, want in enumerate(expected):
        why = match(want, got[i], variables, f"{where}[{i}]")
        if why:
            return why
    return None


class Exchange:
    """One keep-alive connection to a server."""

    def __init__(self, url, timeout=60):
        parts = urllib.parse.urlsplit(url)
        self.prefix = parts.path.rstrip("/")
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def close(self):
        self.connection.close()

    def send(self, method, target, headers, body, chunked=False):
        """(status, headers as list, body); the target and the headers go out exactly as given."""
        try:
            return self._send(method, target, headers, body, chunked)
        except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
            self.connection.close()       # an idle connection the server closed in between
            return self._send(method, target, headers, body, chunked)

    def _send(self, method, target, headers, body, chunked):
        c = self.connection
        names = {name.lower() for name, _ in headers}
        c.putrequest(method, self.prefix + target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers:
            if value != "-":
                c.putheader(name, value.encode("utf-8"))
        if chunked:
            c.putheader("Transfer-Encoding", "chunked")
            c.endheaders()
            if body:
                c.send(b"%x\r\n%s\r\n" % (len(body), body))
            c.send(b"0\r\n\r\n")
        elif body is not None:
            c.putheader("Content-Length", str(len(body)))
            c.endheaders(body)
        else:
            if method in ("POST", "PUT", "PATCH"):
                c.putheader("Content-Length", "0")
            c.endheaders()
        answer = c.getresponse()
        data = answer.read()
        return answer.status, answer.getheaders(), data


def quote_target(target):
    """Non-ASCII characters and spaces of a target as UTF-8 percent codes; all else stays as written."""
    return "".join(ch if 0x21 <= ord(ch) < 0x7f else urllib.parse.quote(ch) for ch in target)


class Replay:
    """One file against one server with one prefix."""

    def __init__(self, case, url, target="cairn", prefix="/api/2.0", trace=None):
        self.case = case
        self.target = target
        self.prefix = prefix
        self.trace = trace
        self.exchange = Exchange(url)
        uniq = "u" + uuid.uuid4().hex[:10]
        self.vars = Variables(uniq=uniq, uniq_upper=uniq.upper(), prefix=prefix)

    def run(self):
        try:
            self._prelude()
            for step in self.case.steps:
                self._step(step)
        finally:
            self.exchange.close()

    def _post(self, path, body):
        status, _, data = self.exchange.send("POST", "/api/2.0/mlflow/" + path, [("Content-Type", "application/json")],
                                             json.dumps(body).encode())
        if status != 200:
            raise CaseError(f"{self.case.path.name}: prelude {path} answered {status}: {data[:500]!r}")
        return json.loads(data)

    def _prelude(self):
        if not self.case.prelude:
            return
        self.vars["name"] = "exp-" + self.vars["uniq"]
        self.vars["exp"] = self._post("experiments/create", {"name": self.vars["name"]})["experiment_id"]
        if "run" in self.case.prelude:
            made = self._post("runs/create", {"experiment_id": self.vars["exp"], "start_time": 1000,
                                              "run_name": "first"})
            self.vars["run"] = made["run"]["info"]["run_id"]

    def _body(self, step):
        v = self.vars
        if step.kind == "json":
            return json.dumps(v.value(step.body), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if step.kind == "raw":
            return v.text(step.body).encode("utf-8")
        if step.kind == "hex":
            return bytes.fromhex(step.body)
        return b"" if step.kind == "empty" else None

    def _step(self, step):
        expect = step.expect.get(self.target) or step.expect.get("")
        if self.target == "cairn":
            expect = step.expect.get("cairn") or step.expect.get("")
        if expect is None:
            return
        target = step.target
        if target.startswith("~"):
            target = self.prefix + target[1:]
        target = quote_target(self.vars.text(target))
        headers = [(name, self.vars.text(value)) for name, value in step.headers]
        if step.kind == "json" and "content-type" not in {n.lower() for n, _ in headers}:
            headers.append(("Content-Type", "application/json"))
        body = self._body(step)
        status, got_headers, data = self.exchange.send(step.method, target, headers, body, step.chunked)
        if self.trace:
            self.trace(step, target, body, status, got_headers, data)
        why = self._compare(expect, status, got_headers, data)
        if why:
            shown = "" if body is None else f"\n  body {body[:1500]!r}"
            raise CaseError(f"{self.case.path}:{step.line}: {step.title}\n  {why}\n  sent {step.method} {target}{shown}\n"
                            f"  got {status} {data[:3000].decode(errors='replace')}")

    def _compare(self, expect, status, headers, data):
        if status != expect.status:
            return f"expected status {expect.status}, got {status}"
        have = {}
        for name, value in headers:
            have.setdefault(name.lower(), value)
        for name, want in expect.headers:
            value = have.get(name.lower())
            if want == "@absent":
                if value is not None:
                    return f"header {name} must be absent, is {value!r}"
                continue
            if value is None:
                return f"header {name} is missing"
            why = match(want, value, self.vars, f"header {name}")
            if why:
                return why
        if expect.kind == "empty":
            return None if data == b"" else "expected an empty body"
        if expect.kind == "text":
            want = self.vars.text(expect.body)
            return None if data.decode("utf-8", "replace") == want else f"expected the text {want!r}"
        if expect.kind == "text~":
            ok = re.search(self.vars.text(expect.body), data.decode("utf-8", "replace"), re.S)
            return None if ok else f"expected a text like {expect.body!r}"
        if expect.kind == "json":
            try:
                got = json.loads(data) if data else {}
            except ValueError:
                return "expected JSON"
            return match(expect.body, got, self.vars)
        return None


def find_cases(folder):
    return sorted(Path(folder).rglob("*.case"))


def main():
    """python case.py [--mlflow] [-v] URL FILE...: replay files by hand and show what happens."""
    args = [a for a in sys.argv[1:] if not a.startswith("-")]
    target = "mlflow" if "--mlflow" in sys.argv else "cairn"
    verbose = "-v" in sys.argv

    def show(step, where, body, status, headers, data):
        if verbose:
            print(f"== {step.title}\n{step.method} {where}\n{(body or b'')[:600].decode(errors='replace')}\n"
                  f"=> {status}\n{data[:2000].decode(errors='replace')}\n")

    bad = 0
    for path in args[1:]:
        one = Case(path)
        for prefix in one.prefixes:
            try:
                Replay(one, args[0], target, prefix, show).run()
            except CaseError as err:
                bad += 1
                print(f"FAIL {err}\n")
    print(f"{len(args) - 1} files, {bad} failures")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
