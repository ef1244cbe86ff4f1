"""Settings made before Keras is imported: its backend cannot change within a process."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_report_header() -> str:
    return f"Keras backend: {os.environ['KERAS_BACKEND']}"
