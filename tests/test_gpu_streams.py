"""Calls on several streams and from several threads at once, and what lies in memory before, change no bit."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import gpu_device
import numpy as np
import pytest
from gpu_cases import DRAWS, MatMulCase, first_difference

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.native.cuda import matmul_host

pytestmark = gpu_device.marks()
STREAMS = gpu_device.scaled(8, 2)
ROUNDS = gpu_device.scaled(10, 2)
MOST_MULTIPLIES = gpu_device.scaled(1 << 24, 1 << 13)


def draw_cases(count: int) -> list:
    kinds = [*DRAWS.values()]
    return [kinds[i % len(kinds)](np.random.default_rng(i), np.float32, MOST_MULTIPLIES) for i in range(count)]


def test_several_streams_at_once_have_the_bits_of_one() -> None:
    cases = draw_cases(3 * STREAMS)
    with ExitStack() as stack:
        streams = stack.enter_context(gpu_device.made_streams(STREAMS))
        calls = [stack.enter_context(case.on_device(packs=i % 2 == 0)) for i, case in enumerate(cases)]
        for _ in range(ROUNDS):
            for i, call in enumerate(calls):
                call.queue(streams[i % STREAMS])
        for i, (call, case) in enumerate(zip(calls, cases, strict=True)):
            difference = first_difference(call.read(streams[i % STREAMS]), case.expected())
            assert difference is None, f"case {i}, {case.what}, {case.spec}: {difference}"


def test_shared_weights_on_several_streams() -> None:
    rng = np.random.default_rng(5)
    rows, depth, columns = gpu_device.scaled(700, 33), gpu_device.scaled(512, 40), gpu_device.scaled(600, 65)
    b, spec = rng.standard_normal((depth, columns), np.float32), AccumulatorSpec.parse("M7E4b10")
    cases = [MatMulCase("shared", spec, rng.standard_normal((rows, depth), np.float32), b) for _ in range(STREAMS)]
    with ExitStack() as stack:
        streams = stack.enter_context(gpu_device.made_streams(STREAMS))
        calls = [stack.enter_context(case.on_device(packs=False)) for case in cases]
        first = stack.enter_context(cases[0].on_device(packs=True))
        for call, stream in zip(calls, streams, strict=True):
            call.weights = first.weights
            call.queue(stream)
        results = [call.read(stream) for call, stream in zip(calls, streams, strict=True)]
        for call in calls:
            call.weights = None  # released once, by the one that packed them
    for case, result in zip(cases, results, strict=True):
        assert first_difference(result, case.expected()) is None


def test_calls_of_several_threads_through_the_host() -> None:
    rng = np.random.default_rng(6)
    size, spec = gpu_device.scaled(300, 33), AccumulatorSpec.parse("M7E4b10")
    cases = [MatMulCase("", spec, *rng.standard_normal((2, size + i, size + i), np.float32)) for i in range(8)]

    def compute(case: MatMulCase) -> list[np.ndarray]:
        return [matmul_host(case.a, case.b, spec) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(4) as pool:
        for case, results in zip(cases, pool.map(compute, cases), strict=True):
            assert [first_difference(result, case.expected()) for result in results] == [None] * ROUNDS


@pytest.mark.parametrize("kind", DRAWS)
def test_poison_in_result_and_workspace_never_shows(kind: str) -> None:
    for seed in range(gpu_device.scaled(50, 4)):
        case = DRAWS[kind](np.random.default_rng(seed), np.float32, MOST_MULTIPLIES)
        with case.on_device(packs=seed % 2 == 0) as on_device:
            first = on_device.compute()
            on_device.poison()
            second = on_device.compute()
        assert first_difference(second, case.expected()) is None, f"seed {seed}, {case.what}"
        assert first.tobytes() == second.tobytes(), f"seed {seed}, {case.what}"


def test_nothing_is_written_beside_the_result_and_the_workspace() -> None:
    for seed in range(gpu_device.scaled(60, 6)):
        case = [*DRAWS.values()][seed % len(DRAWS)](np.random.default_rng(seed), np.float32, MOST_MULTIPLIES)
        with case.on_device(packs=False) as on_device:
            on_device.compute()
            assert on_device.is_guard_intact(), f"seed {seed}, {case.what}"
