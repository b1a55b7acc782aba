"""What the example scripts share. Nothing here knows cairn: the address comes from MLFLOW_TRACKING_URI."""

import json
import os
import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient

DIGITS, CANCER, DIABETES = "digits", "breast cancer", "diabetes"
REGISTERED, ALIAS = "digit reader", "champion"
# Where prepare_digits.py leaves the parts to train and to test with, by the names of the data sets.
PREPARED = {name: Path(__file__).resolve().parent.parent / "demo-data" / f"{name}.csv" for name in ("digits-train", "digits-test")}


def start():
    """Check the setting, quieten what is not ours, give a client."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        sys.exit("set MLFLOW_TRACKING_URI to the address of a server, for example http://127.0.0.1:5757")
    return MlflowClient()


def log_expected(inputs, outputs):
    """What the model answered before it was logged; read_back.py compares the loaded model with it."""
    mlflow.log_dict({"inputs": np.asarray(inputs).tolist(), "outputs": np.asarray(outputs).tolist()}, "expected.json")


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)
