// The vectors of codes that an integer product multiplies, element by element in the order in which it sums.
#ifndef LBA_KERNELS_CPU_INTEGERS_CHAINS_H_
#define LBA_KERNELS_CPU_INTEGERS_CHAINS_H_

#include <cstdint>
#include <vector>

#include "common/integer_sums.h"
#include "lba/conv.h"
#include "lba/integer_product.h"

namespace lba {

inline int32_t CodeAt(const void* data, CodeType type, int64_t index) {
  return type == CodeType::kUint8 ? static_cast<const uint8_t*>(data)[index] : static_cast<const int8_t*>(data)[index];
}

inline const uint8_t* Bytes(const void* data) { return static_cast<const uint8_t*>(data); }

inline int32_t ZeroPointOf(const Codes& codes, int64_t vector) {
  if (codes.zero_points == nullptr) return 0;
  return codes.zero_points[codes.has_many_zero_points ? vector : 0];
}

// A vector as it is accumulated.
struct Chain {
  std::vector<int16_t> values;
  int64_t sum = 0;
  int64_t offset = 0;  // of the values from codes less zero points
};

// One side of a product.
class ChainSource {
 public:
  virtual ~ChainSource() = default;
  virtual int64_t vectors() const = 0;
  virtual void Load(int64_t vector, Chain* chain) const = 0;
};

// Vectors in memory: code at place p of vector v is at offsets[p] + v * stride; none, a zero, where offsets[p] is -1.
class StridedChains : public ChainSource {
 public:
  StridedChains(const void* data, const std::vector<int64_t>& offsets, int64_t vectors, int64_t stride);

  // What is added to codes and what is then left of zero points: of x, and of w whose vectors have the zero points from
  // `first` on.
  StridedChains& AsX(const IntegerSums& sums, const Codes& codes);
  StridedChains& AsW(const IntegerSums& sums, const Codes& codes, int64_t first);

  int64_t vectors() const override { return vectors_; }
  int64_t places() const { return static_cast<int64_t>(offsets_.size()); }
  void Load(int64_t vector, Chain* chain) const override;
  // With another number added to codes.
  void LoadShifted(int64_t vector, int32_t shift, Chain* chain) const;
  // Where a vector's codes are, one after the other in the order of the chain; null where they are not so.
  const uint8_t* RunOf(int64_t vector) const { return is_run_ ? data_ + vector * stride_ : nullptr; }
  CodeType type() const { return type_; }
  int32_t zero_point(int64_t vector) const { return zero_points_[PlaceOf(vector)]; }
  bool has_one_zero_point() const { return zero_points_.size() == 1; }

 private:
  size_t PlaceOf(int64_t vector) const { return zero_points_.size() == 1 ? 0 : static_cast<size_t>(vector); }

  const uint8_t* data_;
  const std::vector<int64_t>& offsets_;
  int64_t vectors_, stride_;
  bool is_run_;
  CodeType type_ = CodeType::kUint8;
  std::vector<int32_t> shifts_, zero_points_;  // one, or one for each vector
};

// The patches of one group of a batch of images; vector n * output_size + position.
class PatchChains : public ChainSource {
 public:
  PatchChains(const IntegerSums& sums, const ConvShape& shape, const Codes& x, int64_t group,
              const std::vector<int64_t>& order)
      : sums_(sums), shape_(shape), x_(x), group_(group), order_(order) {}
  int64_t vectors() const override { return shape_.batch * shape_.output_size(); }
  void Load(int64_t vector, Chain* chain) const override;

 private:
  const IntegerSums& sums_;
  const ConvShape& shape_;
  const Codes& x_;
  const int64_t group_;
  const std::vector<int64_t>& order_;
};

// Offsets k * stride by place in the chain; -1 behind the last product.
std::vector<int64_t> ChainOffsets(const IntegerSums& sums, int64_t depth, int64_t stride);

// Which element of a filter, [channel][kernel position], each place of the chain of a convolution holds; -1: none.
std::vector<int64_t> FilterOrder(const IntegerSums& sums, const ConvShape& shape);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_CHAINS_H_
