"""Makes a folder for onnxruntime-genai run a converted model: prepare.py FOLDER SPEC OUTPUT.

FOLDER is what onnxruntime-genai's builder wrote; SPEC an accumulator, or the path of a calibration.
"""

import json
import shutil
import sys
from pathlib import Path

import lba_onnx


def prepare(source: Path, spec: str, output: Path) -> None:
    """Write the converted model, the library and the configuration that names it, and copy what else there is."""
    shutil.copytree(source, output, ignore=shutil.ignore_patterns("*.onnx", "*.onnx.data"))
    config = json.loads((output / "genai_config.json").read_text(encoding="utf-8"))
    decoder = config["model"]["decoder"]
    lba_onnx.convert(source / decoder["filename"], spec, model_output=output / decoder["filename"])
    library = Path(shutil.copy(lba_onnx.get_library_path(), output))
    decoder["session_options"]["custom_ops_library"] = library.name
    (output / "genai_config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
