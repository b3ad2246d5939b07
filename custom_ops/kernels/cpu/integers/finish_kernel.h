// What becomes of a row of a tile, and how codes are laid out: plain loops that compilers make vectors of. Include it
// only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_
#define LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_

#include <cstdint>
#include <cstring>

#include "kernels/cpu/integers/finish.h"
#include "kernels/cpu/integers/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

// sums + factor * lane_factors + lane_terms + term, modulo 2^32.
void Correct(const RowCorrection& c, uint32_t* sums) {
  const uint32_t factor = static_cast<uint32_t>(c.factor), term = static_cast<uint32_t>(c.term);
  if (c.lane_factors != nullptr) {
    for (int i = 0; i < kTileLanes; ++i) sums[i] += factor * static_cast<uint32_t>(c.lane_factors[i]);
  }
  if (c.lane_terms != nullptr) {
    for (int i = 0; i < kTileLanes; ++i) sums[i] += static_cast<uint32_t>(c.lane_terms[i]);
  }
  if (term != 0) {
    for (int i = 0; i < kTileLanes; ++i) sums[i] += term;
  }
}

// Adding this rounds to nearest even: values are far below 2^22.
constexpr float kRound = 12582912;

template <class Code>
void Quantize(const RowFinish& f, const float* values, Code* out) {
  const float least = f.least, most = f.most;
  for (int i = 0; i < kTileLanes; ++i) {
    const float above = values[i] > least ? values[i] : least;  // NaN becomes the least
    const float rounded = (above < most ? above : most) + kRound;
    int32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    out[i] = static_cast<Code>(bits - 0x4b400000 + f.zero_point);
  }
}

void FinishIntegerRow(const RowFinish& f, const int32_t* tile, void* out) {
  uint32_t sums[kTileLanes];
  for (int i = 0; i < kTileLanes; ++i) sums[i] = static_cast<uint32_t>(tile[i] >> f.scale_log2);
  Correct(f.before, sums);
  if (f.unused_bits != 0) {
    for (int i = 0; i < kTileLanes; ++i) {
      sums[i] = static_cast<uint32_t>(static_cast<int32_t>(sums[i] << f.unused_bits) >> f.unused_bits);
    }
  }
  Correct(f.behind, sums);
  if (f.output == IntegerOutput::kInt32) {
    std::memcpy(out, sums, sizeof sums);
    return;
  }
  if (f.output == IntegerOutput::kInt64) {
    for (int i = 0; i < kTileLanes; ++i) static_cast<int64_t*>(out)[i] = static_cast<int32_t>(sums[i]);
    return;
  }
  float values[kTileLanes];
  for (int i = 0; i < kTileLanes; ++i) values[i] = static_cast<float>(static_cast<int32_t>(sums[i]));
  if (f.lane_scales != nullptr) {
    for (int i = 0; i < kTileLanes; ++i) values[i] *= f.lane_scales[i];
  } else {
    for (int i = 0; i < kTileLanes; ++i) values[i] *= f.scale;
  }
  if (f.output == IntegerOutput::kUint8) return Quantize(f, values, static_cast<uint8_t*>(out));
  if (f.output == IntegerOutput::kInt8) return Quantize(f, values, static_cast<int8_t*>(out));
  if (f.lane_float_bias != nullptr) {
    for (int i = 0; i < kTileLanes; ++i) values[i] += f.lane_float_bias[i];
  } else if (f.has_float_bias) {
    for (int i = 0; i < kTileLanes; ++i) values[i] += f.float_bias;
  }
  std::memcpy(out, values, sizeof values);
}

// One element of all lanes from lines of kTileLanes codes each.
template <class Code>
void LayOutAs(const LaneLines& lines, CodeLayout layout, void* out) {
  if (layout == CodeLayout::kBytes) {
    uint8_t* bytes = static_cast<uint8_t*>(out);
    const uint8_t *a = lines.data[0], *b = lines.data[1], *c = lines.data[2], *d = lines.data[3];
    for (int i = 0; i < kTileLanes; ++i) {
      bytes[4 * i] = a[i] ^ lines.flip;
      bytes[4 * i + 1] = b[i] ^ lines.flip;
      bytes[4 * i + 2] = c[i] ^ lines.flip;
      bytes[4 * i + 3] = d[i] ^ lines.flip;
    }
    return;
  }
  int16_t* words = static_cast<int16_t*>(out);
  const auto code = [&](int line, int i) {
    return static_cast<int16_t>((static_cast<Code>(lines.data[line][i]) + lines.shift) << lines.scale_log2);
  };
  if (layout == CodeLayout::kWords) {
    for (int i = 0; i < kTileLanes; ++i) words[i] = code(0, i);
  } else if (layout == CodeLayout::kSingles) {
    for (int i = 0; i < kTileLanes; ++i) {
      words[2 * i] = code(0, i);
      words[2 * i + 1] = 0;
    }
  } else {
    for (int i = 0; i < kTileLanes; ++i) {
      words[2 * i] = code(0, i);
      words[2 * i + 1] = code(1, i);
    }
  }
}

void LayOutLanes(const LaneLines& lines, CodeLayout layout, void* out) {
  (lines.type == CodeType::kUint8 ? LayOutAs<uint8_t> : LayOutAs<int8_t>)(lines, layout, out);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_
