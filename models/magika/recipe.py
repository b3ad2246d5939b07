"""Magika as an entry of the zoo: the ONNX file of its package, and files of known types out of other packages.

The programs and documents are the examples of Pygments' source archive, one folder per language; the binary files come
out of wheels. Their types are those of folder and file name, not what Magika says.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.fetch import BuiltFor, fetch, fetch_all
from models.skimage_data import fetch_skimage_files
from models.zoo import ZooModel, agreement, top1

MAGIKA = ("magika", "1.0.3", "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529")
MAGIKA_WHEEL = BuiltFor("3.11", "manylinux_2_28_x86_64")
MODEL_FOLDER = "magika/models/standard_v3_3"
PYGMENTS = ("pygments", "2.19.2", "636cb2477cec7f8952536970bc533bc43743542f70392ae026374600add5b887")
EXAMPLES = "pygments-2.19.2/tests/examplefiles"

# Suffix of an example file -> Magika's label, where both mean the same.
TEXT_TYPES = {
    ".asm": "asm",
    ".awk": "awk",
    ".bat": "batch",
    ".bib": "bib",
    ".c": "c",
    ".clj": "clojure",
    ".cmake": "cmake",
    ".cob": "cobol",
    ".coffee": "coffeescript",
    ".cpp": "cpp",
    ".cs": "cs",
    ".css": "css",
    ".dart": "dart",
    ".eml": "eml",
    ".ex": "elixir",
    ".erl": "erlang",
    ".f90": "fortran",
    ".go": "go",
    ".gradle": "gradle",
    ".groovy": "groovy",
    ".hs": "haskell",
    ".html": "html",
    ".ini": "ini",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".jl": "julia",
    ".kt": "kotlin",
    ".lua": "lua",
    ".mak": "makefile",
    ".md": "markdown",
    ".ml": "ocaml",
    ".pas": "pascal",
    ".php": "php",
    ".po": "po",
    ".proto": "proto",
    ".ps": "postscript",
    ".ps1": "powershell",
    ".py": "python",
    ".R": "r",
    ".rb": "ruby",
    ".rs": "rust",
    ".rst": "rst",
    ".scala": "scala",
    ".sh": "shell",
    ".smali": "smali",
    ".sol": "solidity",
    ".sql": "sql",
    ".swift": "swift",
    ".toml": "toml",
    ".ts": "typescript",
    ".vhdl": "vhdl",
    ".vue": "vue",
    ".xml": "xml",
    ".yaml": "yaml",
    ".zig": "zig",
}
BINARY_TYPES = {".jpg": "jpeg", ".npy": "npy", ".npz": "npz", ".png": "png", ".so": "elf"}
LEAST_TEXT_BYTES = 500  # some examples are a few lines that could be any language
MOST_BINARY_FILES = 12
CALIBRATION_STEP = 4

WINDOW_BYTES = 4096
END_BYTES = 1024
PADDING = 256


def load() -> ZooModel:
    """Returns the network with files to calibrate on and, each of a known type, others to test with."""
    files = sorted(_labelled_files(), key=lambda file: (file[1], file[0].name))
    config = json.loads(fetch(*MAGIKA, f"{MODEL_FOLDER}/config.min.json", built_for=MAGIKA_WHEEL).read_text())
    classes = {label: number for number, label in enumerate(config["target_labels_space"])}
    features = np.stack([extract_features(path.read_bytes()) for path, _ in files])
    labels = np.array([classes[label] for _, label in files], dtype=np.int64)
    is_calibration = np.arange(len(files)) % CALIBRATION_STEP == 0
    return ZooModel(
        name="magika",
        model_path=fetch(*MAGIKA, f"{MODEL_FOLDER}/model.onnx", built_for=MAGIKA_WHEEL),
        calibration={"bytes": features[is_calibration]},
        test={"bytes": features[~is_calibration], "label": labels[~is_calibration]},
        metric=top1("target_label"),
        likeness=agreement("target_label"),
    )


def extract_features(content: bytes) -> NDArray[np.int32]:
    """Returns what Magika looks at in a file, [2048]: 1024 bytes of its start and 1024 of its end, without white space.

    Where there are fewer, 256 fills up: behind the start, before the end.
    """
    start = content[:WINDOW_BYTES].lstrip()[:END_BYTES]
    end = content[-WINDOW_BYTES:].rstrip()[-END_BYTES:]
    features = np.full(2 * END_BYTES, PADDING, dtype=np.int32)
    features[: len(start)] = np.frombuffer(start, dtype=np.uint8)
    features[2 * END_BYTES - len(end) :] = np.frombuffer(end, dtype=np.uint8)
    return features


def _labelled_files() -> Iterator[tuple[Path, str]]:
    for path in fetch_all(*PYGMENTS, f"{EXAMPLES}/*"):
        if path.suffix in TEXT_TYPES and path.stat().st_size >= LEAST_TEXT_BYTES:
            yield path, TEXT_TYPES[path.suffix]
    for suffix, label in BINARY_TYPES.items():
        yield from ((path, label) for path in fetch_skimage_files(f"*{suffix}")[:MOST_BINARY_FILES])
