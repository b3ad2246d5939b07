"""Perplexity: the figures are those of the logits, computed at once; data that do not tell it are refused."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from language_models import SIZE, VOCABULARY, decoder, token_ids
from small_models import matmul_model

from lba_onnx import Samples, compare, convert_with_data, evaluate, make_session
from lba_onnx.cli import main
from lba_onnx.data.batches import read_batches
from lba_onnx.data.hooks import load_function
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation import Judge
from lba_onnx.evaluation.class_outputs import ClassOutputs
from lba_onnx.evaluation.condition import Condition
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.intervals import mean_interval, student_quantile
from lba_onnx.evaluation.perplexity import TokenLosses, TokenSums
from lba_onnx.sweeping.figures_json import figures_from_json, figures_to_json

BATCH, TOKENS = 6, 9
IDS = token_ids(BATCH, TOKENS)
LEFT = np.array([0, 1, 4, 0, 2, 0])  # tokens that fill up each sequence at its beginning
MASK = (np.arange(TOKENS) >= LEFT[:, np.newaxis]).astype(np.int64)


def feeds(ids: np.ndarray = IDS, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    mask = np.ones_like(ids) if mask is None else mask
    cache = np.zeros((len(ids), 1, 0, SIZE), np.float32)
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values.0.key": cache}


def losses(made: onnx.ModelProto, given: dict[str, np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return losses [samples, tokens - 1] in float64 and which of them count."""
    logits = make_session(made).run(["logits"], given)[0][:, :-1].astype(np.float64)
    mask, targets = given["attention_mask"] == 1, labels[:, 1:]
    counts = mask[:, 1:] & mask[:, :-1] & (targets != -100)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = -np.log(np.take_along_axis(shares, np.maximum(targets, 0)[..., np.newaxis], -1)[..., 0])
    return np.where(counts, found, 0), counts


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("case", ["ids alone", "mask", "labels", "labels and mask"])
def test_the_perplexity_is_that_of_the_logits(case, batch_size):
    mask = MASK if "mask" in case else None
    labels = np.where(np.arange(TOKENS) % 4 == 3, -100, IDS[::-1]) if "labels" in case else IDS
    given = {"input_ids": IDS} if case == "ids alone" else feeds(IDS, mask)
    data = Samples(given, labels if "labels" in case else None, batch_size=batch_size)
    result = evaluate(decoder(), data, metric="perplexity")
    found, counts = losses(decoder(), feeds(IDS, mask), labels)
    assert result.metric_name == "perplexity"
    assert (result.metric.samples, result.metric.tokens) == (BATCH, counts.sum())
    assert result.metric.mean == pytest.approx(np.exp(found.sum() / counts.sum()), rel=1e-12)
    residuals = found.sum(axis=1) - found.sum() / counts.sum() * counts.sum(axis=1)
    width = student_quantile(BATCH - 1) * residuals.std(ddof=1) / counts.sum(axis=1).mean() / BATCH**0.5
    assert np.log(result.metric.interval) == pytest.approx(np.log(result.metric.mean) + np.array([-width, width]))
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["metric"]["tokens"] == counts.sum()


def test_sequences_of_one_length_have_the_interval_of_a_mean():
    per_sequence = np.random.default_rng(0).uniform(1, 4, 7)
    sums = TokenSums()
    sums.update(per_sequence * 8, np.full(7, 8))
    expected = mean_interval(per_sequence.mean(), per_sequence.var(ddof=1), 7)
    assert sums.interval == pytest.approx(expected, rel=1e-12)


def test_what_the_ids_tell_is_filled_in(tmp_path):
    np.savez(tmp_path / "ids.npz", input_ids=IDS)
    np.savez(tmp_path / "mask.npz", input_ids=IDS, attention_mask=MASK)
    np.savez(tmp_path / "all.npz", **feeds())
    session = make_session(decoder())
    inputs = describe_inputs(session)

    def read(data):
        (batch,) = read_batches(Samples(data), inputs)
        return batch.feeds

    filled = (("ids.npz", feeds()), ("all.npz", feeds()), ("mask.npz", feeds(IDS, MASK)))
    for given, expected in [*((tmp_path / name, value) for name, value in filled), ([{"input_ids": IDS}], feeds())]:
        found = read(given)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
            np.testing.assert_array_equal(found[name], value)


def test_a_cache_that_data_hold_is_read_and_goes_before_the_tokens():
    head, tail = IDS[:, :4], IDS[:, 4:]
    _, cache = make_session(decoder()).run(None, feeds(head))
    data = feeds(tail, np.ones_like(IDS)) | {"past_key_values.0.key": cache}
    data["position_ids"] = np.broadcast_to(np.arange(4, TOKENS), tail.shape)
    found, _ = losses(decoder(), feeds(), IDS)
    result = evaluate(decoder(), data, metric="perplexity")
    assert result.metric.mean == pytest.approx(np.exp(found[:, 4:].mean()), rel=1e-6)


def test_a_comparison_tells_by_how_much_the_perplexity_is_higher():
    result = compare(decoder(), decoder(seed=1), {"input_ids": IDS}, metric="perplexity")
    reference, candidate = (evaluate(decoder(seed=s), {"input_ids": IDS}, metric="perplexity").metric for s in (0, 1))
    assert (result.reference.metric, result.candidate.metric) == (reference, candidate)
    change = result.metric_difference
    assert change.percent == pytest.approx(100 * (candidate.mean / reference.mean - 1))
    assert change.interval[0] < change.percent < change.interval[1]
    same = compare(decoder(), decoder(), {"input_ids": IDS}, metric="perplexity").metric_difference
    assert (same.percent, same.interval, same.is_significant) == (0, None, False)


def test_parts_merge_into_the_whole_and_survive_a_journal():
    metric, session, other = load_function("perplexity"), make_session(decoder()), make_session(decoder(seed=1))
    whole, parts = ComparisonFigures("perplexity"), ComparisonFigures("perplexity")
    for batch in read_batches(Samples({"input_ids": IDS}, batch_size=2), describe_inputs(session)):
        outputs = [
            dict(zip(("logits", "present.0.key"), s.run(None, batch.feeds), strict=True)) for s in (session, other)
        ]
        part = ComparisonFigures("perplexity")
        for figures in (whole, part):
            figures.update(batch, *outputs, ClassOutputs(), metric)
        parts.merge(figures_from_json(json.loads(json.dumps(figures_to_json(part)))))
    assert parts.result().to_json() == whole.result().to_json()
    assert whole.result().metric_difference is not None


def test_a_judge_scores_by_the_log_likelihood():
    batches = list(read_batches(Samples({"input_ids": IDS}), describe_inputs(make_session(decoder()))))
    judge = Judge(decoder(), batches, metric="perplexity")
    assert judge.unit == "log-likelihood of a token"
    expected = evaluate(decoder(seed=1), {"input_ids": IDS}, metric="perplexity").metric.mean
    assert judge.score(decoder(seed=1)) == pytest.approx(-np.log(expected), rel=1e-12)


def test_conditions_on_perplexity_are_upper_limits():
    result = compare(decoder(), decoder(seed=1), {"input_ids": IDS}, metric="perplexity")
    change, perplexity = result.metric_difference.percent, result.candidate.metric.mean
    for figure, value in (("perplexity", perplexity), ("perplexity_change", change)):
        condition = Condition.parse(f"{figure}<=5")
        assert condition.value(result) == value
        assert [condition.holds(v) for v in (4.0, 5.0, 5.1, np.nan)] == [True, True, False, False]
    with pytest.raises(DataError, match="metric>=1: expected a metric of your own"):
        Condition.parse("metric>=1").value(result)
    with pytest.raises(DataError, match="perplexity<=1: expected the metric perplexity"):
        Condition.parse("perplexity<=1").value(compare(decoder(), decoder(), {"input_ids": IDS}))


def test_a_sequence_of_one_token_counts_none():
    result = evaluate(decoder(), {"input_ids": IDS[:, :1]}, metric="perplexity")
    assert result.metric is None


def test_logits_that_are_no_numbers_give_none():
    made = decoder()
    made.graph.initializer[2].CopyFrom(
        onnx.numpy_helper.from_array(np.full((SIZE, VOCABULARY), np.nan, np.float32), "head")
    )
    value = evaluate(made, {"input_ids": IDS}, metric="perplexity").to_json()["metric"]
    assert (value["mean"], value["interval"]) == (None, None)


NARROW_CACHE = {"input_ids": IDS, "past_key_values.0.key": np.zeros((BATCH, 1, 0, 3), np.float32)}
ONE_UNKNOWN = IDS.copy()
ONE_UNKNOWN[4, 2] = 40


@pytest.mark.parametrize(
    ("made", "data", "labels", "message"),
    [
        (decoder(), {"input_ids": IDS}, IDS[:, 0], r"expected labels \[6, 9\], one per token, got \[6\]"),
        (decoder(), {"input_ids": IDS}, IDS[:, 1:], r"expected labels \[6, 9\], one per token, got \[6, 8\]"),
        (decoder(), {"input_ids": IDS}, ONE_UNKNOWN, r"sample 4: .*token ids of 0 to 10, got 40 at place 2"),
        (decoder(), NARROW_CACHE, None, r"expected past_key_values.0.key: float32 \[\?, 1, \?, 4\], got float32"),
        (decoder("size"), {"input_ids": IDS}, None, r"how large past_key_values.0.key: float32 .* zero tokens"),
        (decoder(), {"ids": IDS}, None, "expected the inputs 'input_ids', "),
    ],
)
def test_what_does_not_tell_a_perplexity_is_refused(made, data, labels, message):
    with pytest.raises(DataError, match=message):
        evaluate(made, Samples(data, labels), metric="perplexity")


@pytest.mark.parametrize("form", ["proto", "path"])
def test_a_head_size_that_the_cache_leaves_open_is_that_of_the_attention(tmp_path, form):
    ids, cache = ["batch", "tokens"], ["batch", 2, "past", "size"]
    floats, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    names = ("past_key_values.0.key", "past_key_values.0.value")
    past = [onnx.helper.make_tensor_value_info(name, floats, cache) for name in names]
    nodes = [
        onnx.helper.make_node("Gather", ["table", "input_ids"], ["x"], "embed"),
        onnx.helper.make_node(
            *("MultiHeadAttention", ["x", "x", "x", "", "", "", *names], ["y", "present.0.key", "present.0.value"]),
            domain="com.microsoft",
            num_heads=2,
        ),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "attention",
        [onnx.helper.make_tensor_value_info("input_ids", whole, ids), *past],
        [onnx.helper.make_tensor_value_info("y", floats, [*ids, 6])],
        [onnx.numpy_helper.from_array(np.ones((VOCABULARY, 6), np.float32), "table")],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    made = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(made, tmp_path / "model.onnx")
    session = make_session(made if form == "proto" else tmp_path / "model.onnx")
    (batch,) = read_batches(Samples({"input_ids": IDS}), describe_inputs(session))
    assert batch.feeds["past_key_values.0.value"].shape == (BATCH, 2, 0, 3)


def test_a_model_that_takes_no_token_ids_is_refused():
    with pytest.raises(DataError, match=r"expected token ids input_ids \[samples, tokens\], got none"):
        evaluate(matmul_model(np.eye(3, dtype=np.float32)), np.ones((2, 3), np.float32), metric="perplexity")


def test_outputs_without_logits_are_refused():
    made = decoder()
    del made.graph.output[0]
    with pytest.raises(ModelError, match=r"expected an output of logits \[6, 9, 'vocabulary'\], got present.0.key"):
        evaluate(made, {"input_ids": IDS}, metric="perplexity")


def test_labels_of_tokens_are_no_classes():
    with pytest.raises(DataError, match=r"expected integer labels \[samples\], got \[6, 9\]; labels of tokens"):
        evaluate(decoder(), Samples({"input_ids": IDS}, IDS))


def test_a_conversion_tells_the_perplexity():
    data = Samples({"input_ids": token_ids(40, TOKENS)}, batch_size=8)
    report = convert_with_data(decoder(), data, "M22E7b63", metric="perplexity")
    assert "; perplexity " in str(report.verdict)
    assert " %, " in str(report.verdict) or " %)" in str(report.closeness)


def test_the_command_line_shows_it(tmp_path):
    onnx.save(decoder(), tmp_path / "model.onnx")
    onnx.save(decoder(seed=1), tmp_path / "other.onnx")
    np.savez(tmp_path / "ids.npz", input_ids=IDS)
    common = ["--data_path", str(tmp_path / "ids.npz"), "--metric", "perplexity"]
    result = CliRunner().invoke(main, ["evaluate", "-i", str(tmp_path / "model.onnx"), *common])
    assert result.exit_code == 0, result.output
    assert "perplexity of 48 tokens; its intervals are over sequences" in result.output
    pair = ["-r", str(tmp_path / "model.onnx"), "-i", str(tmp_path / "other.onnx")]
    result = CliRunner().invoke(main, ["compare", *pair, *common])
    assert result.exit_code == 0, result.output
    assert " %" in result.output.split("perplexity")[1].splitlines()[0]


def test_losses_do_not_overflow():
    class Fed:
        feeds, labels, samples, origin = {"input_ids": np.array([[0, 1]])}, None, 1, "feed"

    logits = np.array([[[900.0, -900.0], [0.0, 0.0]]], np.float32)
    assert TokenLosses.of(Fed(), {"logits": logits}).losses[0] == 1800
