"""Talks to tests/10module/codec_tool.c: many requests at once, see there."""

import struct
import subprocess

# enum msg_flags
IGNORE_UNKNOWN, CAMEL_OK, BARE_NAN, DOUBLE_ENCODED, EMPTY_OK, REFUSE_DUPLICATES = 1, 2, 4, 8, 16, 64
INT64_AS_NUMBER, ASCII, NAN_STRINGS, NAN_BARE, CAMEL = 256, 512, 1024, 2048, 4096
# Rows of descs[]
ALL, RULES, RUN, LOG_BATCH, SEARCH_RUNS_RESPONSE, LOGGED_MODEL = range(6)
MESSAGES = ["t.All", "t.Rules", "mlflow.Run", "mlflow.LogBatch", "mlflow.SearchRunsResponse", "mlflow.LoggedModel"]


def run(tool, requests):
    """requests: (mode, message, flags, bytes); answers: (status, bytes), 0 = OK."""
    data = b"".join(struct.pack("<cBHI", mode.encode(), message, flags, len(body)) + body
                    for mode, message, flags, body in requests)
    out = subprocess.run([tool], input=data, stdout=subprocess.PIPE, check=True).stdout
    answers, at = [], 0
    for _ in requests:
        status, n = struct.unpack_from("<II", out, at)
        answers.append((status, out[at + 8:at + 8 + n]))
        at += 8 + n
    assert at == len(out), "answers do not fit the requests"
    return answers
