#include "kernels/cpu/integers/packed.h"

#include <algorithm>
#include <cstring>

namespace lba {
namespace {

int32_t KernelShift(const IntegerPlan& plan, Role role, const IntegerSums& sums, CodeType type, int32_t zero_point) {
  return (role == Role::kX ? KernelXShift : KernelWShift)(sums, plan, type, zero_point);
}

// Codes of one vector in elements that are `step` bytes apart from each other.
void LayOut(CodeLayout layout, const int16_t* values, int64_t places, int scale_log2, int64_t step, uint8_t* out) {
  const int in_element = CodesIn(layout);
  for (int64_t place = 0; place < places; ++place) {
    uint8_t* element = out + place / in_element * step;
    if (layout == CodeLayout::kBytes) {
      element[place % 4] = static_cast<uint8_t>(values[place]);
    } else {
      const int16_t scaled = static_cast<int16_t>(values[place] * (1 << scale_log2));
      std::memcpy(element + place % in_element * 2, &scaled, sizeof scaled);
    }
  }
}

// The same of elements side by side.
void LayOutRow(CodeLayout layout, const int16_t* values, int64_t places, int scale_log2, uint8_t* out) {
  if (layout == CodeLayout::kBytes) {
    for (int64_t i = 0; i < places; ++i) out[i] = static_cast<uint8_t>(values[i]);
  } else if (layout == CodeLayout::kSingles) {
    LayOut(layout, values, places, scale_log2, BytesIn(layout), out);
  } else {
    std::memcpy(out, values, places * sizeof *values);  // nothing is scaled but singles
  }
}

// Codes of x side by side become bytes, whose sum is returned.
int64_t CopyBytes(const uint8_t* codes, int64_t count, uint8_t flip, uint8_t* out) {
  int64_t total = 0;
  constexpr int64_t kBlock = 1 << 16;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    uint32_t sum = 0;
    for (int64_t i = begin; i < std::min(begin + kBlock, count); ++i) {
      out[i] = codes[i] ^ flip;
      sum += out[i];
    }
    total += sum;
  }
  return total;
}

int ScaleOf(const IntegerPlan& plan, Role role) { return role == Role::kX ? plan.x_scale_log2 : plan.w_scale_log2; }

}  // namespace

PackedRows::PackedRows(const IntegerPlan& plan, Role role, const IntegerSums& sums, int64_t vectors, int64_t places)
    : plan_(plan),
      role_(role),
      sums_(sums),
      stride_(plan.Elements(places) * BytesIn(plan.layout())),
      data_(CeilDiv(vectors, kTileRows) * kTileRows * stride_),
      sums_of_rows_(vectors) {
  std::memset(data_.data(), 0, CeilDiv(vectors, kTileRows) * kTileRows * stride_);
}

void PackedRows::Pack(const StridedChains& source, int64_t vector, int64_t row) {
  const int32_t shift = KernelShift(plan_, role_, sums_, source.type(), source.zero_point(vector));
  const uint8_t* run = source.RunOf(vector);
  if (role_ == Role::kX && plan_.has_bytes() && run != nullptr) {  // int8 codes are moved by 128
    const uint8_t flip = source.type() == CodeType::kInt8 ? 0x80 : 0;
    sums_of_rows_[row] = CopyBytes(run, source.places(), flip, data_.data() + row * stride_);
    return;
  }
  source.LoadShifted(vector, shift, &chain_);
  LayOutRow(plan_.layout(), chain_.values.data(), source.places(), ScaleOf(plan_, role_), data_.data() + row * stride_);
  sums_of_rows_[row] = chain_.sum;
}

PackedLanes::PackedLanes(const IntegerPlan& plan, const IntegerSums& sums, const StridedChains& w,
                         const Parallel& parallel)
    : panel_bytes_(plan.Elements(w.places()) * BytesIn(plan.layout()) * kTileLanes),
      data_(CeilDiv(w.vectors(), kTileLanes) * panel_bytes_),
      sums_of_vectors_(w.vectors()) {
  RunTasks(parallel, CeilDiv(w.vectors(), kTileLanes), [&](int64_t panel) { PackPanel(plan, sums, w, panel); });
}

void PackedLanes::PackPanel(const IntegerPlan& plan, const IntegerSums& sums, const StridedChains& w, int64_t panel) {
  uint8_t* out = data_.data() + panel * panel_bytes_;
  std::memset(out, 0, panel_bytes_);
  const int64_t first = panel * kTileLanes, count = std::min<int64_t>(w.vectors() - first, kTileLanes);
  Chain chain;
  for (int64_t lane = 0; lane < count; ++lane) {
    const int32_t shift = KernelShift(plan, Role::kW, sums, w.type(), w.zero_point(first + lane));
    w.LoadShifted(first + lane, shift, &chain);
    LayOut(plan.layout(), chain.values.data(), w.places(), plan.w_scale_log2, kTileLanes * BytesIn(plan.layout()),
           out + lane * BytesIn(plan.layout()));
    sums_of_vectors_[first + lane] = chain.sum;
  }
}

}  // namespace lba
