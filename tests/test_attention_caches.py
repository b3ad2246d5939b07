"""A KV cache changes no bit, whatever the memory it lies in and whatever hides in it; nor do blocks of rows."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from attention_models import CASES, HEADS, KV_HEADS, MICROSOFT, SIZE, Case, draw, int32
from numpy.typing import NDArray
from onnx import helper
from test_attention import by_reference, converted, run

from lba_onnx.rewrite import convert
from lba_onnx.session import make_session

LENGTH = 21
KINDS = [
    "M7E4b10",
    "M7E4b10,chunk=none",
    "M3E4b8,round=nearest,chunk=4",
    "fp16-fma",
    "bf16-fma",
    "kulisch",
    "M7E4b10,chunk=8x32",
]
FLOATS = [np.float32, np.float16]


def group_model(spec: str, dtype: Any = np.float32, **attributes: Any) -> bytes:
    """GroupQueryAttention with open sizes."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    floats = {
        "query": ["batch", "rows", HEADS * SIZE],
        "key": ["batch", "rows", KV_HEADS * SIZE],
        "value": ["batch", "rows", KV_HEADS * SIZE],
        "past_key": ["batch", KV_HEADS, "buffer", SIZE],
        "past_value": ["batch", KV_HEADS, "buffer", SIZE],
    }
    inputs = [helper.make_tensor_value_info(name, element, shape) for name, shape in floats.items()]
    inputs += [helper.make_tensor_value_info("seqlens_k", 6, ["batch"])]
    inputs += [helper.make_tensor_value_info("total_sequence_length", 6, [1])]
    results = ["y", "present_key", "present_value"]
    node = helper.make_node(
        "GroupQueryAttention",
        [value.name for value in inputs],
        results,
        "node",
        domain=MICROSOFT,
        num_heads=HEADS,
        kv_num_heads=KV_HEADS,
        **attributes,
    )
    outputs = [helper.make_tensor_value_info(name, element, None) for name in results]
    graph = helper.make_graph([node], "graph", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model = convert(helper.make_model(graph, opset_imports=opsets, ir_version=8), spec)[0]
    return model.SerializeToString()


class Sequence:
    """Queries, keys and values of one sequence, fed in parts."""

    def __init__(self, dtype: Any, length: int = LENGTH) -> None:
        sizes = {"query": HEADS, "key": KV_HEADS, "value": KV_HEADS}
        self.values = {name: draw(1, length, heads * SIZE, dtype=dtype) for name, heads in sizes.items()}
        self.dtype = dtype

    def feeds(self, start: int, end: int, past: tuple[NDArray[Any], NDArray[Any]]) -> dict[str, NDArray[Any]]:
        part = {name: values[:, start:end] for name, values in self.values.items()}
        lengths = {"seqlens_k": int32(end - 1), "total_sequence_length": int32(end)}
        return {**part, "past_key": past[0], "past_value": past[1], **lengths}

    def empty(self, rows: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
        return tuple(np.full((1, KV_HEADS, rows, SIZE), np.nan, self.dtype) for _ in range(2))


def in_parts(session: onnxruntime.InferenceSession, sequence: Sequence, ends: list[int], rows: int) -> NDArray[Any]:
    """Return the results, and keep the cache of each step as the past of the next one."""
    past, found, start = sequence.empty(rows), [], 0
    for end in ends:
        y, *past = session.run(None, sequence.feeds(start, end, tuple(past)))
        found.append(y)
        start = end
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("spec", KINDS)
@pytest.mark.parametrize("window", [-1, 5])
def test_token_by_token_gives_the_bits_of_the_whole_prompt(spec, dtype, window):
    session = make_session(group_model(spec, dtype, local_window_size=window, softcap=1.5))
    sequence = Sequence(dtype)
    whole = in_parts(session, sequence, [LENGTH], 0)
    assert np.isfinite(whole).all()
    for rows in (0, LENGTH + 4):  # a cache that grows, and one of a fixed size with NaN in what is not used
        np.testing.assert_array_equal(in_parts(session, sequence, list(range(1, LENGTH + 1)), rows), whole)
        np.testing.assert_array_equal(in_parts(session, sequence, [4, 5, 17, LENGTH], rows), whole)


@pytest.mark.parametrize("dtype", FLOATS)
def test_past_and_present_may_be_the_same_memory(dtype):
    session = make_session(group_model("M7E4b10", dtype))
    sequence = Sequence(dtype)
    whole = in_parts(session, sequence, [LENGTH], 0)
    caches = [onnxruntime.OrtValue.ortvalue_from_numpy(cache) for cache in sequence.empty(LENGTH + 4)]
    found, start = [], 0
    for end in (4, 5, 6, 13, LENGTH):
        binding = session.io_binding()
        binding.bind_output("y")
        for name, values in sequence.feeds(start, end, sequence.empty()).items():
            if not name.startswith("past"):
                binding.bind_cpu_input(name, np.ascontiguousarray(values))
        for name, cache in zip(("key", "value"), caches, strict=True):
            binding.bind_ortvalue_input(f"past_{name}", cache)
            binding.bind_ortvalue_output(f"present_{name}", cache)
        session.run_with_iobinding(binding)
        found.append(binding.copy_outputs_to_cpu()[0])
        start = end
    np.testing.assert_array_equal(np.concatenate(found, axis=1), whole)
    keys = sequence.values["key"].reshape(1, LENGTH, KV_HEADS, SIZE).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(caches[0].numpy()[:, :, :LENGTH], keys)
    assert np.isnan(caches[0].numpy()[:, :, LENGTH:]).all()


def long_case(**attributes: Any) -> Case:
    rows = 150
    inputs = {
        "query": draw(1, rows, 2 * 8),
        "key": draw(1, rows, 8),
        "value": draw(1, rows, 8),
        "past_key": draw(1, 1, 30, 8),
        "past_value": draw(1, 1, 30, 8),
        "seqlens_k": int32(rows + 29),
        "total_sequence_length": int32(rows + 30),
    }
    return Case("GroupQueryAttention", inputs, {"num_heads": 2, "kv_num_heads": 1, **attributes})


OF_A_DEPTH = [
    "splitk4(M7E4b10)",
    "M5E4b9,round=stochastic8",
    "M10E5b15,tree=4",
    "M3E4b7,tree=3",
    "M5E3b4,tree=5,chunk=2",
]


@pytest.mark.parametrize("spec", [*KINDS, *OF_A_DEPTH, "M7E4b10,round=nearest"])
@pytest.mark.parametrize("window", [-1, 40])
def test_blocks_of_rows_give_the_references_bits(spec, window):
    case = long_case(local_window_size=window)
    model = converted(case, spec)
    expected = by_reference(model, case)
    for threads in (1, 3):
        for ours, theirs in zip(run(model, case, threads), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("name", ["key", "value", "past_key", "past_value", "query"])
@pytest.mark.parametrize("spec", ["M7E4b10", "M7E4b10,round=stochastic8"])
def test_what_a_row_does_not_see_is_not_multiplied(name, value, spec):
    case = long_case(local_window_size=20)
    case.inputs[name].flat[37] = value
    model = converted(case, spec)
    found, expected = run(model, case), by_reference(model, case)
    assert np.isfinite(expected[0]).any()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_scores_of_minus_infinity_give_zeros():
    case = Case(
        "Attention",
        {
            "Q": draw(1, 2, 3, 8),
            "K": draw(1, 2, 4, 8),
            "V": draw(1, 2, 4, 8),
            "attn_mask": np.zeros((3, 4), np.float32),
        },
        outputs=1,
    )
    case.inputs["attn_mask"][1] = -np.inf
    (y,) = run(converted(case, "M7E4b10"), case)
    assert not y[:, :, 1].any() and y[:, :, [0, 2]].any(axis=-1).all()


@pytest.mark.parametrize("name", ["heads: past", "heads: bias and past", "groups: chunk"])
def test_the_past_counts_without_presents(name):
    """onnxruntime multiplies keys with what lies behind the new ones in memory where nothing asks for presents."""
    whole = CASES[name]
    alone = Case(whole.op_type, whole.inputs, whole.attributes, outputs=1)
    for spec in ("M7E4b10", "M22E7b63"):
        expected, *_ = run(converted(whole, spec), whole)
        np.testing.assert_array_equal(run(converted(alone, spec), alone)[0], expected)
