"""C++ programs: the project under examples/cpp against the installed library, and the runner in a bundle."""

import shutil

import numpy as np
import pytest
from consumer_models import BATCHES, ROOT, expected, onnxruntime_headers, onnxruntime_library, run, write_model

import lba_onnx
from lba_onnx.shipping import SampleInputs, bundle

pytestmark = [pytest.mark.consumer, pytest.mark.slow]


@pytest.fixture(scope="module")
def tools():
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    found = f"-DONNXRUNTIME_INCLUDE={onnxruntime_headers()}", f"-DONNXRUNTIME_LIBRARY={onnxruntime_library()}"
    return (*found, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """What `cmake --install --component development` puts down, out of the folder where pip has built the package."""
    folder = tmp_path_factory.mktemp("prefix")
    builds = sorted(ROOT.glob("build/*/custom_ops/lba_onnxConfigVersion.cmake"))
    if not builds:
        pytest.skip("no build of the package under build/")
    run("cmake", "--install", builds[0].parent.parent, "--component", "development", "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def project(prefix, tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    run("cmake", "-S", ROOT / "examples/cpp", "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}", *tools)
    run("cmake", "--build", folder)
    return folder


def test_headers_and_library_are_all_that_is_installed(prefix):
    files = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    assert {"include/lba/c_api.h", "lib/liblba_ops.so", "lib/cmake/lba_onnx/lba_onnxConfig.cmake"} <= files
    assert all(name.startswith(("include/lba/", "lib/cmake/", "lib/liblba_ops.so")) for name in files)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_converted_model_gives_pythons_bits(project, model_path, batch):
    x, y = expected(model_path, batch)
    assert run(project / "infer", model_path, *x.shape, input=x.tobytes()).stdout == y.tobytes()


def test_a_product_without_onnxruntime_gives_pythons_bits(project):
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((5, 37), (37, 7)))
    given = a.tobytes() + b.tobytes()
    done = run(project / "product", "M5E4b10,chunk=8", 5, 37, 7, input=given)
    assert done.stdout == lba_onnx.matmul(a, b, "M5E4b10,chunk=8").tobytes()
    with pytest.raises(AssertionError, match="error: "):
        run(project / "product", "M5", 5, 37, 7, input=given)


def test_the_runner_of_a_bundle_compares_bits(model_path, tools, tmp_path):
    manifest = bundle(model_path, tmp_path / "bundle", SampleInputs(input_shapes={"x": (8, 1, 8, 8)}))
    run("cmake", "-S", tmp_path / "bundle", "-B", tmp_path / "build", *tools)
    run("cmake", "--build", tmp_path / "build")
    [library] = manifest.libraries.values()
    arguments = [tmp_path / "bundle" / part for part in (manifest.model, library, "samples/0")]
    assert run(tmp_path / "build/run", *arguments).stdout == b"equal bits\n"
    golden = tmp_path / "bundle/samples/0/output_0.npy"
    np.save(golden, -np.load(golden))
    with pytest.raises(AssertionError, match="output 0 has other bits"):
        run(tmp_path / "build/run", *arguments)
