// An accumulator as everything that computes knows it: made from its text, immutable, shared.
#ifndef LBA_ARITHMETIC_ACCUMULATOR_H_
#define LBA_ARITHMETIC_ACCUMULATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "arithmetic/levels.h"

namespace lba {

class Planner;
struct IntegerSums;
namespace cuda {
class Kernels;
}

class Accumulator {
 public:
  // At most kMaxLevels levels (common/levels.h).
  Accumulator(std::string text, Levels levels) : text_(std::move(text)), levels_(std::move(levels)) {}
  virtual ~Accumulator() = default;

  // The identity of the arithmetic: the same for all texts that mean the same.
  const std::string& text() const { return text_; }
  // What statistics tell of.
  const Levels& levels() const { return levels_; }

  // Itself as it sums one of several slices of a dot product, with random bits of its own; null where it draws none.
  virtual std::shared_ptr<const Accumulator> InSlice(int64_t /*index*/) const { return nullptr; }
  // How this CPU computes dot products of float32 values of a depth (kernels/cpu/planner.h); null in the CUDA library,
  // and for integers.
  virtual std::shared_ptr<const Planner> PlanOnCpu(int64_t /*depth*/) const { return nullptr; }
  // Whether products of zero behind the others, which make the dot product longer, may change its sum.
  virtual bool depends_on_depth() const { return false; }
  // What it makes of integer codes (common/integer_sums.h); null for kinds of floats.
  virtual const IntegerSums* integers() const { return nullptr; }
  // How a CUDA device does (kernels/cuda/kernels.h); null in the other library, and where the kind has no such kernels.
  virtual const cuda::Kernels* OnCuda() const { return nullptr; }

 private:
  const std::string text_;
  const Levels levels_;
};

using SharedAccumulator = std::shared_ptr<const Accumulator>;

// Throws std::invalid_argument, with the character at fault, for a text that names no accumulator.
SharedAccumulator ParseAccumulator(const std::string& text);

}  // namespace lba

#endif  // LBA_ARITHMETIC_ACCUMULATOR_H_
