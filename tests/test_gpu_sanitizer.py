"""compute-sanitizer finds nothing in the kernels, where the tool runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gpu_device
import pytest

PROGRAM = Path(__file__).with_name("gpu_program.py")
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
LONGEST_SECONDS = 60  # the tools slow kernels down a hundredfold
FOUND = 93  # the exit code for what the tool finds, unlike any of Python's
pytestmark = gpu_device.marks()


def run_program(*before: str) -> subprocess.CompletedProcess[str]:
    root = PROGRAM.parents[1]
    paths = [os.environ.get("PYTHONPATH", ""), str(root), str(PROGRAM.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [*before, sys.executable, str(PROGRAM)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=root, timeout=LONGEST_SECONDS, check=False
    )


def test_program_alone_computes_every_case() -> None:
    done = run_program()
    count = 30 * gpu_device.scaled(4, 2)
    assert (done.returncode, done.stdout) == (0, f"computed {count} cases\n"), done.stdout + done.stderr


@pytest.mark.skipif(gpu_device.is_emulated(), reason="compute-sanitizer watches devices, not their emulation")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_sanitizer_finds_nothing(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed")
    try:
        done = run_program(sanitizer, "--tool", tool, "--error-exitcode", str(FOUND))
    except subprocess.TimeoutExpired:
        pytest.skip(f"{tool} takes longer than {LONGEST_SECONDS} s here")
    output = done.stdout + done.stderr
    if "computed" not in output and done.returncode != FOUND:
        pytest.skip(f"compute-sanitizer does not run here: {output.strip()[-300:]}")
    assert done.returncode == 0, output[-3000:]
