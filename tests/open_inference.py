"""A client of the open inference protocol (V2) over HTTP, with tensors as plain bytes, and servers to talk to."""

import http.client
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

JSON = "application/json"

_SECONDS_TO_START = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path, **options) -> Iterator[str]:
    """Runs a server until the block ends; yields its address as soon as it is ready."""
    address = f"http://127.0.0.1:{port}/v2"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        _wait(process, f"{address}/health/ready", log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, http.client.HTTPException):  # not yet
            time.sleep(0.2)
    raise AssertionError(f"the server is not ready: {log.read_text(errors='replace')[-3000:]}")


def post(url: str, body: bytes = b"", **headers: str) -> tuple[bytes, http.client.HTTPMessage]:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read(), response.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error


def infer(address: str, model: str, x: np.ndarray) -> np.ndarray:
    """Returns the output `y` of float32 for the input `x`, which travel as bytes."""
    size = {"binary_data_size": x.nbytes}
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": size}
    wanted = {"name": "y", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    length = {"Inference_Header_Content_Length": str(len(head)), "Content_Type": "application/octet-stream"}
    body, headers = post(f"{address}/models/{model}/infer", head + x.tobytes(), **length)
    cut = int(headers["Inference-Header-Content-Length"])
    [described] = json.loads(body[:cut])["outputs"]
    return np.frombuffer(body[cut:], np.float32).reshape(described["shape"])


def infer_as_json(address: str, model: str, x: np.ndarray) -> np.ndarray:
    """Returns the output `y` for the input `x`, which travel as numbers: shortest texts that give the same float."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.reshape(-1).tolist()}
    body, _ = post(f"{address}/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode(), Content_Type=JSON)
    [described] = json.loads(body)["outputs"]
    assert (described["name"], described["datatype"]) == ("y", "FP32")
    return np.array(described["data"], np.float32).reshape(described["shape"])
