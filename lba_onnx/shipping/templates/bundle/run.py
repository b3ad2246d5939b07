"""Runs the bundle's model on its samples and compares bits. Needs numpy and onnxruntime, nothing else."""

import json
from pathlib import Path
from platform import machine, system

import numpy as np
import onnxruntime

bundle = Path(__file__).resolve().parent
manifest = json.loads((bundle / "MANIFEST.json").read_text(encoding="utf-8"))
options = onnxruntime.SessionOptions()  # each takes the library once, by an absolute path
options.register_custom_ops_library(str(bundle / manifest["libraries"][f"{system()}-{machine()}".lower()]))
session = onnxruntime.InferenceSession(str(bundle / manifest["model"]), options, providers=["CPUExecutionProvider"])
for sample in manifest["samples"]["folders"]:
    feeds = {value.name: np.load(bundle / sample / f"input_{i}.npy") for i, value in enumerate(session.get_inputs())}
    for index, output in enumerate(session.run(None, feeds)):
        if output.tobytes() != np.load(bundle / sample / f"output_{index}.npy").tobytes():
            raise SystemExit(f"{sample}: output {index} has other bits")
print("equal bits")
