// Plans of sums by slices: those of the accumulator of a slice, whose kernels run slice after slice of a tile.
#ifndef LBA_ARITHMETIC_SPLITK_CPU_PLANNER_H_
#define LBA_ARITHMETIC_SPLITK_CPU_PLANNER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/splitk/spec.h"
#include "kernels/cpu/planner.h"

namespace lba {

// The slices of one depth.
struct Slices {
  int64_t depth, size;                                   // of a slice; the last may have fewer
  std::vector<std::shared_ptr<const Planner>> planners;  // of each; the same one where slices are alike
  ResultFormat total;
  RuledConstants constants;  // of the total

  Slices(const SplitKSpec& spec, int64_t all);
  int64_t end(size_t slice) const { return std::min((static_cast<int64_t>(slice) + 1) * size, depth); }
  size_t count() const { return depth == 0 ? 0 : planners.size(); }
  double StartFrom(float value) const { return RuledOutput(constants, {}).StartFrom(value, 1, 0); }
  // totals[count]: rounded starts, or zeros where `starts` is null.
  void Begin(const float* starts, int64_t count, float* totals) const;
  // Adds one value more to totals. In the default environment.
  void Combine(const float* parts, int64_t count, float* totals) const;
};

class SplitPlanner : public Planner {
 public:
  SplitPlanner(const SplitKSpec& spec, int64_t depth);

  SumGroups groups() const override;
  int FixedScaleLog2(const ValueRange& fixed) const override { return first().FixedScaleLog2(fixed); }
  float MovingScale(int fixed_scale_log2) const override { return first().MovingScale(fixed_scale_log2); }
  float fused_scale() const override { return first().fused_scale(); }
  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const override {
    return first().Plan(moving, fixed, fixed_scale_log2);
  }
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const override {
    return first().Variant(moving, fixed, is_fused);
  }
  bool differs_by_place() const override { return first().differs_by_place(); }
  // Slices know nothing of what their combination starts from.
  bool has_starts() const override { return true; }
  float RoundedStart(float value, const Place&, int64_t) const override {
    return static_cast<float>(slices_.StartFrom(value));
  }
  PanelPlan PlanStarts(const PanelPlan& plan, const ValueRange&) const override { return plan; }

  const TileKernels& KernelsOf(CpuPath path) const override { return kernels_[static_cast<int>(path)]; }
  const void* constants(CpuPath path) const override { return &sliced_[static_cast<int>(path)]; }
  OpenTileKernel open() const override { return OpenTile; }
  std::unique_ptr<ChainFollower> FollowChains() const override;

 private:
  // What the kernels of a path read.
  struct Sliced {
    const Slices* slices;
    CpuPath path;
  };

  template <int kVariant>
  static void RunTile(const TileArgs& args);
  template <int kVariant>
  static void RunDirect(const DirectArgs& args);
  static void OpenTile(const OpenTileArgs& args);
  template <int... kVariants>
  void AddKernels(CpuPath path, std::integer_sequence<int, kVariants...>);

  const Planner& first() const { return *slices_.planners.front(); }

  const Slices slices_;
  Sliced sliced_[kCpuPaths];
  TileKernels kernels_[kCpuPaths];
};

// Follows slice after slice, and their combination. The slices outlive it.
std::unique_ptr<ChainFollower> FollowSlices(const Slices& slices, int levels);

}  // namespace lba

#endif  // LBA_ARITHMETIC_SPLITK_CPU_PLANNER_H_
