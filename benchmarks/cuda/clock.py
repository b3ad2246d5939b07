"""Times work on a CUDA device with the driver's events, and asks for the clock of the multiprocessors meanwhile.

Both come with the driver (libcuda, libnvidia-ml), so that no framework is needed to time.
"""

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

_CLOCK_RATE_ATTRIBUTE = 13  # CU_DEVICE_ATTRIBUTE_CLOCK_RATE, in kHz
_SM_CLOCK = 1  # NVML_CLOCK_SM
_EVENT_NOT_READY = 600  # CUDA_ERROR_NOT_READY
_BUS_ID_BYTES = 32


class Timer(Protocol):
    """Runs functions that queue work on the default stream.

    Attributes:
        name: What the seconds come from.
    """

    name: str

    def run(self, function: Callable[[], object], count: int) -> tuple[float, float | None]:
        """Seconds of `count` calls, and the clock of the multiprocessors meanwhile in MHz, where it can be had."""

    def largest_clock_mhz(self) -> float | None:
        """The clock that the device can reach."""


@dataclass(frozen=True)
class Timing:
    """Measurements of one function.

    Attributes:
        seconds: Per call, one entry per round.
        clock_mhz: Median clock of the multiprocessors while it ran; None where it cannot be had.
    """

    seconds: tuple[float, ...]
    clock_mhz: float | None

    @property
    def median(self) -> float:
        return median(self.seconds)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Samples of each function; the functions take turns.
        sample_seconds: A sample repeats its function for at least about so long.
    """

    rounds: int = 7
    sample_seconds: float = 0.05


def measure(timer: Timer, functions: Sequence[Callable[[], object]], effort: Effort) -> list[Timing]:
    """Timings of functions that take turns."""
    repeats = [_find_repeats(timer, function, effort.sample_seconds) for function in functions]
    samples: list[list[tuple[float, float | None]]] = [[] for _ in functions]
    for _ in range(effort.rounds):
        for function, count, own in zip(functions, repeats, samples, strict=True):
            seconds, clock = timer.run(function, count)
            own.append((seconds / count, clock))
    return [_timing(own) for own in samples]


def ratio(numerator: Timing, denominator: Timing) -> float:
    """Median of the ratios of each round: both sides of a round met the same state of the machine."""
    return median(a / b for a, b in zip(numerator.seconds, denominator.seconds, strict=True))


def _find_repeats(timer: Timer, function: Callable[[], object], sample_seconds: float) -> int:
    timer.run(function, 1)
    return max(1, round(sample_seconds / max(timer.run(function, 1)[0], 1e-6)))


def _timing(samples: Sequence[tuple[float, float | None]]) -> Timing:
    clocks = [clock for _, clock in samples if clock is not None]
    return Timing(tuple(seconds for seconds, _ in samples), median(clocks) if clocks else None)


class DriverError(RuntimeError):
    """A call of the driver's or of its management library failed."""


class HostTimer:
    """The processor's clock around work that is waited for: where there are no events."""

    name = "the host's clock"

    def __init__(self, synchronize: Callable[[], object]) -> None:
        self._synchronize = synchronize

    def run(self, function: Callable[[], object], count: int) -> tuple[float, float | None]:
        """As Timer says."""
        self._synchronize()
        start = time.perf_counter()
        for _ in range(count):
            function()
        self._synchronize()
        return time.perf_counter() - start, None

    def largest_clock_mhz(self) -> float | None:
        """Unknown."""
        return None


class EventTimer:
    """Events of the driver on the default stream of the calling thread's current context.

    Raises:
        DriverError: There is no driver, or no context; a call of the runtime makes one.
    """

    name = "CUDA events"

    def __init__(self) -> None:
        self._driver = _open("libcuda.so.1")
        self._device = ctypes.c_int()
        self._check("cuCtxGetDevice", ctypes.byref(self._device))
        self._start, self._end = (self._make_event() for _ in range(2))
        self._clock = _make_clock(self._bus_id())

    def run(self, function: Callable[[], object], count: int) -> tuple[float, float | None]:
        """As Timer says. The clock is read while the queued work runs."""
        self._check("cuEventRecord", self._start, None)
        for _ in range(count):
            function()
        self._check("cuEventRecord", self._end, None)
        clocks = []
        while self._driver.cuEventQuery(self._end) == _EVENT_NOT_READY and self._clock is not None:
            clocks.append(self._clock())
        self._check("cuEventSynchronize", self._end)
        elapsed_ms = ctypes.c_float()
        self._check("cuEventElapsedTime", ctypes.byref(elapsed_ms), self._start, self._end)
        return elapsed_ms.value / 1e3, median(clocks) if clocks else None

    def largest_clock_mhz(self) -> float | None:
        """The attribute of the device."""
        khz = ctypes.c_int()
        self._check("cuDeviceGetAttribute", ctypes.byref(khz), _CLOCK_RATE_ATTRIBUTE, self._device)
        return khz.value / 1e3 or None

    def _make_event(self) -> ctypes.c_void_p:
        event = ctypes.c_void_p()
        self._check("cuEventCreate", ctypes.byref(event), 0)
        return event

    def _bus_id(self) -> bytes:
        text = ctypes.create_string_buffer(_BUS_ID_BYTES)
        self._check("cuDeviceGetPCIBusId", text, _BUS_ID_BYTES, self._device)
        return text.value

    def _check(self, name: str, *arguments: Any) -> None:
        _check(getattr(self._driver, name)(*arguments), name)


def _make_clock(bus_id: bytes) -> Callable[[], float] | None:
    """A function that reads the multiprocessors' clock in MHz; None where the management library does not tell."""
    try:
        library, handle = _open("libnvidia-ml.so.1"), ctypes.c_void_p()
        _check(library.nvmlInit_v2(), "nvmlInit_v2")
        _check(library.nvmlDeviceGetHandleByPciBusId_v2(bus_id, ctypes.byref(handle)), "nvmlDeviceGetHandleByPciBusId")

        def read() -> float:
            mhz = ctypes.c_uint()
            _check(library.nvmlDeviceGetClockInfo(handle, _SM_CLOCK, ctypes.byref(mhz)), "nvmlDeviceGetClockInfo")
            return float(mhz.value)

        read()
    except DriverError:
        return None
    return read


def _open(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise DriverError(f"{name} does not load: {error}") from error


def _check(code: int, name: str) -> None:
    if code:
        raise DriverError(f"{name} returned {code}")
