"""What tools around ONNX make of a converted model: a function each, from a model to outputs.

A tool is called as its users call it, and no more is told to it than docs/ecosystem.md tells.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

import lba_onnx

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Subject:
    """A float model, its converted one in a file, and what both are fed.

    Attributes:
        source: The float model.
        spec: What it is converted with.
        feeds: Inputs.
        folder: Where a tool may write.
    """

    source: onnx.ModelProto
    spec: str
    feeds: dict[str, NDArray[Any]]
    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder / "model_lba.onnx")

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.path)

    def run(self, model: Any, options: onnxruntime.SessionOptions | None = None) -> Arrays:
        return list(lba_onnx.make_session(model, options).run(None, self.feeds))

    def write(self, model: onnx.ModelProto, name: str) -> str:
        onnx.save(model, self.folder / name)
        return str(self.folder / name)

    def reader(self) -> Any:
        """Return a CalibrationDataReader of the feeds."""
        batches = iter([self.feeds])

        class Reader:
            def get_next(self) -> Any:
                return next(batches, None)

        return Reader()


@dataclass(frozen=True)
class Tool:
    """A row of the table.

    Attributes:
        use: What it gives of a converted model.
        packages: Modules that must be there.
        expected: What it gives instead of the converted model's outputs, where it does.
        refusal: The error that it ends with, where it does.
        models: What it is tried on.
    """

    use: Callable[[Subject], Arrays]
    packages: tuple[str, ...] = ()
    expected: Callable[[Subject], Arrays] = field(default=lambda subject: subject.run(subject.path))
    refusal: str = ""
    models: tuple[str, ...] = ("demo", "transformer")


def checked(subject: Subject) -> Arrays:
    onnx.checker.check_model(subject.path, full_check=True)
    return subject.run(subject.path)


def inferred(subject: Subject) -> Arrays:
    bare = subject.model
    del bare.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(bare)
    names = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert names >= {name for node in model.graph.node for name in node.output if name}
    return subject.run(model)


def of_another_opset(subject: Subject) -> Arrays:
    from onnx import version_converter

    return subject.run(version_converter.convert_version(subject.model, 21))


def cut_in_two(subject: Subject) -> Arrays:
    (name,) = subject.feeds
    middle = next(node.output[0] for node in subject.model.graph.node if node.domain == "lba_onnx")
    halves = [str(subject.folder / half) for half in ("first.onnx", "second.onnx")]
    onnx.utils.extract_model(subject.path, halves[0], [name], [middle])
    (between,) = subject.run(halves[0])
    whole = str(subject.folder / "whole.onnx")
    results = [value.name for value in subject.model.graph.output]
    onnx.utils.extract_model(subject.path, whole, [name], results)
    assert between.size and any(node.domain == "lba_onnx" for node in onnx.load(halves[0]).graph.node)
    return subject.run(whole)


def merged(subject: Subject) -> Arrays:
    (value,) = subject.model.graph.input
    before = helper.make_graph(
        [helper.make_node("Identity", ["before_in"], ["before_out"])],
        "before",
        [helper.make_value_info("before_in", value.type)],
        [helper.make_value_info("before_out", value.type)],
    )
    first = helper.make_model(before, opset_imports=subject.model.opset_import, ir_version=subject.model.ir_version)
    model = onnx.compose.merge_models(first, subject.model, [("before_out", value.name)])
    session = lba_onnx.make_session(model)
    return list(session.run(None, {"before_in": subject.feeds[value.name]}))


def by_reference(subject: Subject) -> Arrays:
    return list(lba_onnx.reference_evaluator(subject.path).run(None, subject.feeds))


def by_graphsurgeon(subject: Subject) -> Arrays:
    import onnx_graphsurgeon as gs

    graph = gs.import_onnx(subject.model)
    return subject.run(gs.export_onnx(graph.fold_constants().cleanup().toposort()))


def optimized_offline(subject: Subject) -> Arrays:
    levels = onnxruntime.GraphOptimizationLevel
    of_levels = []
    for name in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns that optimized models are for machines like this one
        options.graph_optimization_level = getattr(levels, name)
        options.optimized_model_filepath = str(subject.folder / f"{name}.onnx")
        lba_onnx.make_session(subject.path, options)
        of_levels.append(subject.run(options.optimized_model_filepath))
    for outputs in of_levels[1:]:
        for one, other in zip(of_levels[0], outputs, strict=True):
            np.testing.assert_array_equal(one, other)
    return of_levels[-1]


def in_ort_format(subject: Subject) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(subject.folder / "model_lba.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    lba_onnx.make_session(subject.path, options)
    fresh = onnxruntime.SessionOptions()
    lba_onnx.register_custom_ops(fresh)
    path = str(subject.folder / "model_lba.ort")
    session = onnxruntime.InferenceSession(path, fresh, providers=["CPUExecutionProvider"])
    return list(session.run(None, subject.feeds))


def symbolically_inferred(subject: Subject) -> Arrays:
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    bare = subject.model
    del bare.graph.value_info[:]
    model = SymbolicShapeInference.infer_shapes(bare)
    assert len(model.graph.value_info) >= len(model.graph.node) - len(model.graph.output)
    return subject.run(model)


def preprocessed(subject: Subject) -> Arrays:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = str(subject.folder / "preprocessed.onnx")
    quant_pre_process(subject.path, path, skip_optimization=True)
    return subject.run(path)


def quantized_dynamically(subject: Subject) -> Arrays:
    from onnxruntime.quantization import quantize_dynamic

    path = str(subject.folder / "dynamic.onnx")
    quantize_dynamic(subject.path, path)
    return subject.run(path)


def quantized_behind(subject: Subject) -> Arrays:
    from onnxruntime.quantization import quantize_static

    path = str(subject.folder / "static.onnx")
    quantize_static(subject.path, path, subject.reader())
    return subject.run(path)


def quantized_before(subject: Subject) -> Arrays:
    return subject.run(lba_onnx.convert(_quantized(subject), "int32-wrap")[0])


def as_onnxruntime_quantizes(subject: Subject) -> Arrays:
    session = onnxruntime.InferenceSession(_quantized(subject), providers=["CPUExecutionProvider"])
    return list(session.run(None, subject.feeds))


def _quantized(subject: Subject) -> str:
    from onnxruntime.quantization import quantize_static

    path = str(subject.folder / "quantized.onnx")
    if not Path(path).exists():
        quantize_static(subject.write(subject.source, "source.onnx"), path, subject.reader())
    return path


def halved(subject: Subject) -> Arrays:
    from onnxruntime.transformers import float16

    return subject.run(float16.convert_float_to_float16(subject.model, keep_io_types=True))


def converted_halves(subject: Subject) -> Arrays:
    from onnxruntime.transformers import float16

    source = float16.convert_float_to_float16(subject.source, keep_io_types=True)
    return subject.run(lba_onnx.convert(source, subject.spec)[0])


def halved_by_converter_common(subject: Subject) -> Arrays:
    from onnxconverter_common import float16

    return subject.run(float16.convert_float_to_float16(subject.model, keep_io_types=True))


def slimmed(subject: Subject) -> Arrays:
    import onnxslim

    return subject.run(onnxslim.slim(subject.model))


def simplified(subject: Subject) -> Arrays:
    import onnxsim

    model, _ = onnxsim.simplify(subject.model)
    return subject.run(model)


def optimized_by_onnxoptimizer(subject: Subject) -> Arrays:
    import onnxoptimizer

    return subject.run(onnxoptimizer.optimize(subject.model))


def optimized_by_onnxscript(subject: Subject) -> Arrays:
    import onnxscript.optimizer

    return subject.run(onnxscript.optimizer.optimize(subject.model))


def by_polygraphy(subject: Subject) -> Arrays:
    from polygraphy.backend.onnx import fold_constants, infer_shapes
    from polygraphy.backend.onnxrt import OnnxrtRunner

    model = fold_constants(infer_shapes(subject.path))
    path = subject.write(model, "polygraphy.onnx")
    with OnnxrtRunner(lambda: lba_onnx.make_session(path)) as runner:
        outputs = runner.infer(subject.feeds)
        return [np.asarray(outputs[value.name]) for value in model.graph.output]


def by_optimum(subject: Subject) -> Arrays:
    from optimum.onnxruntime import ORTModelForCustomTasks

    options = onnxruntime.SessionOptions()
    lba_onnx.register_custom_ops(options)
    (subject.folder / "config.json").write_text('{"model_type": "bert"}')
    model = ORTModelForCustomTasks.from_pretrained(
        subject.folder, file_name="model_lba.onnx", session_options=options, local_files_only=True
    )
    outputs = model(**subject.feeds)
    return [np.asarray(outputs[value.name]) for value in subject.model.graph.output]


def served_by_netron(subject: Subject) -> Arrays:
    from urllib.request import urlopen

    import netron

    address = netron.start(subject.path, browse=False)
    try:
        url = f"http://{address[0]}:{address[1]}/"
        assert b"netron" in urlopen(url).read().lower()
        served = urlopen(f"{url}data/model_lba.onnx").read()
    finally:
        netron.stop(address)
    return subject.run(served)


TABLE = {
    "onnx.checker": Tool(checked),
    "onnx.shape_inference": Tool(inferred),
    "onnx.version_converter": Tool(of_another_opset),
    "onnx.utils.extract_model": Tool(cut_in_two),
    "onnx.compose.merge_models": Tool(merged),
    "onnx.reference": Tool(by_reference, models=("demo",)),
    "onnx-graphsurgeon": Tool(by_graphsurgeon),
    "onnxruntime: optimisation offline": Tool(optimized_offline),
    "onnxruntime: ORT format": Tool(in_ort_format),
    "onnxruntime: symbolic_shape_infer": Tool(symbolically_inferred, ("sympy",)),
    "onnxruntime: quant_pre_process": Tool(preprocessed, ("sympy",)),
    "onnxruntime: quantize_dynamic behind convert": Tool(quantized_dynamically),
    "onnxruntime: quantize_static behind convert": Tool(quantized_behind, refusal="not a registered function/op"),
    "onnxruntime: quantize_static before convert": Tool(quantized_before, expected=as_onnxruntime_quantizes),
    "onnxruntime: float16": Tool(halved, expected=converted_halves),
    "onnxconverter-common: float16": Tool(
        halved_by_converter_common, ("onnxconverter_common",), expected=converted_halves
    ),
    "onnxslim": Tool(slimmed, ("onnxslim",)),
    "onnxsim": Tool(simplified, ("onnxsim",)),
    "onnxoptimizer": Tool(optimized_by_onnxoptimizer, ("onnxoptimizer",)),
    "onnxscript.optimizer": Tool(optimized_by_onnxscript, ("onnxscript",)),
    "polygraphy": Tool(by_polygraphy, ("polygraphy", "colored")),
    "optimum-onnx": Tool(by_optimum, ("optimum.onnxruntime",)),
    "netron": Tool(served_by_netron, ("netron",)),
}
"""By the name in docs/ecosystem.md."""
