"""SmolLM2 exported in the ways that language models are: plainly, and as onnxruntime-genai's builder does.

    python -m models.smollm2.exports

prints the path of each export, built if need be.
"""

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.fetch import build_folder
from models.smollm2.checkpoint import checkpoint_folder, load_model

PLAIN = "plain"
GENAI: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "genai-float32": ("fp32",),
        "genai-float16": ("fp16",),
        "genai-int4-symmetric": ("int4", "block_size=32", "is_symmetric=true", "accuracy_level=4"),
        "genai-int4-asymmetric": (
            *("int4", "block_size=32", "is_symmetric=false", "accuracy_level=0"),
            "shared_embeddings=false",  # with zero points onnxruntime refuses the embedding that the builder shares
        ),
    }
)
"""Names to the builder's precision and its extra options, for the CPU provider."""
NAMES = (PLAIN, *GENAI)
_MODEL = "model.onnx"


def export(name: str) -> Path:
    """Returns the path of an export out of `NAMES`.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in NAMES:
        raise ValueError(f"expected an export out of {', '.join(NAMES)}, got {name!r}")
    build = _export_plainly if name == PLAIN else partial(_build_with_genai, *GENAI[name])
    return build_folder(f"smollm2-{name}", build) / _MODEL


def _export_plainly(folder: Path) -> None:
    """Writes input_ids -> logits, the causal mask inside, no cache."""
    import torch

    model = load_model(checkpoint_folder())

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any) -> Any:
            tokens = input_ids.shape[1]
            behind = torch.full((tokens, tokens), -3.0e38).triu(1)[None, None]
            places = torch.arange(tokens)[None]
            given = {"attention_mask": behind, "position_ids": places, "use_cache": False}
            return self.model(input_ids=input_ids, **given).logits

    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Logits(),
        (torch.ones((2, 16), dtype=torch.int64),),
        str(folder / _MODEL),
        dynamo=False,
        opset_version=17,
        input_names=["input_ids"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "logits": axes},
    )


def _build_with_genai(precision: str, *options_and_folder: Any) -> None:
    """Runs onnxruntime-genai's builder."""
    *options, folder = options_and_folder
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint_folder())]
    command += ["-o", str(folder), "-p", precision, "-e", "cpu", "-c", str(folder / "cache")]
    subprocess.run([*command, "--extra_options", *options] if options else command, check=True)


if __name__ == "__main__":
    for _name in NAMES:
        print(_name, export(_name))
