"""Samples from files, folders, readers and loaders, cut into what a model takes."""

import zipfile

import numpy as np
import pytest
from onnx import numpy_helper

from lba_onnx import Samples
from lba_onnx.data.arrays import open_npy, open_npz, read_rows, read_whole
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError

FREE = (ModelInput("x", "float32", (None, 3)),)
FIXED = (ModelInput("x", "float32", (4, 3)),)
TWO = (ModelInput("x", "float32", (None, 3)), ModelInput("mask", "int64", (None,)))


def samples(count: int, *shape: int) -> np.ndarray:
    return np.arange(count * int(np.prod(shape or (3,))), dtype=np.float32).reshape(count, *(shape or (3,)))


def joined(batches, name: str = "x") -> np.ndarray:
    return np.concatenate([batch.feeds[name][: batch.samples] for batch in batches])


class Reader:
    """A calibration data reader as onnxruntime's users write them."""

    def __init__(self, feeds):
        self.feeds = feeds
        self.rewind()

    def get_next(self):
        return next(self.iterator, None)

    def rewind(self):
        self.iterator = iter(self.feeds)


def test_npz_is_cut_into_batches_in_order(tmp_path):
    x = samples(10)
    np.savez_compressed(tmp_path / "data.npz", x=x, label=np.arange(10))
    batches = list(read_batches(Samples(tmp_path / "data.npz", batch_size=4), FREE))
    assert [batch.samples for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(joined(batches), x)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), np.arange(10))


def test_npz_labels_plural_and_a_column_are_accepted():
    batches = list(read_batches(Samples({"x": samples(5), "labels": np.arange(5)[:, np.newaxis]}), FREE))
    np.testing.assert_array_equal(batches[0].labels, np.arange(5))


def test_label_that_is_an_input_stays_an_input():
    inputs = (*FREE, ModelInput("label", "int64", (None,)))
    (batch,) = read_batches(Samples({"x": samples(5), "label": np.arange(5)}), inputs)
    assert batch.labels is None and set(batch.feeds) == {"x", "label"}


def test_fixed_batch_is_filled_up_with_the_last_sample():
    x = samples(6)
    batches = list(read_batches(Samples({"x": x}), FIXED))
    assert [(batch.samples, batch.rows, len(batch.feeds["x"])) for batch in batches] == [(4, 4, 4), (2, 4, 4)]
    np.testing.assert_array_equal(joined(batches), x)
    np.testing.assert_array_equal(batches[1].feeds["x"][2:], x[[5, 5]])


def test_one_axis_more_than_the_input_feeds_entry_by_entry():
    x = samples(2, 4, 3)
    batches = list(
        read_batches(Samples({"x": x, "scale": np.float32(2)}), (*FIXED, ModelInput("scale", "float32", None)))
    )
    assert [(batch.samples, batch.rows) for batch in batches] == [(1, None), (1, None)]
    np.testing.assert_array_equal(batches[1].feeds["x"], x[1])
    assert batches[0].feeds["scale"] == 2


def test_fixed_input_beside_a_free_one_is_the_same_in_every_feed():
    inputs = (*FREE, ModelInput("state", "float32", (2, 8)))
    state = samples(2, 8)
    batches = list(read_batches(Samples({"x": samples(5), "state": state}, batch_size=3), inputs))
    assert [batch.samples for batch in batches] == [3, 2]
    for batch in batches:
        np.testing.assert_array_equal(batch.feeds["state"], state)


def test_npy_feeds_the_only_input(tmp_path):
    np.save(tmp_path / "data.npy", np.asfortranarray(samples(5)))
    np.testing.assert_array_equal(joined(read_batches(Samples(tmp_path / "data.npy", batch_size=2), FREE)), samples(5))
    with pytest.raises(DataError, match="expected arrays for the inputs x, mask"):
        list(read_batches(Samples(tmp_path / "data.npy"), TWO))


def test_folder_of_npz_is_read_file_after_file(tmp_path):
    for index in range(3):
        np.savez(tmp_path / f"part{index}.npz", x=samples(2) + index)
    expected = np.concatenate([samples(2) + index for index in range(3)])
    np.testing.assert_array_equal(joined(read_batches(Samples(tmp_path), FREE)), expected)


def test_folder_of_test_data_sets_is_read_in_numeric_order(tmp_path):
    for index in (0, 2, 10):
        folder = tmp_path / f"test_data_set_{index}"
        folder.mkdir()
        for position, array in enumerate([samples(2) + index, np.array([index, 0], np.int64)]):
            (folder / f"input_{position}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())
        (folder / "output_0.pb").write_bytes(b"not read")
    batches = list(read_batches(Samples(tmp_path), TWO))
    assert [int(batch.feeds["mask"][0]) for batch in batches] == [0, 2, 10]
    (alone,) = read_batches(Samples(tmp_path / "test_data_set_2"), TWO)
    assert alone.feeds["mask"][0] == 2


@pytest.mark.parametrize("form", ["reader", "list", "generator"])
def test_feeds_come_as_they_are(form):
    feeds = [{"x": samples(2)}, {"x": samples(7)}]
    data = {"reader": Reader(feeds), "list": feeds, "generator": (feed for feed in feeds)}[form]
    assert [batch.samples for batch in read_batches(Samples(data, batch_size=1), FREE)] == [2, 7]


def test_reader_is_rewound():
    reader = Reader([{"x": samples(2)}])
    for _ in range(2):
        assert len(list(read_batches(Samples(reader), FREE))) == 1


def test_feed_larger_than_a_fixed_batch_is_cut():
    assert [batch.samples for batch in read_batches(Samples([{"x": samples(8)}]), FIXED)] == [4, 4]


@pytest.mark.torch
@pytest.mark.parametrize("with_labels", [False, True])
def test_torch_data_loader_gives_inputs_then_labels(with_labels):
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(samples(5)).requires_grad_(), torch.arange(5)]
    dataset = torch.utils.data.TensorDataset(*tensors[: 1 + with_labels])
    batches = list(read_batches(Samples(torch.utils.data.DataLoader(dataset, batch_size=2)), FREE))
    np.testing.assert_array_equal(joined(batches), samples(5))
    if with_labels:
        np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), np.arange(5))


@pytest.mark.parametrize("inputs", [FREE, FIXED], ids=["free", "fixed"])
def test_max_samples_stops_exactly_there(inputs):
    data = {"x": samples(10), "label": np.arange(10)}
    batches = list(read_batches(Samples(data, batch_size=4, max_samples=6), inputs))
    np.testing.assert_array_equal(joined(batches), samples(6))
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), np.arange(6))


def test_preprocess_makes_the_inputs_from_other_arrays():
    pixels = np.arange(30, dtype=np.uint8).reshape(10, 3)
    data = {"pixels": pixels, "label": np.arange(10)}
    batches = list(
        read_batches(
            Samples(
                data,
                batch_size=4,
                preprocess=lambda raw: {"x": raw["pixels"].astype(np.float32) / 255},
            ),
            FREE,
        )
    )
    np.testing.assert_array_equal(joined(batches), pixels.astype(np.float32) / 255)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), np.arange(10))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": samples(5)}, "expected the inputs 'x', got 'y'"),
        ({"x": samples(5), "extra": samples(5)}, "got 'x', 'extra'"),
        ({"x": samples(5).astype(np.float64)}, r"expected x: float32 \[\?, 3\], got float64 \[5, 3\]"),
        ({"x": samples(5, 4)}, r"expected x: float32 \[\?, 3\], got float32 \[5, 4\]"),
        ({"x": samples(5), "label": np.arange(4)}, "label"),
        ({"x": samples(5), "label": np.arange(6)}, "expected 5 labels, one per sample, got 6"),
        ({"x": samples(5), "label": np.ones(5)}, "expected integer labels"),
        ({"x": samples(0)}, "expected at least one sample"),
        ([], "expected at least one sample"),
        ([samples(2)[:, :2]], r"feed 0: expected x: float32 \[\?, 3\]"),
        ([(samples(2), np.arange(2), np.arange(2))], "expected 1 values"),
        (7, "expected data as an .npz or .npy file"),
        (b"bytes", "got bytes"),
        ("/no/such/file.npz", "no such file"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        list(read_batches(Samples(data), FREE))


def test_a_file_without_samples_is_named(tmp_path):
    np.savez(tmp_path / "none.npz", x=samples(0))
    with pytest.raises(DataError, match=r"none\.npz: expected at least one sample, got none$"):
        list(read_batches(Samples(tmp_path / "none.npz"), FREE))


def test_inputs_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="as many entries along the first axis for every input, got mask 4, x 5"):
        list(read_batches(Samples({"x": samples(5), "mask": np.arange(4)}), TWO))


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"max_samples": 0}])
def test_counts_below_one_are_refused(setting):
    with pytest.raises(ValueError, match="of at least 1"):
        Samples({"x": samples(5)}, **setting)


@pytest.mark.parametrize("name", ["batch_size", "max_samples"])
@pytest.mark.parametrize("value", [1.5, True, "2", np.float32(2)])
def test_counts_that_are_no_integers_are_refused(name, value):
    with pytest.raises(TypeError, match=f"expected {name} to be an integer, got"):
        Samples({"x": samples(5)}, **{name: value})


@pytest.mark.parametrize("name", ["batch_size", "max_samples"])
@pytest.mark.parametrize("value", [2**70, np.int64(7)])
def test_counts_may_be_large_and_numpys(tmp_path, name, value):
    np.save(tmp_path / "x.npy", samples(5))
    for data in ({"x": samples(5)}, tmp_path / "x.npy"):
        assert sum(batch.samples for batch in read_batches(Samples(data, **{name: value}), FREE)) == 5


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="pickled"):
            list(read_batches(Samples(tmp_path / name), FREE))


def test_truncated_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", samples(100))
    np.savez(tmp_path / "a.npz", x=samples(100))
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for kept in (0, 3, 60, len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:kept])
            with pytest.raises(DataError, match=name):
                list(read_batches(Samples(tmp_path / name), FREE))


def test_damaged_member_is_refused_when_it_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=samples(100))
    content = bytearray(path.read_bytes())
    content[700] ^= 1  # a value in the middle: the archive's checksum finds it
    path.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        list(read_batches(Samples(path), FREE))


def test_header_that_promises_too_much_is_refused_at_once(tmp_path):
    path = tmp_path / "a.npz"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1000000000000), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header + text.ljust(117).encode() + b"\n" + bytes(64))
    with pytest.raises(DataError, match="expected 4000000000128 bytes"):
        list(read_batches(Samples(path), FREE))


def test_folder_without_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="got neither"):
        list(read_batches(Samples(tmp_path), FREE))


def test_broken_tensor_file_is_refused(tmp_path):
    (tmp_path / "input_0.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(DataError, match=r"input_0\.pb: cannot be read as a tensor"):
        list(read_batches(Samples(tmp_path), FREE))


def test_tensor_file_with_external_data_is_refused(tmp_path):
    tensor = numpy_helper.from_array(samples(2))
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "input_0.pb").write_bytes(tensor.SerializeToString())
    with pytest.raises(DataError, match="another file"):
        list(read_batches(Samples(tmp_path), FREE))


def test_stored_arrays_are_read_a_piece_at_a_time(tmp_path):
    np.savez(tmp_path / "a.npz", a=samples(7), scalar=np.float32(3), empty=np.zeros((0, 3), np.float32))
    stored = open_npz(tmp_path / "a.npz")
    assert [len(piece) for piece in read_rows(stored["a"], 3)] == [3, 3, 1]
    assert read_whole(stored["scalar"]) == 3
    assert read_whole(stored["empty"]).shape == (0, 3)
    np.save(tmp_path / "a.npy", samples(7))
    np.testing.assert_array_equal(read_whole(open_npy(tmp_path / "a.npy")), samples(7))
