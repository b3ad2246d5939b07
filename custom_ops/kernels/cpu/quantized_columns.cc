#include "kernels/cpu/quantized_columns.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/path_kernels.h"

namespace lba {
namespace {

constexpr int kMinNormal = -126, kMaxNormal = 127;  // float32's exponents

int CodeAt(const uint8_t* codes, int64_t index, int bits) {
  const int64_t bit = index * bits;
  return codes[bit / 8] >> (bit % 8) & ((1 << bits) - 1);
}

// The code in the middle of all, which stands for zero where nothing is said.
int MiddleCode(int bits) { return 1 << (bits - 1); }

}  // namespace

QuantizedColumns::QuantizedColumns(const BlockQuantized& weights, const Parallel& parallel)
    : columns_(weights.columns),
      depth_(weights.depth),
      block_size_(weights.block_size),
      blocks_(weights.blocks()),
      bits_(weights.bits),
      subtracts_products_(weights.subtracts_products()),
      has_one_zero_point_(weights.zero_codes == nullptr && weights.zero_points == nullptr),
      codes_(static_cast<size_t>(panels() * depth_ * kCodeBytes * bits_)),
      scales_(static_cast<size_t>(panels() * blocks_ * kColumnPanel)),
      zero_points_(has_one_zero_point_ ? kColumnPanel : scales_.size(), static_cast<float>(MiddleCode(bits_))) {
  if (weights.block_of_depth != nullptr) {
    block_of_depth_.assign(weights.block_of_depth, weights.block_of_depth + depth_);
  }
  RunTasks(parallel, panels(), [&](int64_t panel) { LayOut(weights, panel); });
  ValueRange range;
  for (const float scale : scales_) {
    uint32_t bits;
    std::memcpy(&bits, &scale, sizeof bits);
    range.Merge({bits & 0x7fffffffu, ((bits & 0x7fffffffu) - 1) & 0x7fffffffu, bits, 0});
  }
  has_normal_scales_ = range.is_finite() && !range.has_subnormal();
  least_exponent_ = range.is_zero() ? 0 : range.min_exponent();
  largest_exponent_ = range.is_zero() ? 0 : range.max_exponent();
}

void QuantizedColumns::LayOut(const BlockQuantized& weights, int64_t panel) {
  const int64_t row_bytes = kCodeBytes * bits_;
  uint8_t* rows = codes_.data() + panel * depth_ * row_bytes;
  float* scales = scales_.data() + panel * blocks_ * kColumnPanel;
  float* zero_points = zero_points_.data() + (has_one_zero_point_ ? 0 : panel * blocks_ * kColumnPanel);
  for (int lane = 0; lane < kColumnPanel; ++lane) {
    const int64_t column = panel * kColumnPanel + lane;
    const int64_t byte = lane % row_bytes;
    const int shift = static_cast<int>(lane / row_bytes) * bits_;
    if (column >= columns_) {  // zeros: the code that stands for zero
      for (int64_t k = 0; k < depth_; ++k)
        rows[k * row_bytes + byte] |= static_cast<uint8_t>(MiddleCode(bits_) << shift);
      continue;
    }
    const uint8_t* codes = weights.codes + column * blocks_ * weights.block_bytes();
    for (int64_t k = 0; k < depth_; ++k) {
      rows[k * row_bytes + byte] |= static_cast<uint8_t>(CodeAt(codes, k, bits_) << shift);
    }
    for (int64_t block = 0; block < blocks_; ++block) {
      scales[block * kColumnPanel + lane] = weights.scales[column * blocks_ + block];
      if (weights.zero_points != nullptr) {
        zero_points[block * kColumnPanel + lane] = weights.zero_points[column * blocks_ + block];
      } else if (weights.zero_codes != nullptr) {
        const uint8_t* own = weights.zero_codes + column * weights.zero_bytes();
        zero_points[block * kColumnPanel + lane] = static_cast<float>(CodeAt(own, block, bits_));
      }
    }
  }
}

// A scale takes the power of two in place of the weights where that is exact: none of both is subnormal then, as a
// weight is zero or at least its scale.
WeightForm QuantizedColumns::FormOf(int power_log2) const {
  if (subtracts_products_) return WeightForm::kProducts;
  const bool is_exact =
      has_normal_scales_ && least_exponent_ + power_log2 >= kMinNormal && largest_exponent_ + power_log2 <= kMaxNormal;
  return is_exact ? WeightForm::kScaleTimesPower : WeightForm::kDifference;
}

void QuantizedColumns::Dequantize(CpuPath path, int64_t panel, int power_log2, float* out) const {
  CodePanel codes{};
  codes.codes = codes_.data() + panel * depth_ * kCodeBytes * bits_;
  codes.bits = bits_;
  codes.depth = depth_;
  codes.block_size = block_size_;
  codes.block_of_depth = block_of_depth_.empty() ? nullptr : block_of_depth_.data();
  codes.scales = scales_.data() + panel * blocks_ * kColumnPanel;
  codes.zero_points = zero_points_.data() + (has_one_zero_point_ ? 0 : panel * blocks_ * kColumnPanel);
  codes.zero_point_stride = has_one_zero_point_ ? 0 : kColumnPanel;
  const FpScope scope(FpMode::kNearest);
  PathKernelsOf(path).dequantize(codes, FormOf(power_log2), std::ldexp(1.0f, power_log2), out);
}

void QuantizedColumns::Pack(int64_t first, int count, int width, float* out) const {
  const CpuPath path = SelectedCpuPath();
  if (width == kColumnPanel && first % kColumnPanel == 0 && count == std::min(columns_ - first, int64_t{width})) {
    return Dequantize(path, first / kColumnPanel, 0, out);
  }
  if (count < width) std::fill(out, out + depth_ * width, 0.0f);
  AlignedFloats panel(depth_ * kColumnPanel);
  for (int done = 0; done < count;) {
    const int64_t column = first + done;
    const int lane = static_cast<int>(column % kColumnPanel);
    const int taken = std::min(kColumnPanel - lane, count - done);
    Dequantize(path, column / kColumnPanel, 0, panel.data());
    for (int64_t k = 0; k < depth_; ++k) {
      std::copy_n(panel.data() + k * kColumnPanel + lane, taken, out + k * width + done);
    }
    done += taken;
  }
}

QuantizedPanels::QuantizedPanels(const Planner& planner, const QuantizedColumns& columns, const Parallel& parallel)
    : FixedPanels(planner, kColumnPanel, columns.vectors()), columns_(columns), path_(planner.path()) {
  const ScalePanelKernel scale_panel = PathKernelsOf(path_).scale_panel;
  std::vector<ValueRange> ranges(static_cast<size_t>(panels()));
  RunTasks(parallel, panels(), [&](int64_t panel) {
    AlignedFloats values(columns.depth() * kColumnPanel);
    columns.Dequantize(path_, panel, 0, values.data());
    const FpScope scope(FpMode::kTowardZero);
    ranges[static_cast<size_t>(panel)] =
        scale_panel(values.data(), columns.depth(), kColumnPanel, planner.chunk(), 1.0f);
  });
  SetRanges(planner, ranges);
}

const float* QuantizedPanels::Open(int64_t panel, AlignedFloats* memory) const {
  if (memory->size() == 0) *memory = AlignedFloats(columns_.depth() * kColumnPanel);
  columns_.Dequantize(path_, panel, scale_log2(), memory->data());
  return memory->data();
}

}  // namespace lba
