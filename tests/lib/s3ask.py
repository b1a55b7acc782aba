"""What the tests of the folder 55s3 share: one request to the artifact proxy."""

import http.client

PATH = "/api/2.0/mlflow-artifacts/artifacts/s3/"


def ask(server, method, path, body=None, **fields):
    """(status, body, answer)"""
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    conn.request(method, path, body=body, headers=fields)
    answer = conn.getresponse()
    data = answer.read()
    conn.close()
    return answer.status, data, answer
