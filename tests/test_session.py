import importlib.resources
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from operator_models import SPEC, expected_matmul, node_model

from lba_onnx import native, operators
from lba_onnx.errors import LibraryError, ModelError
from lba_onnx.session import get_library_path, make_session, register_custom_ops

OPERANDS = {
    "A": np.random.default_rng(0).standard_normal((4, 20)).astype(np.float32),
    "B": np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32),
}


def model() -> bytes:
    return node_model("LbaMatMul", {"A": (np.float32, ["N", 20])}, {"B": OPERANDS["B"]}, SPEC.to_attributes())


def assert_runs(session: onnxruntime.InferenceSession) -> None:
    np.testing.assert_array_equal(session.run(None, {"A": OPERANDS["A"]})[0], expected_matmul(OPERANDS, SPEC))


def test_make_session_takes_bytes_a_model_and_a_path(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model())
    for source in (model(), onnx.load_from_string(model()), path, str(path)):
        assert_runs(make_session(source))


def test_make_session_reads_external_data_beside_a_path(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(onnx.load_from_string(model()), path, save_as_external_data=True, size_threshold=0)
    assert (sorted(p.suffix for p in tmp_path.iterdir())) != [".onnx"]
    assert_runs(make_session(path))


def test_a_model_with_external_data_needs_its_path(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(onnx.load_from_string(model()), path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelError, match="'B' has external data.*give the model's path"):
        make_session(onnx.load(path, load_external_data=False))


def test_a_model_beyond_protobufs_limit_goes_through_a_temporary_file(monkeypatch, tmp_path):
    monkeypatch.setattr("lba_onnx.session._MAX_PROTOBUF_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert_runs(make_session(onnx.load_from_string(model())))
    assert list(tmp_path.iterdir()) == []


def test_make_session_passes_options_providers_and_the_rest_on():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = make_session(model(), options, ["CPUExecutionProvider"], provider_options=[{}])
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.get_session_options().intra_op_num_threads == 1
    assert_runs(session)


@pytest.mark.parametrize("provider", ["NonsenseExecutionProvider", ("NonsenseExecutionProvider", {})])
def test_an_unknown_provider_is_refused_and_nothing_printed(provider, capfd):
    # onnxruntime itself prints to standard output, which broke --json, and goes on with the CPU.
    with pytest.raises(ValueError, match="providers out of .*CPUExecutionProvider.*, got 'NonsenseExecutionProvider'"):
        make_session(model(), providers=[provider])
    assert capfd.readouterr() == ("", "")


def test_a_provider_given_as_text_is_refused():
    with pytest.raises(ValueError, match="expected a list of execution providers"):
        make_session(model(), providers="CPUExecutionProvider")


def test_options_may_be_used_and_registered_again():
    options = onnxruntime.SessionOptions()
    register_custom_ops(options)
    register_custom_ops(options)
    for _ in range(2):
        assert_runs(make_session(model(), options))


def test_registered_options_serve_any_number_of_sessions_and_outlive_them():
    options = onnxruntime.SessionOptions()
    register_custom_ops(options)
    sessions = [onnxruntime.InferenceSession(model(), options) for _ in range(3)]
    del options
    for session in sessions:
        assert_runs(session)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.onnx: no such file"):
        make_session(tmp_path / "absent.onnx")


def test_a_truncated_model_is_a_model_error(tmp_path, capfd):
    path = tmp_path / "model.onnx"
    path.write_bytes(model()[:-7])
    with pytest.raises(ModelError, match="model.onnx: onnxruntime rejects it"):
        make_session(path)
    with pytest.raises(ModelError, match="^model: onnxruntime rejects it"):
        make_session(model()[:-7])
    assert capfd.readouterr().err == "", "onnxruntime logs what is raised already"


def test_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="expected a model as a path, bytes or a ModelProto, got int"):
        make_session(3)


def test_a_missing_library_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(LibraryError, match="expected the native library at .*pip install"):
        get_library_path()


def test_a_library_that_is_none_is_a_library_error(monkeypatch, tmp_path):
    library = tmp_path / native.LIBRARY_NAME
    library.write_bytes(b"no library")
    monkeypatch.setattr(native, "library_path", lambda: library)
    with pytest.raises(LibraryError, match="onnxruntime does not take"):
        register_custom_ops(onnxruntime.SessionOptions())


def test_the_library_exports_its_entry_points_and_nothing_else():
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", get_library_path()], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1].split("@")[0] for line in listing.stdout.splitlines() if " T " in line}
    own = {name for name in names if not name.startswith("_")}
    assert "RegisterCustomOps" in own
    assert all(name == "RegisterCustomOps" or name.startswith("lba_") for name in own), own


def test_a_model_with_a_float_function_body_runs_the_kernel_where_the_library_is_registered():
    function = helper.make_function(
        operators.DOMAIN, "LbaMatMul", ["A", "B"], ["Y"], [helper.make_node("MatMul", ["A", "B"], ["Y"])],
        [helper.make_opsetid("", 17)], attributes=list(SPEC.to_attributes()),
    )  # fmt: skip
    portable = onnx.load_from_string(model())
    portable.functions.append(function)
    assert_runs(make_session(portable))
    y = onnxruntime.InferenceSession(portable.SerializeToString()).run(None, {"A": OPERANDS["A"]})[0]
    np.testing.assert_allclose(y, OPERANDS["A"] @ OPERANDS["B"], rtol=1e-5)


_MEMORY_SCRIPT = """
import resource, sys
import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from lba_onnx.session import register_custom_ops
options = SessionOptions()
options.intra_op_num_threads = 1
register_custom_ops(options)
session = InferenceSession(sys.argv[1], options)
session.run(None, {"A": np.ones((1, 4096), np.float32)})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_sessions_memory_stays_within_the_float32_sessions_plus_twice_the_weights(tmp_path):
    weights = np.random.default_rng(0).standard_normal((4096, 8192)).astype(np.float32)  # 128 MiB
    kib = {}
    for op_type, domain, attributes in (("MatMul", "", {}), ("LbaMatMul", operators.DOMAIN, SPEC.to_attributes())):
        node = helper.make_node(op_type, ["A", "B"], ["Y"], domain=domain, **attributes)
        info = [helper.make_tensor_value_info(name, 1, None) for name in "AY"]
        graph = helper.make_graph([node], "g", info[:1], info[1:], [numpy_helper.from_array(weights, "B")])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(operators.DOMAIN, 1)]
        path = tmp_path / f"{op_type}.onnx"
        onnx.save_model(
            helper.make_model(graph, opset_imports=opsets, ir_version=8), path, save_as_external_data=True,
            location=f"{op_type}.data",
        )  # fmt: skip
        printed = subprocess.run([sys.executable, "-c", _MEMORY_SCRIPT, str(path)], capture_output=True, check=True)
        kib[op_type] = int(printed.stdout)
    assert kib["LbaMatMul"] <= kib["MatMul"] + 2 * weights.nbytes // 1024 + 64 * 1024, kib


def test_get_library_path_is_the_installed_librarys():
    assert Path(get_library_path()).name == native.LIBRARY_NAME
    assert get_library_path() == str(native.library_path())
