import copy
import itertools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lba_onnx.estimators import ESTIMATORS  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    DualStage,
    Float8InputQuantizer,
    Float8Quantizer,
    LbaConfig,
    quantize_,
    quantize_float8_,
)

pytestmark = pytest.mark.torch

DEMO = Path(__file__).parents[1] / "models" / "demo" / "fashion_test_1000.npz"
LEARNING_RATE = 2e-3


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These layers are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    """800 images to train on and 200 to measure the loss with, of Fashion-MNIST."""
    with np.load(DEMO) as arrays:
        return torch.from_numpy(arrays["image"]), torch.from_numpy(arrays["label"])


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(12 * 36, 10),
    )  # fmt: skip


def seeded(make):
    torch.manual_seed(0)
    return make()


def loss(model, data):
    images, labels = data
    model.eval()
    with torch.no_grad():
        return float(functional.cross_entropy(model(images[800:]), labels[800:]))


def train(model, data, steps, stages=None):
    """Train for some steps, in two stages if need be, and return the loss afterwards."""
    images, labels = data
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = None if stages is None else DualStage(model, optimizer, stages)
    order = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        batch = torch.randint(0, 800, (50,), generator=order)
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return loss(model, data)


@pytest.fixture(scope="module")
def pretrained(data):
    models = {make: seeded(make) for make in (mlp, cnn)}
    for model in models.values():
        train(model, data, 10)
    return models


@pytest.mark.parametrize("stages", [None, (15, 5)], ids=["one-stage", "dual-stage"])
@pytest.mark.parametrize("spec", ["M7E4b9/M7E4b7", "M4E3b7/M4E3b5"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("make", [mlp, cnn])
def test_twenty_steps_lower_the_loss(data, pretrained, make, estimator, spec, stages):
    model = copy.deepcopy(pretrained[make])
    quantize_(model, LbaConfig(spec, estimator))
    before = loss(model, data)
    assert train(model, data, 20, stages) < before


def test_from_scratch_the_second_stage_keeps_what_the_first_has_learned(data):
    """With underflow from the start, nearly all gradients of the last layer are gated and little is learned."""
    losses = []
    for stages in ((0, 60), (45, 15)):
        model = seeded(mlp)
        quantize_(model, LbaConfig("M4E3b7/M4E3b5", "immediate_difference"))
        losses.append(train(model, data, 60, stages))
    one_stage, dual_stage = losses
    assert one_stage > 2.0
    assert dual_stage < 1.6


def test_estimators_of_overflow_learn_where_sums_saturate(data):
    model = seeded(mlp)
    train(model, data, 20)
    losses = []
    for estimator in ("identity", "immediate_overflow", "recursive_overflow"):
        converted = copy.deepcopy(model)
        quantize_(converted, LbaConfig("M4E3b9/M4E3b8", estimator))
        losses.append(train(converted, data, 20))
    assert all(worse - better > 0.02 for worse, better in itertools.pairwise(losses))


@pytest.mark.parametrize("make", [mlp, cnn])
def test_float8_operands_train_with_a_float32_and_with_a_12_bit_accumulator(data, pretrained, make):
    baseline = copy.deepcopy(pretrained[make])
    quantize_float8_(baseline)
    untrained = loss(pretrained[make], data)
    in_float32 = train(baseline, data, 20)
    model = copy.deepcopy(pretrained[make])
    quantize_(
        model,
        LbaConfig("M7E4b10/M7E4b8", weight_quantizer=Float8Quantizer, input_quantizer=Float8InputQuantizer),
    )
    model.load_state_dict(baseline.state_dict())
    converted = loss(model, data)
    assert in_float32 < untrained
    assert converted != in_float32
    assert train(model, data, 20) < converted
