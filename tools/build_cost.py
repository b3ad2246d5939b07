"""Tells what the native library costs: bytes, which have a bound, and compiler seconds, which depend on the machine.

Every kind of accumulators brings its own kernels, compiled for each instruction set, so that each adds its share to the
library that everyone downloads. Run it after a build, as `python -m tools.build_cost`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lba_onnx import native

MOST_BYTES = 6_000_000  # the kernels of a rounding are up to 1 MB; a download of seconds stays one
_BUILDS = Path(__file__).parents[1] / "build"


def compiler_seconds(log: Path) -> dict[str, float]:
    """Return the wall time of each output in a Ninja log, the last one where it was built again."""
    seconds = {}
    for line in log.read_text().splitlines():
        if not line.startswith("#"):
            start, end, _, output, _ = line.split("\t")
            seconds[output] = (int(end) - int(start)) / 1000
    return seconds


def size_faults(library: Path) -> list[str]:
    """Return a sentence where a library is too large."""
    size = library.stat().st_size
    if size <= MOST_BYTES:
        return []
    return [f"{library.name}: expected at most {MOST_BYTES} bytes, got {size}"]


def newest_log() -> Path | None:
    """Return the Ninja log of the package's last build; None where there is none."""
    return max(_BUILDS.glob("*/.ninja_log"), key=lambda log: log.stat().st_mtime, default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print bytes and seconds; return 1 where the library is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=newest_log(), help="a Ninja log; the package's newest by default")
    log = parser.parse_args(arguments).log
    library = native.library_path()
    print(f"{library.name}: {library.stat().st_size} bytes of at most {MOST_BYTES}")
    if log is not None:
        _print_seconds(compiler_seconds(log))
    faults = size_faults(library)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _print_seconds(seconds: dict[str, float]) -> None:
    print(f"{len(seconds)} files: {sum(seconds.values()):.0f} s of one processor")
    for output in sorted(seconds, key=seconds.__getitem__)[:-6:-1]:
        print(f"  {seconds[output]:.0f} s {output}")


if __name__ == "__main__":
    sys.exit(main())
