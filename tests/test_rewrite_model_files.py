"""Model files: reading, refusing, and writing all or nothing, with and without external data."""

import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewrite_models import SPEC, block_function, matmul_model, model_of, nested_model, value, weights

from lba_onnx import ModelFile
from lba_onnx.errors import LbaError, ModelError, OutputError
from lba_onnx.rewrite import convert, load_model, model_files, save_model

SIZE = 32  # a weight of 4096 bytes


def wide_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "v"], ["y"], name="second"),
    ]
    ends = [value("x", shape=["rows", SIZE])], [value("y", shape=["rows", SIZE])]
    return model_of(nodes, *ends, [weights("w", [SIZE, SIZE]), weights("v", [SIZE, SIZE]), weights("small")])


def write_external(folder: Path, model: onnx.ModelProto | None = None) -> Path:
    """Writes a model, and its large weights to weights.bin."""
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    onnx.save_model(
        model or wide_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=1024
    )
    return path


def redirect(path: Path, **entries: str) -> None:
    """Rewrites the external data entries of a model file's first tensor."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, text in kept.items():
        tensor.external_data.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())


def initializers(model: onnx.ModelProto, folder: Path | None = None) -> dict[str, np.ndarray]:
    base = str(folder or "")
    return {tensor.name: numpy_helper.to_array(tensor, base) for tensor in model.graph.initializer}


def assert_same_weights(path: Path, expected: onnx.ModelProto) -> None:
    got = initializers(onnx.load(path))
    for name, array in initializers(expected).items():
        np.testing.assert_array_equal(got[name], array)


def files(folder: Path) -> set[str]:
    """Returns what a folder holds; the hash in the name of a weights file is left out."""
    return {re.sub(r"lba-[0-9a-f]{32}", "lba-*", str(path.relative_to(folder))) for path in folder.rglob("*")}


def test_path_bytes_and_model_give_the_same(tmp_path: Path):
    model = matmul_model()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for source in (path, str(path), model.SerializeToString(), model):
        loaded = load_model(source)
        assert loaded == model and loaded is not model


def test_external_data_stays_outside_until_asked_for(tmp_path: Path):
    path = write_external(tmp_path)
    assert load_model(path).graph.initializer[0].data_location == TensorProto.EXTERNAL
    loaded = load_model(path, load_external_data=True)
    assert loaded.graph.initializer[0].data_location == TensorProto.DEFAULT
    np.testing.assert_array_equal(initializers(loaded)["w"], initializers(wide_model())["w"])


def test_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="none.onnx: no such file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="expected a file, got a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("source", [None, 3, ["model.onnx"]])
def test_source_of_another_type_is_an_error(source: Any):
    with pytest.raises(TypeError, match="expected a model as a path, bytes or a ModelProto"):
        load_model(source)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x89PNG\r\n\x1a\n" * 8, b"\x08\x08", bytes(64)])
def test_something_else_than_a_model_is_an_error(tmp_path: Path, content: bytes):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="model.onnx: expected an ONNX model"):
        load_model(path)


def test_every_truncation_is_an_error(tmp_path: Path):
    serialized = nested_model().SerializeToString()
    for length in range(0, len(serialized) - 1, 7):
        try:
            load_model(serialized[:length])
        except ModelError:
            continue
        # What parses and has all parts lost no more than the tail of the operator sets, which come last.
        assert onnx.load_from_string(serialized[:length]).graph == nested_model().graph


@pytest.mark.parametrize("ir_version", [1, 2, onnx.IR_VERSION + 1, 2**40])
def test_unsupported_ir_version_is_an_error(ir_version: int):
    with pytest.raises(ModelError, match=f"expected an IR version from 3 to {onnx.IR_VERSION}.*got {ir_version}"):
        load_model(matmul_model(ir_version=ir_version))


@pytest.mark.parametrize("field", ["graph", "opset_import", "ir_version"])
def test_model_without_a_part_is_an_error(field: str):
    model = matmul_model()
    model.ClearField(field)
    with pytest.raises(ModelError, match="something else, or was cut short"):
        load_model(model)


@pytest.mark.parametrize("dims", [[4, 5], [2**40, 2**20], [0, 4], [-1, 4], []])
def test_values_that_do_not_fill_the_dimensions_are_an_error(dims: list[int]):
    model = matmul_model()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    with pytest.raises(ModelError, match="model: tensor 'w'"):
        load_model(model)


def test_typed_values_that_do_not_fill_the_dimensions_are_an_error():
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [1.0] * 16)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor])
    assert load_model(model) == model
    model.graph.initializer[0].float_data.pop()
    with pytest.raises(ModelError, match="expected 16 values, got 15"):
        load_model(model)


def test_empty_tensor_is_fine():
    load_model(model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[weights("w", [4, 0])]))


def test_function_that_calls_itself_is_an_error():
    function = helper.make_function(
        "my",
        "Loop",
        ["a"],
        ["b"],
        [helper.make_node("Loop", ["a"], ["b"], domain="my")],
        [helper.make_opsetid("my", 1)],
    )
    with pytest.raises(ModelError, match="function my:Loop calls itself"):
        load_model(model_of([helper.make_node("Loop", ["x"], ["y"], domain="my")], functions=[function]))


def test_function_defined_twice_is_an_error():
    with pytest.raises(ModelError, match="got one twice"):
        load_model(model_of([helper.make_node("Relu", ["x"], ["y"])], functions=[block_function(), block_function()]))


def test_name_that_is_no_text_is_an_error():
    damaged = matmul_model().SerializeToString().replace(b"product", b"pro\xffuct")
    with pytest.raises(ModelError, match="UTF-8"):
        load_model(damaged)


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "a/../../b", "", "..", "we\0ights"])
def test_external_data_outside_the_folder_is_an_error(tmp_path: Path, location: str):
    path = write_external(tmp_path / "inside")
    redirect(path, location=location)
    with pytest.raises(ModelError, match=f"{path.name}: tensor 'w': expected external data at a path inside"):
        convert(path, SPEC, model_output=tmp_path / "out.onnx")
    assert "out.onnx" not in files(tmp_path)


@pytest.mark.parametrize("location", ["none.bin", ".", "weights.bin/deeper"])
def test_missing_external_data_is_an_error(tmp_path: Path, location: str):
    path = write_external(tmp_path)
    redirect(path, location=location)
    with pytest.raises(ModelError, match="but there is no such file"):
        load_model(path)


def test_link_out_of_the_folder_is_an_error(tmp_path: Path):
    path = write_external(tmp_path / "inside")
    (tmp_path / "secret").write_bytes(bytes(10000))
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "secret")
    redirect(path, location="link")
    with pytest.raises(ModelError, match="expected external data inside .* a link to"):
        load_model(path)


def test_linked_model_finds_data_beside_the_file_it_is_linked_to(tmp_path: Path):
    original = write_external(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("model.onnx", "weights.bin"):
        (snapshot / name).symlink_to(original.parent / name)
    output = snapshot / "converted.onnx"
    convert(snapshot / "model.onnx", SPEC, model_output=output)
    (weights,) = snapshot.glob("converted.onnx.lba-*.data")
    assert not weights.is_symlink()
    assert_same_weights(output, wide_model())


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "8192"},
        {"offset": "99999999999"},
        {"length": "4095"},
        {"length": "99999999999"},
        {"offset": "-1"},
        {"offset": "0x10"},
        {"length": "many"},
        {"offset": "9" * 30},
    ],
)
def test_external_range_that_does_not_fit_is_an_error(tmp_path: Path, entries: dict[str, str]):
    path = write_external(tmp_path)
    redirect(path, **entries)
    with pytest.raises(ModelError, match="tensor 'w'"):
        load_model(path)


def test_truncated_external_data_is_an_error(tmp_path: Path):
    path = write_external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 5000)
    with pytest.raises(ModelError, match="tensor 'v': expected 4096 bytes at offset 4096 of .*weights.bin, got 904"):
        load_model(path)


def test_external_data_without_a_folder_is_an_error_only_when_needed(tmp_path: Path):
    model = onnx.load(write_external(tmp_path / "source"), load_external_data=False)
    converted, report = convert(model, SPEC)
    assert len(report.converted) == 2
    with pytest.raises(ModelError, match="came without a file"):
        load_model(model, load_external_data=True)
    with pytest.raises(ModelError, match="no such file"):
        save_model(converted, tmp_path / "out.onnx")
    assert files(tmp_path) == {"source", "source/model.onnx", "source/weights.bin"}
    save_model(converted, tmp_path / "out.onnx", source_path=tmp_path / "source" / "model.onnx")
    assert_same_weights(tmp_path / "out.onnx", wide_model())


def test_output_beside_the_input_refers_to_the_same_data(tmp_path: Path):
    path = write_external(tmp_path)
    convert(path, SPEC, model_output=tmp_path / "converted.onnx")
    assert files(tmp_path) == {"model.onnx", "weights.bin", "converted.onnx"}
    assert_same_weights(tmp_path / "converted.onnx", wide_model())
    onnx.checker.check_model(tmp_path / "converted.onnx")


def test_output_elsewhere_gets_the_data_along(tmp_path: Path):
    path = write_external(tmp_path / "source")
    (tmp_path / "target").mkdir()
    output = tmp_path / "target" / "converted.onnx"
    model, _ = convert(path, SPEC, model_output=output)
    assert files(tmp_path / "target") == {"converted.onnx", "converted.onnx.lba-*.data"}
    assert_same_weights(output, wide_model())
    assert model == onnx.load(output, load_external_data=False)
    onnx.checker.check_model(output)


def test_model_may_be_saved_over_itself_but_not_over_its_data(tmp_path: Path):
    path = write_external(tmp_path)
    save_model(load_model(path), ModelFile(path, use_external_data_format=True))
    assert files(tmp_path) == {"model.onnx", "weights.bin", "model.onnx.lba-*.data"}
    save_model(load_model(path), ModelFile(path, use_external_data_format=True))
    assert files(tmp_path) == {"model.onnx", "weights.bin", "model.onnx.lba-*.data"}
    assert_same_weights(path, wide_model())
    (weights,) = tmp_path.glob("*.data")
    with pytest.raises(OutputError, match="expected a file for the model alone, got the model's external data"):
        save_model(load_model(path), weights, source_path=path)
    assert_same_weights(path, wide_model())


def test_external_format_moves_large_initializers_out(tmp_path: Path):
    source = wide_model()
    source.graph.initializer.append(helper.make_tensor("typed", TensorProto.FLOAT, [512], list(range(512))))
    output = tmp_path / "out.onnx"
    returned, _ = convert(source, SPEC, model_output=ModelFile(output, use_external_data_format=True))
    assert files(tmp_path) == {"out.onnx", "out.onnx.lba-*.data"}
    written = onnx.load(output, load_external_data=False)
    external = {t.name for t in written.graph.initializer if t.data_location == TensorProto.EXTERNAL}
    assert external == {"w", "v", "typed"}
    assert_same_weights(output, source)
    assert initializers(returned).keys() == initializers(source).keys()  # what was inline is returned inline


def test_single_file_format_takes_the_data_in(tmp_path: Path):
    output = tmp_path / "out.onnx"
    convert(write_external(tmp_path / "source"), SPEC, model_output=ModelFile(output, use_external_data_format=False))
    assert files(tmp_path) == {"source", "source/model.onnx", "source/weights.bin", "out.onnx"}
    assert_same_weights(output, wide_model())


def test_shared_external_data_is_copied_once(tmp_path: Path):
    path = write_external(tmp_path / "source")
    redirect(path, offset="4096")
    save_model(load_model(path), tmp_path / "out.onnx", source_path=path)
    (weights,) = tmp_path.glob("out.onnx.lba-*.data")
    assert weights.stat().st_size == 4096
    loaded = initializers(onnx.load(tmp_path / "out.onnx"))
    np.testing.assert_array_equal(loaded["w"], loaded["v"])


def test_result_without_an_output_has_its_values(tmp_path: Path):
    model, _ = convert(write_external(tmp_path), SPEC)
    np.testing.assert_array_equal(initializers(model)["w"], initializers(wide_model())["w"])
    assert files(tmp_path) == {"model.onnx", "weights.bin"}


def test_result_beyond_the_limit_refers_to_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_external(tmp_path)
    monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", 8192)
    model, _ = convert(path, SPEC)
    assert model.graph.initializer[0].data_location == TensorProto.EXTERNAL


@pytest.mark.parametrize("external", [True, False])
def test_too_large_for_one_file_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: bool):
    source = write_external(tmp_path / "source") if external else wide_model()
    monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", 8000)
    with pytest.raises(ModelError, match="use_external_data_format=True writes weights beside it"):
        convert(source, SPEC, model_output=ModelFile(tmp_path / "out.onnx", use_external_data_format=False))
    assert not list(tmp_path.glob("*out*"))


def test_input_beyond_the_limit_is_an_error(tmp_path: Path):
    path = tmp_path / "huge.onnx"
    path.touch()
    os.truncate(path, 2**31)
    with pytest.raises(ModelError, match="at most 2 GB, got 2147483648 bytes"):
        load_model(path)


def test_folder_of_the_output_must_exist(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="expected the folder .*none to exist"):
        convert(matmul_model(), SPEC, model_output=tmp_path / "none" / "out.onnx")
    with pytest.raises(ModelError, match="got a folder"):
        convert(matmul_model(), SPEC, model_output=tmp_path)


@pytest.mark.parametrize("step", ["os.replace", "lba_onnx.rewrite.external_data.append_tensor"])
def test_failure_while_writing_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    (tmp_path / "out.onnx").write_bytes(b"old model")
    (tmp_path / "out.onnx.data").write_bytes(b"old data")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(wide_model(), ModelFile(tmp_path / "out.onnx", use_external_data_format=True))
    assert files(tmp_path) == {"out.onnx", "out.onnx.data"}
    assert (tmp_path / "out.onnx").read_bytes() == b"old model"
    assert (tmp_path / "out.onnx.data").read_bytes() == b"old data"


def test_large_constant_nodes_stay_in_the_model(tmp_path: Path):
    constant = helper.make_node("Constant", [], ["w"], value=weights("value", [SIZE, SIZE]))
    ends = [value("x", shape=["rows", SIZE])], [value("y", shape=["rows", SIZE])]
    source = model_of([constant, helper.make_node("MatMul", ["x", "w"], ["y"])], *ends)
    save_model(source, ModelFile(tmp_path / "out.onnx", use_external_data_format=True))
    assert load_model(tmp_path / "out.onnx") == source


def test_external_weights_in_subgraphs_travel(tmp_path: Path):
    source = nested_model()
    inner = {a.name: a.g for a in source.graph.node[0].attribute}["then_branch"].node[0]
    graph = {a.name: a.g for a in inner.attribute}["then_branch"]
    graph.initializer.append(weights("big", [SIZE, SIZE]))
    save_model(source, ModelFile(tmp_path / "out.onnx", use_external_data_format=True))
    (tmp_path / "moved").mkdir()
    convert(tmp_path / "out.onnx", SPEC, model_output=tmp_path / "moved" / "out.onnx")
    loaded = load_model(tmp_path / "moved" / "out.onnx", load_external_data=True)
    inner = {a.name: a.g for a in loaded.graph.node[0].attribute}["then_branch"].node[0]
    graph = {a.name: a.g for a in inner.attribute}["then_branch"]
    assert graph.initializer[-1].raw_data == weights("big", [SIZE, SIZE]).raw_data


def test_damaged_models_never_crash(tmp_path: Path):
    calls = [helper.make_node("Block", ["y", "w"], ["z"], domain="my")]
    model = nested_model()
    model.graph.node.extend(calls)
    model.functions.append(block_function())
    serialized = model.SerializeToString()
    output = tmp_path / "out.onnx"
    for seed in range(400):
        generator = random.Random(seed)
        damaged = bytearray(serialized)
        for _ in range(generator.choice([1, 2, 4])):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            convert(bytes(damaged), SPEC, model_output=output, portable=seed % 2 == 0)
        except LbaError:
            assert not output.exists(), f"seed {seed}: a refused model was written"
        output.unlink(missing_ok=True)
