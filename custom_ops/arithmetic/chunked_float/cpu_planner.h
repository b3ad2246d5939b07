// Decides which kernel of a chunked float computes a tile: the proofs of short_cuts.h, and what this CPU has. Each
// rounding brings its kernels.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_CPU_PLANNER_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_CPU_PLANNER_H_

#include <cmath>
#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/planner.h"

namespace lba {

using KernelChoice = const TileKernels& (*)(CpuPath path, const ShortCuts& cuts);

// One value at a time, for every operand and every rounding.
const TileKernels& ExactChunkedFloatKernels();
void OpenChunkedFloatTile(const OpenTileArgs& args);

class ChunkedFloatPlanner : public Planner {
 public:
  ChunkedFloatPlanner(const AccumulatorSpec& spec, int64_t depth, KernelChoice kernels);

  int FixedScaleLog2(const ValueRange& fixed) const override {
    return is_scaled_ ? short_cuts_.FixedScaleLog2(fixed) : 0;
  }
  float MovingScale(int fixed_scale_log2) const override {
    return is_scaled_ ? std::ldexp(1.0f, short_cuts_.MovingScaleLog2(fixed_scale_log2)) : 1.0f;
  }
  // From the scale of the products to that of the accumulator.
  float fused_scale() const override { return short_cuts_.fused_scale(); }

  SumGroups groups() const override { return groups_; }
  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const override;
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const override {
    return short_cuts_.Variant(moving, fixed, is_fused).index();
  }
  bool has_starts() const override { return true; }
  float RoundedStart(float value, const Place&, int64_t) const override {
    return static_cast<float>(Quantize(value, short_cuts_.constants().definition.accumulator));
  }
  double StartScale(CpuPath path) const override;
  PanelPlan PlanStarts(const PanelPlan& plan, const ValueRange& starts) const override;
  int StartedVariant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused,
                     double largest_start) const override {
    return short_cuts_.Variant(moving, fixed, is_fused, order().is_one_chain ? largest_start : 0).index();
  }
  const GateKernels* GatesOf(CpuPath path) const override { return KernelsOf(path).gates; }
  GatePlan PlanGates(CpuPath path, const PanelBounds& moving, const PanelBounds& fixed) const override;

  const TileKernels& KernelsOf(CpuPath path) const override { return kernels_(path, short_cuts_); }
  const void* constants(CpuPath) const override { return &short_cuts_.constants(); }
  OpenTileKernel open() const override { return OpenChunkedFloatTile; }
  std::unique_ptr<ChainFollower> FollowChains() const override;

 private:
  const AccumulatorSpec spec_;
  const SumGroups groups_;  // what statistics follow
  const ShortCuts short_cuts_;
  const KernelChoice kernels_;
  const bool is_scaled_;  // whether this CPU's path is for scaled operands, and some can be scaled
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_CPU_PLANNER_H_
