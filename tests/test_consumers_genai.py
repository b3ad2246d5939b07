"""onnxruntime-genai generates with a converted decoder, the same bits as Python's onnxruntime."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from consumer_models import ROOT, run

import lba_onnx

MISSING = [name for name in ("onnxruntime_genai", "transformers", "torch") if find_spec(name) is None]
pytestmark = [
    pytest.mark.consumer,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}"),
]

SPEC = "M7E4b10"
TOKENS = [3, 14, 15, 9, 26, 5]
NEW = 8
GENERATE = """
import sys
import numpy as np
import onnxruntime_genai as og
model = og.Model(sys.argv[1])
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length=int(sys.argv[2]) + 6, do_sample=False)
generator = og.Generator(model, parameters)
generator.append_tokens(np.array([[3, 14, 15, 9, 26, 5]], np.int32))
logits = [np.asarray(generator.get_logits(), np.float32)]
for _ in range(int(sys.argv[2])):
    generator.generate_next_token()
    if not generator.is_done():
        logits.append(np.asarray(generator.get_logits(), np.float32))
sys.stdout.buffer.write(np.asarray(generator.get_sequence(0), np.int32).tobytes())
sys.stdout.buffer.write(b"".join(np.ascontiguousarray(values.reshape(-1)[-64:]).tobytes() for values in logits))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the builder wrote, made ready by the example."""
    folder = tmp_path_factory.mktemp("genai")
    quiet = (sys.executable, "-W", "ignore")
    run(*quiet, ROOT / "tests/tiny_llama.py", folder / "hf")
    builder = ("-m", "onnxruntime_genai.models.builder", "-i", folder / "hf", "-o", folder / "built")
    run(*quiet, *builder, "-p", "fp32", "-e", "cpu", "-c", folder / "cache")
    run(*quiet, ROOT / "examples/genai/prepare.py", folder / "built", SPEC, folder / "lba")
    return folder


def whole(session, tokens):
    """Returns the logits of the last token, read at once, with empty caches."""
    empty = {v.name: np.zeros((1, v.shape[1], 0, 16), np.float32) for v in session.get_inputs() if "past" in v.name}
    ids = np.array([tokens], np.int64)
    return session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids), **empty})[0][0, -1]


def test_it_generates_pythons_bits_token_by_token(folder):
    output = run(sys.executable, "-c", GENERATE, folder / "lba", NEW).stdout
    tokens = np.frombuffer(output[: 4 * (len(TOKENS) + NEW)], np.int32).tolist()
    logits = np.frombuffer(output[4 * len(tokens) :], np.float32).reshape(-1, 64)
    session = lba_onnx.make_session(folder / "lba/model.onnx")
    assert tokens[: len(TOKENS)] == TOKENS and len(logits) >= NEW
    for count, got in enumerate(logits, len(TOKENS)):
        expected = whole(session, tokens[:count])
        assert got.tobytes() == expected.tobytes()
        assert count == len(tokens) or tokens[count] == expected.argmax()


def test_it_is_the_accumulator_that_computes(folder):
    plain, converted = (lba_onnx.make_session(folder / name / "model.onnx") for name in ("built", "lba"))
    assert not np.array_equal(whole(plain, TOKENS), whole(converted, TOKENS))
