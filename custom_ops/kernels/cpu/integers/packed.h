// Codes laid out for the kernels of a plan, with what corrections need to know of them.
#ifndef LBA_KERNELS_CPU_INTEGERS_PACKED_H_
#define LBA_KERNELS_CPU_INTEGERS_PACKED_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/integers/chains.h"
#include "kernels/cpu/integers/plan.h"
#include "kernels/cpu/panel.h"
#include "lba/parallel.h"

namespace lba {

// Bytes that begin at a cache line, not initialized.
class Aligned {
 public:
  explicit Aligned(int64_t size = 0) : bytes_(new uint8_t[size + kAlignment]) {}
  uint8_t* data() const {
    return bytes_.get() + (kAlignment - reinterpret_cast<uintptr_t>(bytes_.get()) % kAlignment) % kAlignment;
  }

 private:
  static constexpr int64_t kAlignment = 64;
  std::unique_ptr<uint8_t[]> bytes_;
};

enum class Role { kX, kW };

// Vectors one after the other, as rows of tiles; rows of zeros fill up the last tile.
class PackedRows {
 public:
  PackedRows(const IntegerPlan& plan, Role role, const IntegerSums& sums, int64_t vectors, int64_t places);

  // Packs one vector of the source as row `row`.
  void Pack(const StridedChains& source, int64_t vector, int64_t row);

  const uint8_t* row(int64_t row) const { return data_.data() + row * stride_; }
  int64_t stride() const { return stride_; }
  int64_t sum(int64_t row) const { return sums_of_rows_[row]; }  // of the kernel's values

 private:
  const IntegerPlan& plan_;
  const Role role_;
  const IntegerSums& sums_;
  const int64_t stride_;
  Aligned data_;
  std::vector<int64_t> sums_of_rows_;
  Chain chain_;
};

// All vectors of a source as lanes of tiles, panel by panel.
class PackedLanes {
 public:
  PackedLanes(const IntegerPlan& plan, const IntegerSums& sums, const StridedChains& w, const Parallel& parallel);

  const uint8_t* panel(int64_t panel) const { return data_.data() + panel * panel_bytes_; }
  int64_t sum(int64_t vector) const { return sums_of_vectors_[vector]; }

 private:
  void PackPanel(const IntegerPlan& plan, const IntegerSums& sums, const StridedChains& w, int64_t panel);

  const int64_t panel_bytes_;
  Aligned data_;
  std::vector<int64_t> sums_of_vectors_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_PACKED_H_
