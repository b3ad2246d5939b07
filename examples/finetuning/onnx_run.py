"""Fine-tuned networks in onnxruntime: exported, and run on the same inputs."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from examples.finetuning.data import Split
from examples.finetuning.store import Row
from examples.finetuning.training import EVALUATION_BATCH, accuracy, predict
from lba_onnx import make_session
from lba_onnx.torch import check_export, export, lba_sites

INPUT = "x"
CHECKED_SAMPLES = 64  # of the comparison layer by layer


def measure(network: nn.Module, data: Split) -> Row:
    """Return the accuracy; of a converted network also that of its export, and how far both agree.

    "differing_values" counts values of LBA layers that PyTorch and onnxruntime compute otherwise from
    the same inputs. "differing_predictions" can come from what stands between these layers, such as normalisation.
    """
    predictions = predict(network, data)
    figures: Row = {"accuracy": accuracy(predictions, data)}
    if not lba_sites(network):
        return figures
    with tempfile.TemporaryDirectory() as folder:
        path = export_to(Path(folder), network, data.inputs)
        check = check_export(network, path, data.inputs[:CHECKED_SAMPLES])
        in_onnxruntime = predict_in_onnxruntime(path, data)
    return figures | {
        "accuracy_in_onnxruntime": accuracy(in_onnxruntime, data),
        "differing_predictions": int((predictions != in_onnxruntime).sum()),
        "differing_values": sum(layer.different_values for layer in check.layers),
    }


def export_to(folder: Path, network: nn.Module, inputs: Tensor) -> Path:
    """Export a converted network, for any number of samples in a batch; the input is called "x"."""
    path = folder / "network.onnx"
    network.eval()
    export(network, inputs[:2], path, dynamic_shapes=({0: torch.export.Dim("batch")},), input_names=[INPUT])
    return path


def predict_in_onnxruntime(model: Path | onnx.ModelProto, data: Split) -> Tensor:
    """Return the class with the largest logit of each sample, int64 [count]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = make_session(model, options)
    batches = (inputs.numpy() for inputs in data.inputs.split(EVALUATION_BATCH))
    return torch.cat([torch.from_numpy(session.run(None, {INPUT: batch})[0]).argmax(1) for batch in batches])
