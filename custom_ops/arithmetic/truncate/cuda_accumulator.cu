#include "arithmetic/chunked_float/accumulator.h"

namespace lba {
namespace {

class Truncating : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t) const override { return nullptr; }
};

}  // namespace

SharedAccumulator MakeTruncating(const AccumulatorSpec& spec) { return std::make_shared<const Truncating>(spec); }

}  // namespace lba
