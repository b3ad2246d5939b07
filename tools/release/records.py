"""What is published beside the wheels: their sums, and what an installation consists of."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.release.run import run


def write_sums(files: Sequence[Path], folder: Path) -> Path:
    """Write SHA256SUMS, which `sha256sum --check` reads."""
    sums = folder / "SHA256SUMS"
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files))
    sums.write_text("".join(lines))
    return sums


def write_sbom(environment: Path, folder: Path) -> Path:
    """Write the packages of an environment, with their versions and licences, as CycloneDX."""
    sbom = folder / "sbom.cdx.json"
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "cyclonedx_py", "environment", python, "--output-file", sbom)
    return sbom
