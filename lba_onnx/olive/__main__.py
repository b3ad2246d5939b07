"""Prints Olive's package configuration with the pass of this package added to its own."""

import importlib.resources
import json
from pathlib import Path

from olive.package_config import OlivePackageConfig

own = json.loads(importlib.resources.files("lba_onnx.olive").joinpath("package_config.json").read_text("utf-8"))
theirs = json.loads(Path(OlivePackageConfig.get_default_config_path()).read_text("utf-8"))
print(json.dumps({**theirs, "passes": {**theirs["passes"], **own["passes"]}}, indent=2))
