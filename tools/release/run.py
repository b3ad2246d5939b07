"""Runs a command, whose output is shown where it fails."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def run(*command: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it wrote.

    Raises:
        SystemExit: It failed; its output is part of the message.
    """
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ended.returncode != 0:
        words = " ".join(str(part) for part in command)
        raise SystemExit(f"{words}: expected exit code 0, got {ended.returncode}\n{ended.stdout}")
    return ended.stdout
