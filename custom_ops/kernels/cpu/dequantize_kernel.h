// Weights from codes. Include it only from files that are compiled for one instruction set. A Codes<bits> brings
//   V, kVectors          a vector of floats, and how many of them make kColumnPanel
//   Load(row, vectors)   the codes of a row, as floats
#ifndef LBA_KERNELS_CPU_DEQUANTIZE_KERNEL_H_
#define LBA_KERNELS_CPU_DEQUANTIZE_KERNEL_H_

#include <cstring>

#include "kernels/cpu/dequantize.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Eight values at a time, whatever the instruction set: the compiler lowers these types to what it has.
template <int kBits>
struct EightCodes {
  typedef float V __attribute__((vector_size(32)));
  typedef int32_t Integers __attribute__((vector_size(32)));
  typedef uint8_t Bytes __attribute__((vector_size(8)));
  static constexpr int kVectors = kColumnPanel / 8;

  static void Load(const uint8_t* row, V (&vectors)[kVectors]) {
    constexpr int kLoads = kBits / 2;  // of eight bytes
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Bytes bytes;
      std::memcpy(&bytes, row + v % kLoads * 8, sizeof bytes);
      const Integers codes = __builtin_convertvector(bytes, Integers) >> (v / kLoads * kBits);
      vectors[v] = __builtin_convertvector(codes & ((1 << kBits) - 1), V);
    }
  }
};

template <class Codes, WeightForm kForm>
void DequantizePanel(const CodePanel& panel, int64_t row_bytes, float power, float* out) {
  using V = typename Codes::V;
  constexpr int kVectors = Codes::kVectors;
  int64_t end = 0;
  for (int64_t begin = 0; begin < panel.depth; begin = end) {
    end = panel.block_end(begin);
    V scales[kVectors], zero_points[kVectors], codes[kVectors];
    std::memcpy(scales, panel.scales + panel.block(begin) * kColumnPanel, sizeof scales);
    std::memcpy(zero_points, panel.zero_points + panel.block(begin) * panel.zero_point_stride, sizeof zero_points);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kForm == WeightForm::kProducts) zero_points[v] *= scales[v];
      if constexpr (kForm == WeightForm::kScaleTimesPower) scales[v] *= power;
    }
    for (int64_t k = begin; k < end; ++k) {
      Codes::Load(panel.codes + k * row_bytes, codes);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        V weights = kForm == WeightForm::kProducts ? codes[v] * scales[v] - zero_points[v]
                                                   : (codes[v] - zero_points[v]) * scales[v];
        if constexpr (kForm != WeightForm::kScaleTimesPower) weights *= power;
        std::memcpy(out + k * kColumnPanel + v * (kColumnPanel / kVectors), &weights, sizeof weights);
      }
    }
  }
}

template <class Codes>
void DequantizeAs(const CodePanel& panel, WeightForm form, float power, float* out) {
  const int64_t row_bytes = kCodeBytes * panel.bits;
  if (form == WeightForm::kProducts) {
    DequantizePanel<Codes, WeightForm::kProducts>(panel, row_bytes, power, out);
  } else if (form == WeightForm::kScaleTimesPower) {
    DequantizePanel<Codes, WeightForm::kScaleTimesPower>(panel, row_bytes, power, out);
  } else {
    DequantizePanel<Codes, WeightForm::kDifference>(panel, row_bytes, power, out);
  }
}

template <template <int> class Codes>
void Dequantize(const CodePanel& panel, WeightForm form, float power, float* out) {
  if (panel.bits == 2) {
    DequantizeAs<Codes<2>>(panel, form, power, out);
  } else if (panel.bits == 4) {
    DequantizeAs<Codes<4>>(panel, form, power, out);
  } else {
    DequantizeAs<Codes<8>>(panel, form, power, out);
  }
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEQUANTIZE_KERNEL_H_
