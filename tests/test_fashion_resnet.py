"""The committed residual network, the script that trains it, and its data out of a package of Debian."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models import zoo
from models.demo import fashion_mnist
from models.fashion_resnet import recipe
from models.fetch import FetchError, fetch_debian, get_cache_dir

TRAINED, TESTED = 300, 40


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    """The four IDX files of a few images of noise; pixel 0 of each tells its place."""
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", TRAINED), ("t10k", TESTED)):
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        pixels[:, 0, 0] = np.arange(count) % 256
        for kind, values in (("images-idx3", pixels), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))
    return folder


def test_committed_model_is_valid_and_has_the_documented_form():
    model = onnx.load(recipe.MODEL_PATH)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": ["batch", 1, 28, 28], "logits": ["batch", 10]}
    weights = [w for w in model.graph.initializer if w.name.endswith("weight")]
    assert len(weights) == 16 and sum(int(np.prod(w.dims)) for w in weights) == 286_480


def test_samples_that_calibrate_are_those_that_training_leaves_out(data_path, monkeypatch):
    monkeypatch.setattr(recipe, "find_data_path", lambda: data_path)
    loaded = zoo.load("fashion_resnet")
    seen = fashion_mnist.read_split(data_path, "train", recipe.TRAINING).images
    calibration, test = loaded.calibration["image"], loaded.test
    whole = fashion_mnist.read_split(data_path, "train").images
    np.testing.assert_array_equal(np.concatenate([seen, calibration]), whole)
    assert len(calibration) == 256
    np.testing.assert_array_equal(test["image"], fashion_mnist.read_split(data_path, "t10k").images)
    np.testing.assert_array_equal(test["label"], np.arange(TESTED) % 10)


@pytest.mark.torch
def test_script_trains_a_network_and_exports_what_it_computes(data_path, monkeypatch, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from models.demo.train import measure_top1
    from models.fashion_resnet import train

    networks = []

    def keep(network, data):
        networks.append(network)
        return measure_top1(network, data)

    monkeypatch.setattr("models.demo.train.BATCH", 16)
    monkeypatch.setattr(train, "measure_top1", keep)
    options = ["--data_path", str(data_path), "--output_path", str(tmp_path), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["train", *options])
    threads = torch.get_num_threads()
    train.main()
    torch.set_num_threads(threads)
    assert f"top-1 on the {TESTED} test images: 0." in capsys.readouterr().out
    images = fashion_mnist.read_split(data_path, "t10k").images
    session = onnxruntime.InferenceSession(tmp_path / "fashion_resnet.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    with torch.inference_mode():
        expected = networks[0](torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def served_package(tmp_path, monkeypatch) -> tuple[str, str, str]:
    """A package of one file, which an apt-get of its own on PATH downloads; with its version and sha256."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: none\nDescription: one file\n"
    )
    (source / "usr").mkdir()
    (source / "usr" / "told").write_text("by the package\n")
    archive = tmp_path / "tiny_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", source, archive], check=True, capture_output=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(
        f'#!/bin/sh\n[ "$*" = "download --quiet tiny=1.0" ] && cp {archive} . || {{ echo no $* >&2; exit 1; }}\n'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("LBA_ONNX_CACHE", str(tmp_path / "cache"))
    return "tiny", "1.0", hashlib.sha256(archive.read_bytes()).hexdigest()


def test_fetch_debian_unpacks_a_package_once(served_package, monkeypatch):
    folder = fetch_debian(*served_package)
    assert (folder / "usr" / "told").read_text() == "by the package\n"
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("downloaded again"))
    assert fetch_debian(*served_package) == folder


def test_fetch_debian_refuses_a_wrong_sha256(served_package):
    package, version, sha256 = served_package
    with pytest.raises(FetchError, match=f"tiny 1.0: expected the sha256 {'0' * 64}, got {sha256}"):
        fetch_debian(package, version, "0" * 64)
    assert not [path for path in get_cache_dir().rglob("*") if path.is_file()]


def test_fetch_debian_says_which_package_cannot_be_downloaded(served_package, monkeypatch):
    with pytest.raises(FetchError, match="(?s)package tiny: apt-get download --quiet tiny=2.0 failed:.*no download"):
        fetch_debian("tiny", "2.0", served_package[2])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FetchError, match="package tiny cannot be unpacked here: .*apt-get"):
        fetch_debian(*served_package)
