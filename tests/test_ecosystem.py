"""Each tool of docs/ecosystem.md on converted models: the bits, or the error, that the page tells."""

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from ecosystem_tools import TABLE, Subject, Tool
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from lba_onnx.operators import registration

pytestmark = pytest.mark.skipif(not registration.HAS_INFERENCE, reason="onnx is told of operators since 1.19")
PAGE = (Path(__file__).parents[1] / "docs" / "ecosystem.md").read_text()
ROWS = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", PAGE, flags=re.MULTILINE))
EQUAL = "the same bits"
RNG = np.random.default_rng(12)


def transformer() -> onnx.ModelProto:
    """Return a layer of a transformer in onnxruntime's operators: x [batch, tokens, 32] -> y likewise."""
    weights = {name: RNG.standard_normal((32, 32)).astype(np.float32) / 4 for name in ("q", "k", "v", "o")}
    weights["one"] = np.ones(32, np.float32)
    nodes = [
        *(helper.make_node("MatMul", ["x", name], [f"{name}x"], f"{name}_proj") for name in "qkv"),
        helper.make_node(
            "MultiHeadAttention", ["qx", "kx", "vx"], ["heads"], "attention", domain="com.microsoft", num_heads=4
        ),
        helper.make_node("MatMul", ["heads", "o"], ["out"], "o_proj"),
        helper.make_node("Add", ["x", "out"], ["sum"], "residual"),
        helper.make_node("LayerNormalization", ["sum", "one"], ["y"], "norm"),
    ]
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "tokens", 32]) for n in "xy"]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "layer", declared[:1], declared[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def demo() -> onnx.ModelProto:
    return onnx.load(str(files("lba_onnx") / "demo_data" / "fashion_cnn.onnx"))


MODELS = {"demo": demo, "transformer": transformer}
FEEDS = {
    "demo": {"image": RNG.random((4, 1, 28, 28), np.float32)},
    "transformer": {"x": RNG.standard_normal((2, 5, 32)).astype(np.float32)},
}


@pytest.fixture
def subject(model: str, tmp_path: Path) -> Subject:
    found = Subject(MODELS[model](), "M7E4b10", FEEDS[model], tmp_path)
    lba_onnx.convert(found.source, found.spec, model_output=found.path)
    return found


def needs(name: str, tool: Tool) -> pytest.MarkDecorator:
    missing = [package for package in tool.packages if not is_installed(package)]
    return pytest.mark.skipif(bool(missing), reason=f"{name} needs {', '.join(missing)}, not installed")


def is_installed(module: str) -> bool:
    package = module.split(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


@pytest.mark.parametrize(
    "name, model",
    [pytest.param(name, model, marks=needs(name, tool)) for name, tool in TABLE.items() for model in tool.models],
)
@pytest.mark.filterwarnings("ignore")  # of the tools
def test_a_tool_gives_the_bits_that_the_page_tells(name: str, subject: Subject):
    tool = TABLE[name]
    if tool.refusal:
        with pytest.raises(Exception, match=tool.refusal):
            tool.use(subject)
        return
    for found, expected in zip(tool.use(subject), tool.expected(subject), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_the_page_has_a_row_for_each_tool_and_tells_which_keep_the_bits():
    told = {name: result for name, result in ROWS.items() if name not in ("tool", "---")}
    assert told.keys() == TABLE.keys()
    for name, tool in TABLE.items():
        is_plain = not tool.refusal and tool.expected is Tool.__dataclass_fields__["expected"].default
        assert (told[name] == EQUAL) == is_plain, name
