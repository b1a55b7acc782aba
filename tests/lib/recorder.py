"""A client with a memory: it records over HTTP, keeps what the server must have, and compares.

One Recorder works on one run, with one request at a time. After a request that got no answer, the server may have done
it or not, but nothing in between: the state must be the one before or the one after."""

import copy
import http.client
import json
import random
import urllib.parse
import zlib

SMALL, LARGE = 900, 200_000     # artifacts below and above what a store keeps beside its records


class Lost(Exception):
    """The connection ended without an answer."""


class Refused(Exception):
    """An answer of 429 or 5xx: the server could not; nothing may have been stored."""


def request(port, method, path, body=None, raw=None, timeout=60):
    """(status, body bytes); Lost when the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    headers = {} if raw is not None else {"Content-Type": "application/json"}
    try:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as e:
        raise Lost(f"{method} {path}: {e!r}") from e
    finally:
        connection.close()


def call(port, method, path, body=None):
    """The JSON of a 200; Refused for 429 and 5xx; anything else is a bug of the test or the server."""
    if method == "GET" and body:
        path += "?" + urllib.parse.urlencode(body)
        body = None
    status, data = request(port, method, "/api/2.0/mlflow/" + path, body)
    if status == 429 or status >= 500:
        raise Refused(f"{status} {data[:300]!r}")
    assert status == 200, f"{method} {path}: {status} {data[:500]!r}"
    return json.loads(data)


class Recorder:
    """State: {"params", "tags", "metrics": {key: [(step, timestamp, value)]}, "status", "stage", "files": {path: crc},
    "inputs": [digest], "model": None or {"versions": {number: stage}, "aliases": {alias: number}}}."""

    def __init__(self, port, experiment_id, seed):
        self.port = port
        self.random = random.Random(seed)
        self.n = 0
        self.resumes = False    # uploads that go on later as well: their requests belong to one server
        self.asked = 0
        self.experiment_id = experiment_id
        self.run_id = None
        self.state = None
        self.after = None           # what the request in flight would make of it
        self.files_base = None

    # ---- one step ----

    def start(self):
        run = call(self.port, "POST", "runs/create", {"experiment_id": self.experiment_id, "start_time": 1})["run"]
        self.run_id = run["info"]["run_id"]
        uri = run["info"]["artifact_uri"]
        self.files_base = "/api/2.0/mlflow-artifacts/artifacts" + urllib.parse.urlparse(uri).path
        self.state = {"params": {}, "tags": {}, "metrics": {}, "status": "RUNNING", "stage": "active", "files": {}, "inputs": [],
                      "model": None}

    def step(self):
        """One write of a random kind. Lost and Refused leave self.after set; it is cleared by an answer of success."""
        kinds = [self.log_batch, self.log_batch, self.log_metric, self.log_param, self.set_tag, self.log_inputs, self.put_file,
                 self.put_large_file]
        if self.resumes:
            kinds.append(self.put_resumed_file)
        if self.state["tags"]:
            kinds.append(self.delete_tag)
        if self.state["files"]:
            kinds.append(self.delete_file)
        kinds.append(self.new_version if self.state["model"] else self.register)
        if self.state["model"] and self.state["model"]["versions"]:
            kinds.append(self.random.choice([self.set_alias, self.set_stage, self.delete_version]))
        kinds.append(self.finish if self.state["status"] == "RUNNING" else self.resume)
        self.n += 1
        after = copy.deepcopy(self.state)
        send = self.random.choice(kinds)(after)
        self.after = after
        self.asked += 1
        send()
        self.state, self.after = after, None

    def _call(self, path, **body):
        return lambda: call(self.port, "POST", path, dict(body, run_id=self.run_id))

    def _points(self, state, n):
        points = []
        for _ in range(n):
            key = f"m{self.random.randrange(5)}"
            history = state["metrics"].setdefault(key, [])
            point = (len(history), 1_700_000_000_000 + self.n, self.random.uniform(-1e3, 1e3))
            history.append(point)
            points.append({"key": key, "step": point[0], "timestamp": point[1], "value": point[2]})
        return points

    def log_batch(self, state):
        n = self.random.choice([1, 10, 200])
        params = {f"p{self.n}.{i}": f"v{i}" for i in range(self.random.randrange(4))}
        tags = {f"t{self.n}.{i}": "x" * self.random.randrange(100) for i in range(self.random.randrange(4))}
        state["params"].update(params)
        state["tags"].update(tags)
        return self._call("runs/log-batch", metrics=self._points(state, n),
                          params=[{"key": k, "value": v} for k, v in params.items()],
                          tags=[{"key": k, "value": v} for k, v in tags.items()])

    def log_metric(self, state):
        return self._call("runs/log-metric", **self._points(state, 1)[0])

    def log_param(self, state):
        state["params"][f"p{self.n}"] = str(self.n)
        return self._call("runs/log-parameter", key=f"p{self.n}", value=str(self.n))

    def set_tag(self, state):
        key = f"t{self.random.randrange(8)}"
        state["tags"][key] = str(self.n)
        return self._call("runs/set-tag", key=key, value=str(self.n))

    def delete_tag(self, state):
        key = self.random.choice(sorted(state["tags"]))
        del state["tags"][key]
        return self._call("runs/delete-tag", key=key)

    def log_inputs(self, state):
        digest = f"d{self.n}"
        state["inputs"].append(digest)
        return self._call("runs/log-inputs", datasets=[{"dataset": {"name": "data", "digest": digest, "source_type": "local",
                                                                     "source": "{}"}}])

    def _put(self, state, path, size):
        data = self.random.randbytes(size)
        state["files"][path] = zlib.crc32(data)

        def send():
            status, answer = request(self.port, "PUT", f"{self.files_base}/{path}", raw=data)
            if status == 429 or status >= 500:
                raise Refused(f"PUT: {status} {answer[:300]!r}")
            assert status in (200, 201, 204), f"PUT {path}: {status} {answer[:300]!r}"
        return send

    def put_file(self, state):
        return self._put(state, f"f{self.random.randrange(6)}", self.random.randrange(SMALL))

    def put_large_file(self, state):
        return self._put(state, f"dir/g{self.random.randrange(3)}", LARGE + self.random.randrange(1000))

    def put_resumed_file(self, state):
        """In two parts of an upload that goes on later; what a lost answer leaves open ends by itself."""
        path, data = f"dir/r{self.random.randrange(3)}", self.random.randbytes(LARGE)
        state["files"][path] = zlib.crc32(data)
        place = self.files_base.split("/artifacts/", 1)[1] + "/" + path

        def ask(method, url, want, **fields):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request(method, url, fields.pop("data", None), {"Tus-Resumable": "1.0.0", **{
                    name.replace("_", "-"): str(value) for name, value in fields.items()}})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as e:
                raise Lost(f"{method} {url}: {e!r}") from e
            finally:
                connection.close()
            if answer.status == 429 or answer.status >= 500:
                raise Refused(f"{method}: {answer.status} {text[:300]!r}")
            assert answer.status == want, f"{method} {url}: {answer.status} {text[:300]!r}"
            return answer

        def send():
            begun = ask("POST", "/api/cairn/v1/uploads?" + urllib.parse.urlencode({"path": place}), 201, Upload_Length=len(data))
            url = "/api/cairn/v1/" + begun.headers["Location"]
            for at, part in ((0, data[:LARGE // 3]), (LARGE // 3, data[LARGE // 3:])):
                ask("PATCH", url, 204, Upload_Offset=at, Content_Type="application/offset+octet-stream", data=part)
        return send

    def delete_file(self, state):
        path = self.random.choice(sorted(state["files"]))
        del state["files"][path]

        def send():
            status, answer = request(self.port, "DELETE", f"{self.files_base}/{path}")
            if status == 429 or status >= 500:
                raise Refused(f"DELETE: {status} {answer[:300]!r}")
            assert status in (200, 204), f"DELETE {path}: {status} {answer[:300]!r}"
        return send

    # The registered model of the run. The newest version is never deleted, so the next number is known.

    def _registry(self, method, path, **body):
        return lambda: call(self.port, method, path, dict(body, name=self.run_id))

    def register(self, state):
        state["model"] = {"versions": {}, "aliases": {}}
        return self._registry("POST", "registered-models/create", description="d")

    def new_version(self, state):
        number = 1 + max(map(int, state["model"]["versions"]), default=0)
        state["model"]["versions"][str(number)] = "None"
        send = self._registry("POST", "model-versions/create", source=f"runs:/{self.run_id}/m{self.n}", run_id=self.run_id)

        def checked():
            got = send()["model_version"]["version"]
            assert got == str(number), f"version {got} instead of {number}"
        return checked

    def set_alias(self, state):
        version, alias = self.random.choice(sorted(state["model"]["versions"])), self.random.choice(["prod", "next"])
        state["model"]["aliases"][alias] = version
        return self._registry("POST", "registered-models/alias", alias=alias, version=version)

    def set_stage(self, state):
        version = self.random.choice(sorted(state["model"]["versions"]))
        for other, stage in state["model"]["versions"].items():
            if stage == "Production" and other != version:
                state["model"]["versions"][other] = "Archived"
        state["model"]["versions"][version] = "Production"
        return self._registry("POST", "model-versions/transition-stage", version=version, stage="Production",
                              archive_existing_versions=True)

    def delete_version(self, state):
        older = sorted(state["model"]["versions"], key=int)[:-1]
        if not older:
            return self.set_stage(state)
        version = self.random.choice(older)
        del state["model"]["versions"][version]
        state["model"]["aliases"] = {a: v for a, v in state["model"]["aliases"].items() if v != version}
        return self._registry("DELETE", "model-versions/delete", version=version)

    def finish(self, state):
        state["status"] = "FINISHED"
        return self._call("runs/update", status="FINISHED", end_time=2)

    def resume(self, state):
        state["status"] = "RUNNING"
        return self._call("runs/update", status="RUNNING")

    # ---- what the server has ----

    def read(self):
        run = call(self.port, "GET", "runs/get", {"run_id": self.run_id})["run"]
        data, info = run["data"], run["info"]
        self._search(run)
        state = {"params": {p["key"]: p["value"] for p in data.get("params", [])},
                 "tags": {t["key"]: t["value"] for t in data.get("tags", []) if not t["key"].startswith("mlflow.")},
                 "metrics": {m["key"]: self._history(m) for m in data.get("metrics", [])},
                 "status": info["status"], "stage": info["lifecycle_stage"], "files": self._files(""),
                 "model": self._model(),
                 "inputs": sorted((d["dataset"]["digest"] for d in run.get("inputs", {}).get("dataset_inputs", [])),
                                  key=lambda d: int(d[1:]))}
        return state

    def _search(self, run):
        """A search by what the run has finds it as it is, and one by what it has not does not."""
        data = run["data"]
        terms = [f"metrics.`{m['key']}` = {m['value']!r}" for m in data.get("metrics", [])[:3]]
        terms += [f"{kind}.`{p['key']}` = '{p['value']}'" for kind in ("params", "tags") for p in data.get(kind, [])[-2:]]
        terms.append(f"status = '{run['info']['status']}'")
        query = {"experiment_ids": [self.experiment_id], "filter": " and ".join(terms)}
        found = [r for r in call(self.port, "POST", "runs/search", query).get("runs", []) if r["info"]["run_id"] == self.run_id]
        assert len(found) == 1, f"not found by {query['filter']}"
        assert found[0]["data"] == data, f"found with other values by {query['filter']}"
        query["filter"] += " and params.nothing = 'x'"
        assert not call(self.port, "POST", "runs/search", query).get("runs"), query["filter"]

    def _model(self):
        status, data = request(self.port, "GET", "/api/2.0/mlflow/registered-models/get?name=" + self.run_id)
        if status == 404:
            return None
        assert status == 200, f"registered-models/get: {status} {data[:300]!r}"
        model = json.loads(data)["registered_model"]
        found = call(self.port, "GET", "model-versions/search", {"filter": f"name = '{self.run_id}'"}).get("model_versions", [])
        return {"versions": {v["version"]: v["current_stage"] for v in found},
                "aliases": {a["alias"]: a["version"] for a in model.get("aliases", [])}}

    def _history(self, latest):
        points, token = [], ""
        while True:
            query = {"run_id": self.run_id, "metric_key": latest["key"], "max_results": 5000}
            if token:
                query["page_token"] = token
            page = call(self.port, "GET", "metrics/get-history", query)
            points += [(int(m["step"]), int(m["timestamp"]), m["value"]) for m in page.get("metrics", [])]
            token = page.get("next_page_token")
            if not token:
                break
        points.sort()
        head = int(latest["step"]), int(latest["timestamp"]), latest["value"]
        assert points and points[-1] == head, f"{latest['key']}: the latest value is not the last of the history"
        return points

    def _files(self, folder):
        found = {}
        query = {"run_id": self.run_id}
        if folder:
            query["path"] = folder
        for f in call(self.port, "GET", "artifacts/list", query).get("files", []):
            if f.get("is_dir"):
                found.update(self._files(f["path"]))
            else:
                status, data = request(self.port, "GET", f"{self.files_base}/{f['path']}")
                assert status == 200 and len(data) == int(f.get("file_size", 0)), f"GET {f['path']}: {status}, {len(data)} bytes"
                found[f["path"]] = zlib.crc32(data)
        return found

    def compare(self):
        """The server has every acknowledged write, and the unanswered one wholly or not at all; goes on from there."""
        if self.run_id is None:
            return
        actual = self.read()
        for name, want in (("before", self.state), ("after", self.after)):
            if want is not None and actual == want:
                self.state, self.after = want, None
                return
        raise AssertionError(self._difference(actual))

    def _difference(self, actual):
        lines = [f"run {self.run_id}, request {self.n}: neither the state before nor after the unanswered request"
                 if self.after else f"run {self.run_id}, request {self.n}: not what was acknowledged"]
        for part, have in actual.items():
            for name, want in (("before", self.state), ("after", self.after)):
                if want is not None and want[part] != have:
                    lines.append(f"  {part} ({name}): want {_short(want[part], have)}, have {_short(have, want[part])}")
        return "\n".join(lines)


def _short(a, b):
    """What a has and b has not."""
    if isinstance(a, dict) and isinstance(b, dict):
        a = {k: _short(v, b[k]) if k in b else v for k, v in a.items() if b.get(k, b) != v}
    elif isinstance(a, list) and isinstance(b, list):
        a = f"{len(a)} items, own: {[x for x in a if x not in b][:3]}"
    return str(a)[:300]
