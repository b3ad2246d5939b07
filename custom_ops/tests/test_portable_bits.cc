// Ten million fused multiply-adds on every path, by a hash that is the same on every processor and with every compiler.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/accumulator.h"
#include "lba/matmul.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

constexpr int64_t kRows = 100, kColumns = 100, kDepth = 1000;

// Of 2^-9 to 2^6, so that products and sums overflow, underflow, cancel and are swamped. By integers alone: the
// distributions of the standard library differ.
std::vector<float> Draw(std::mt19937& random, int64_t count) {
  std::vector<float> values(count);
  for (float& value : values) {
    const uint32_t bits = static_cast<uint32_t>(random());
    const float magnitude = 1.0f + static_cast<float>(bits >> 9) / (1 << 23);
    value = std::ldexp(bits % 2 == 0 ? magnitude : -magnitude, static_cast<int>(bits / 2 % 16) - 9);
  }
  return values;
}

// FNV-1a of the values' bits.
uint64_t HashOf(const std::vector<float>& values) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 0x100000001b3;
  }
  return hash;
}

uint64_t HashOfProduct(const std::string& text) {
  std::mt19937 random(1);
  const std::vector<float> a = Draw(random, kRows * kDepth), b = Draw(random, kDepth * kColumns);
  MatMulShape shape;
  shape.rows = kRows, shape.columns = kColumns, shape.depth = kDepth;
  shape.a_row_stride = kDepth, shape.a_depth_stride = 1;
  shape.b_depth_stride = kColumns, shape.b_column_stride = 1;
  shape.a_offsets = shape.b_offsets = {0};
  std::vector<float> y(kRows * kColumns);
  MatMul(*ParseAccumulator(text), shape, a.data(), b.data(), nullptr, y.data(), ThreadParallel(2), nullptr);
  return HashOf(y);
}

struct Expected {
  const char* text;
  uint64_t hash;
};

constexpr Expected kExpected[] = {
    {"M7E4b10", 0xadb8cc731977f065},
    {"M7E4b12/M7E4b10,round=nearest", 0x2749ab2c63b4f065},
    {"M10E5b15,chunk=none", 0x5900e922392bd065},
};

}  // namespace
}  // namespace lba

int main() {
  using namespace lba;
  ForEachPath([](CpuPath path) {
    for (const Expected& expected : kExpected) {
      const uint64_t hash = HashOfProduct(expected.text);
      CHECK(hash == expected.hash, "%s on %s: expected 0x%016llx, got 0x%016llx", expected.text, CpuPathName(path),
            static_cast<unsigned long long>(expected.hash), static_cast<unsigned long long>(hash));
    }
  });
}
