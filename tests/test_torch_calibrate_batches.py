"""Forms of batches, metrics that get them, and data that are refused."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch_batches import batches_of, mlp, vectors  # noqa: E402
from torch_models import seeded  # noqa: E402

from lba_onnx.errors import DataError  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    Batches,
    calibrate,
    quantize_,
)
from lba_onnx.torch.calibration.structure import put_together, take_apart  # noqa: E402

pytestmark = pytest.mark.torch


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(20, 5)

    def forward(self, a, b=None):
        return {"logits": self.fc(a if b is None else a + b), "note": "text"}


def test_every_form_of_batch_gives_the_same():
    data, labels = vectors(), torch.arange(32) % 5
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data, labels), batch_size=8)
    forms = {
        "tensors": batches_of(data),
        "generator": (batch for batch in batches_of(data)),
        "tuples of one": [(batch,) for batch in batches_of(data)],
        "labelled": batches_of(data, labels),
        "lists": [list(pair) for pair in batches_of(data, labels)],
        "loader": loader,
        "arrays": [batch.numpy() for batch in batches_of(data)],
        "dictionaries": [{"a": x, "labels": y} for x, y in batches_of(data, labels)],
        "several inputs": [((x, None), y) for x, y in batches_of(data, labels)],
    }
    model = seeded(TwoInputs)
    results = {name: calibrate(model, batches, method="mse") for name, batches in forms.items()}
    results["forward"] = calibrate(model, Batches(batches_of(data, labels), forward=lambda m, b: m(b[0])), method="mse")
    expected = results.pop("tensors")
    for name, result in results.items():
        assert (name, result.nodes, result.verdict) == (name, expected.nodes, expected.verdict)
    hashes = {results[name].data_sha256 for name in ("labelled", "loader", "arrays", "generator")}
    assert hashes == {expected.data_sha256}


def test_all_inputs_reach_the_model():
    a, b = vectors(), vectors(seed=1)
    expected = calibrate(seeded(TwoInputs), batches_of(a + b)).specs
    assert calibrate(seeded(TwoInputs), [((x, y), 0) for x, y in batches_of(a, b)]).specs == expected
    assert calibrate(seeded(TwoInputs), [{"b": y, "a": x} for x, y in batches_of(a, b)]).specs == expected


def test_samples_behind_the_limit_do_not_count():
    data = vectors()
    limited = calibrate(mlp(), Batches(batches_of(data), max_samples=11))
    expected = calibrate(mlp(), [data[:8], data[8:11]])
    assert (limited.samples, limited.nodes, limited.data_sha256) == (11, expected.nodes, expected.data_sha256)


def test_empty_batches_do_not_count():
    data = vectors()
    assert calibrate(mlp(), [data[:0], data, data[:0]]).nodes == calibrate(mlp(), [data]).nodes


def test_metric_gets_outputs_and_batches_and_decides():
    data, labels = vectors(40), torch.arange(40)
    seen = []

    def smallest(outputs, batch):
        assert torch.equal(batch[0], data[batch[1]])
        seen.extend(batch[1].tolist())
        return -outputs["logits"].abs().amax(1)

    model = seeded(TwoInputs)
    result = calibrate(model, batches_of(data, labels), "M4E3", "zero_shot", metric=smallest)
    assert result.verdict.unit.endswith("smallest") and set(seen) == set(range(40))
    converted = copy.deepcopy(model)
    quantize_(converted, result.specs)
    with torch.no_grad():
        found, largest = (m(data)["logits"].abs().amax(1).mean() for m in (converted, model))
    assert -found.item() == pytest.approx(result.verdict.scores["zero_shot"], rel=1e-6)
    assert found < largest / 2


def test_metric_of_dictionaries_gets_their_labels():
    data, labels = vectors(), torch.arange(32) % 5
    batches = [{"a": x, "labels": y} for x, y in batches_of(data, labels)]

    def right(outputs, batch):
        assert set(batch) == {"a", "labels"}
        return outputs["logits"].argmax(1) == batch["labels"]

    result = calibrate(seeded(TwoInputs), batches, "M4E3", "mse", metric=right)
    assert all(0 <= score <= 1 for score in result.verdict.scores.values())


def test_model_that_writes_to_its_input_sees_the_data_as_they_are():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            return self.body(x.mul_(0.5))

    data = vectors(40)
    before = data.clone()
    result = calibrate(InPlace(), batches_of(data), "M4E3", "zero_shot")
    assert torch.equal(data, before)
    expected = calibrate(mlp(), batches_of(data / 2), "M4E3", "zero_shot")
    assert list(result.specs.values()) == list(expected.specs.values()) and result.verdict == expected.verdict


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([], "expected at least one sample, got none"),
        ([vectors(0)], "expected at least one sample, got none"),
        (
            [vectors(), vectors() * np.nan],
            "batch 1, sample 0 .32 of all.: expected finite numbers as input, got nan at .0.",
        ),
        (vectors(), "expected a DataLoader or an iterable of batches such as \\[batch\\], got Tensor"),
        ({"a": vectors()}, "expected a DataLoader or an iterable of batches such as \\[batch\\], got dict"),
        (None, "got NoneType"),
        ([(vectors(), vectors(), vectors())], "batch 0: expected a tensor, \\(input,\\), .* got a tuple of 3"),
        ([object()], "batch 0: expected tensors, numbers or strings in tuples, lists or dictionaries, got object"),
        ([{"labels": vectors()}], "batch 0: expected a tensor, .* got no tensor"),
        ([vectors(), {"x": vectors()}], "batch 1: expected the inputs 'input', got 'x'"),
        ([vectors(), torch.arange(20)[None]], "batch 1: expected input: float32, got int64 \\[1, 20\\]"),
        ([vectors(4, 7)], "batch 0: the model does not run on these data: .*20"),
        ([vectors().double()], "batch 0: the model does not run on these data: .*float64"),
    ],
)
def test_bad_data_are_refused(loader, message):
    with pytest.raises(DataError, match=message):
        calibrate(mlp(), loader)


def test_labels_of_another_form_need_forward_with_a_metric():
    batches = [(vectors(), {"boxes": vectors(), "classes": vectors()})]
    assert calibrate(mlp(), batches).samples == 32
    with pytest.raises(DataError, match="batch 0: labels: expected labels as one tensor .* got dict"):
        calibrate(mlp(), batches, method="mse", metric=lambda outputs, batch: torch.zeros(len(batch[0])))
    with pytest.raises(DataError, match="batch 0: expected a label per sample, got \\[3\\] for 32 samples"):
        calibrate(mlp(), [(vectors(), torch.arange(3))], metric=lambda outputs, batch: None)


def test_structure_survives_being_taken_apart():
    value = {
        "half": torch.tensor([1.5, 2], dtype=torch.bfloat16),
        "nested": (torch.arange(3), [None, {"texts": ["a", "bc"]}]),
        "lengths": (1, 2),
        "flag": True,
        "name": "x",
    }
    arrays = {}
    form = take_apart(value, "", arrays)
    assert sorted(arrays) == ["flag", "half", "lengths", "name", "nested.0", "nested.1.1.texts"]
    restored = put_together(form, arrays)
    assert torch.equal(restored["half"], value["half"]) and restored["half"].dtype == torch.bfloat16
    assert torch.equal(restored["nested"][0], torch.arange(3)) and isinstance(restored["nested"], tuple)
    assert restored["nested"][1] == [None, {"texts": ["a", "bc"]}]
    assert restored["lengths"] == (1, 2) and restored["flag"] is True and restored["name"] == "x"


def test_batches_of_text_are_cut_by_sample():
    vocabulary = {f"word{i}": i for i in range(40)}
    table = vectors(40)
    texts = list(vocabulary)
    batches = [{"text": texts[i : i + 8]} for i in range(0, 40, 8)]

    def forward(model, batch):
        return model(table[[vocabulary[text] for text in batch["text"]]])

    result = calibrate(mlp(), Batches(batches, forward=forward), "M4E3", "mse")
    expected = calibrate(mlp(), batches_of(table), "M4E3", "mse")
    assert (result.nodes, result.verdict) == (expected.nodes, expected.verdict)
