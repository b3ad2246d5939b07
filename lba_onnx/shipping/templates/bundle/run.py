"""Runs the bundle's model on its samples and compares bits. Needs numpy and onnxruntime, nothing else."""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime

bundle = Path(__file__).resolve().parent
manifest = json.loads((bundle / "MANIFEST.json").read_text(encoding="utf-8"))
library = manifest["libraries"][f"{platform.system()}-{platform.machine()}".lower()]
options = onnxruntime.SessionOptions()
options.register_custom_ops_library(str(bundle / library))  # an absolute path, once for each SessionOptions
session = onnxruntime.InferenceSession(str(bundle / manifest["model"]), options, providers=["CPUExecutionProvider"])
for sample in manifest["samples"]["folders"]:
    arrays = [np.load(bundle / sample / f"input_{i}.npy") for i, _ in enumerate(session.get_inputs())]
    feeds = {value.name: array for value, array in zip(session.get_inputs(), arrays, strict=True)}
    for index, output in enumerate(session.run(None, feeds)):
        if output.tobytes() != np.load(bundle / sample / f"output_{index}.npy").tobytes():
            sys.exit(f"{sample}: output {index} has other bits")
print("equal bits")
