"""x86-u8s8 against the instructions themselves: vpmaddubsw, vpmaddwd and vpaddd of this machine."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_headers import compile_with

from lba_onnx import reference

PROCESSORS = Path("/proc/cpuinfo")
SOURCE = r"""
#include <immintrin.h>
#include <cstdint>
#include <cstdio>
#include <vector>
// Reads depth, rows; then codes of x and w, row by row. Writes a dot product a row.
int main() {
  int32_t depth = 0, rows = 0;
  if (std::fread(&depth, 4, 1, stdin) != 1 || std::fread(&rows, 4, 1, stdin) != 1) return 1;
  const size_t padded = (static_cast<size_t>(depth) + 31) / 32 * 32;
  std::vector<uint8_t> x(padded);
  std::vector<int8_t> w(padded);
  for (int32_t row = 0; row < rows; ++row) {
    if (std::fread(x.data(), 1, depth, stdin) != static_cast<size_t>(depth)) return 1;
    if (std::fread(w.data(), 1, depth, stdin) != static_cast<size_t>(depth)) return 1;
    __m256i sum = _mm256_setzero_si256();
    for (size_t k = 0; k < padded; k += 32) {
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(&x[k])),
                                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&w[k])));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    alignas(32) int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum);
    int32_t total = 0;
    for (const int32_t lane : lanes) total += lane;
    std::printf("%d\n", total);
  }
}
"""


@pytest.mark.skipif(
    not PROCESSORS.exists() or " avx2 " not in PROCESSORS.read_text(), reason="the processor has no AVX2"
)
def test_pairs_saturate_as_the_instructions_do(tmp_path):
    compile_with(SOURCE, tmp_path / "pairs", "-mavx2", "-x", "c++")
    rng, rows = np.random.default_rng(8), 60
    for depth in (1, 2, 3, 7, 32, 33, 130):
        x = rng.choice([0, 1, 128, 254, 255], (rows, depth)).astype(np.uint8)
        w = rng.choice([-128, -127, -1, 0, 64, 126, 127], (rows, depth)).astype(np.int8)
        x[::2], w[::2] = rng.integers(0, 256, x[::2].shape), rng.integers(-128, 128, w[::2].shape)
        codes = b"".join(a.tobytes() + b.tobytes() for a, b in zip(x, w, strict=True))
        given = np.array([depth, rows], np.int32).tobytes() + codes
        told = subprocess.run([tmp_path / "pairs"], input=given, capture_output=True, check=True).stdout.split()
        ours = [reference.matmul(a, b, "x86-u8s8").item() for a, b in zip(x, w, strict=True)]
        assert ours == list(map(int, told))
        signed = (x - 128).view(np.int8)
        moved = [reference.matmul(a, b, "x86-u8s8", a_zero_point=-128).item() for a, b in zip(signed, w, strict=True)]
        assert moved == ours, "int8 codes go in with their first bit flipped"
