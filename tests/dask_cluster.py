"""A Dask scheduler and workers in processes of their own, on loopback."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Cluster:
    """Starts processes; what they print goes to a file each."""

    def __init__(self, folder: Path, allowed_failures: int = 3) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
        }
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", str(file)]
        self.scheduler = self._start("dask_scheduler", *options)
        self.address = _wait_for_address(file, self.scheduler)
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_workers(self, count: int) -> None:
        options = [self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        self.workers += [self._start("dask_worker", *options) for _ in range(count)]

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, module: str, *options: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
        with (self._folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=log, stderr=log)


def _wait_for_address(file: Path, scheduler: "subprocess.Popen[bytes]") -> str:
    for _ in range(600):
        if file.exists() and file.read_text().endswith("}"):
            return str(json.loads(file.read_text())["address"])
        assert scheduler.poll() is None, "the scheduler has ended"
        time.sleep(0.05)
    raise AssertionError("no scheduler within 30 s")
