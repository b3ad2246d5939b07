"""Texts in a model that are not UTF-8, as tools of other code pages write them: kept where they are only notes.

A model whose doc string was in Latin-1 ran in onnxruntime, and was refused here as damaged.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from rewrite_models import SPEC, matmul_model

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.errors import ModelError

FOREIGN = b"caf\xe9 \xff\xfe"
MARK = "@" * len(FOREIGN)
NOTES = ("doc", "graph doc", "node doc", "tensor doc", "input doc", "producer", "domain", "graph name", "key", "value")


def noted_model(note: str) -> bytes:
    """A model with a foreign text in one place; weights of more than 256 values, which analysis leaves out."""
    model = matmul_model()
    weight = np.zeros((4, 4), np.float32) + np.eye(4, dtype=np.float32)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w"))
    large = onnx.numpy_helper.from_array(np.zeros((40, 40), np.float32), "unused")
    model.graph.initializer.append(large)
    owner, field = {
        "doc": (model, "doc_string"),
        "graph doc": (model.graph, "doc_string"),
        "node doc": (model.graph.node[0], "doc_string"),
        "tensor doc": (model.graph.initializer[1], "doc_string"),
        "input doc": (model.graph.input[0], "doc_string"),
        "producer": (model, "producer_name"),
        "domain": (model, "domain"),
        "graph name": (model.graph, "name"),
        "key": (model.metadata_props.add(key="k", value="v"), "key"),
        "value": (model.metadata_props[0], "value"),
    }[note]
    setattr(owner, field, MARK)
    return model.SerializeToString().replace(MARK.encode(), FOREIGN)


@pytest.mark.parametrize("note", NOTES)
def test_notes_in_other_code_pages_are_kept(note: str, tmp_path: Path):
    source = noted_model(note)
    onnxruntime.InferenceSession(source)
    path, output = tmp_path / "m.onnx", tmp_path / "o.onnx"
    path.write_bytes(source)
    converted, _ = lba_onnx.convert(path, SPEC, model_output=lba_onnx.ModelFile(output, use_external_data_format=True))
    for written in (converted.SerializeToString(), output.read_bytes()):
        assert written.count(FOREIGN) == 1
    x = np.ones((2, 4), np.float32)
    assert lba_onnx.make_session(str(output)).run(None, {"x": x})[0].tolist() == x.tolist()
    corrected, _ = lba_onnx.correct(output, {"x": x})
    assert corrected.SerializeToString().count(FOREIGN) == 1
    result = CliRunner().invoke(main, ["inspect", "-i", str(output), "--json"])
    assert result.exit_code == 0, result.output


def test_metadata_of_this_package_in_another_code_page_is_shown(tmp_path: Path):
    model = lba_onnx.convert(matmul_model(), SPEC)[0]
    model.metadata_props.add(key="lba_onnx.note", value=MARK)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString().replace(MARK.encode(), FOREIGN))
    result = CliRunner().invoke(main, ["inspect", "-i", str(path)])
    assert result.exit_code == 0
    assert "lba_onnx.note: caf" in result.output


@pytest.mark.parametrize("place", ["node", "value", "location"])
def test_names_in_other_code_pages_are_refused_in_one_line(place: str):
    model = matmul_model()
    if place == "node":
        model.graph.node[0].name = MARK
    elif place == "value":
        model.graph.node[0].input[1] = MARK
    else:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=MARK)
    with pytest.raises(ModelError, match="UTF-8") as caught:
        lba_onnx.convert(model.SerializeToString().replace(MARK.encode(), FOREIGN), SPEC)
    assert "\n" not in str(caught.value)
