"""Tells what the native libraries cost, and fails where that is more than it should be: bytes and compiler seconds.

Every kind of accumulators brings its own kernels, compiled for each instruction set and GPU architecture, so that each
adds its share to the libraries that everyone downloads. Run it after a build, as `python -m tools.build_cost`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lba_onnx import native
from lba_onnx.native.cuda import CUDA_LIBRARY_NAME

MOST_BYTES = {
    native.LIBRARY_NAME: 6_000_000,  # the kernels of a rounding are up to 1 MB; a download of seconds stays one
    CUDA_LIBRARY_NAME: 45_000_000,  # about 11 MB a kind for three architectures; package indexes take 100 MB
}
MOST_COMPILER_SECONDS = 1800  # of one processor, both libraries: half an hour of an idle one is what CI waits at most
_BUILDS = Path(__file__).parents[1] / "build"


def compiler_seconds(log: Path) -> dict[str, float]:
    """Return the wall time of each output in a Ninja log, the last one where it was built again."""
    seconds = {}
    for line in log.read_text().splitlines():
        if not line.startswith("#"):
            start, end, _, output, _ = line.split("\t")
            seconds[output] = (int(end) - int(start)) / 1000
    return seconds


def size_faults(sizes: dict[str, int]) -> list[str]:
    """Return a sentence for each library, name to bytes, that is too large."""
    return [
        f"{name}: expected at most {MOST_BYTES[name]} bytes, got {size}"
        for name, size in sizes.items()
        if size > MOST_BYTES[name]
    ]


def newest_log() -> Path | None:
    """Return the Ninja log of the package's last build; None where there is none."""
    return max(_BUILDS.glob("*/.ninja_log"), key=lambda log: log.stat().st_mtime, default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print sizes and seconds; return 1 where a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=newest_log(), help="a Ninja log; the package's newest by default")
    log = parser.parse_args(arguments).log
    faults = [*_judge_sizes(), *([] if log is None else _judge_seconds(compiler_seconds(log)))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _judge_sizes() -> list[str]:
    library = native.library_path()
    paths = [path for path in (library, library.with_name(CUDA_LIBRARY_NAME)) if path.is_file()]
    sizes = {path.name: path.stat().st_size for path in paths}
    for name, size in sizes.items():
        print(f"{name}: {size} bytes of at most {MOST_BYTES[name]}")
    return size_faults(sizes)


def _judge_seconds(seconds: dict[str, float]) -> list[str]:
    total = sum(seconds.values())
    print(f"{len(seconds)} files: {total:.0f} s of one processor, of at most {MOST_COMPILER_SECONDS}")
    for output in sorted(seconds, key=seconds.__getitem__)[:-6:-1]:
        print(f"  {seconds[output]:.0f} s {output}")
    if total <= MOST_COMPILER_SECONDS:
        return []
    return [f"expected at most {MOST_COMPILER_SECONDS} s of compiling, got {total:.0f} s"]


if __name__ == "__main__":
    sys.exit(main())
