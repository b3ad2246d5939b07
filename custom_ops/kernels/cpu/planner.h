// What the kernels know of the arithmetic of dot products of one depth: how operands are scaled, which table of kernels
// computes a panel, and which variant a tile. Asked for each panel or tile, never for each value.
#ifndef LBA_KERNELS_CPU_PLANNER_H_
#define LBA_KERNELS_CPU_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/accumulator.h"
#include "common/levels.h"
#include "common/sum_order.h"
#include "common/value_range.h"
#include "kernels/cpu/chain_follower.h"
#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/open_tile.h"
#include "kernels/cpu/tile.h"

namespace lba {

// How a panel of the moving operand meets the fixed operand.
struct PanelPlan {
  CpuPath path = CpuPath::kExact;
  bool is_fused = false;  // the moving panel is scaled once more, by fused_scale()
};

// How the gate kernels of a table follow a tile, for gradients.
struct GatePlan {
  bool can_overflow = true;  // inside a chunk
  int variant = 0;           // of the gate kernels
};

// One operand of a product moves: it is scaled when the product is computed. The other is fixed, and its scale is
// chosen from its values; the moving operand's complements it, so that it is known before the moving values are. Scales
// are powers of two. What is not overridden is what every arithmetic can do: nothing is scaled or proved, and each
// value takes the exact path.
class Planner {
 public:
  explicit Planner(const SumOrder& order) : order_(order), path_(SelectedCpuPath()) {}
  virtual ~Planner() = default;

  const SumOrder& order() const { return order_; }
  int64_t chunk() const { return order_.chunk(); }  // products of an innermost group
  CpuPath path() const { return path_; }            // the preferred one
  // What statistics follow, and which of these sums starts from a value: that of the last chain.
  virtual SumGroups groups() const { return SumGroups(chunk()); }
  int started_sum() const { return order_.is_one_chain ? 0 : groups().count; }

  virtual int FixedScaleLog2(const ValueRange&) const { return 0; }
  virtual float MovingScale(int /*fixed_scale_log2*/) const { return 1; }
  virtual float fused_scale() const { return 1; }
  virtual PanelPlan Plan(const ValueRange& /*moving*/, const ValueRange& /*fixed*/, int /*fixed_scale_log2*/) const {
    return {};
  }
  virtual int Variant(const PanelBounds& /*moving*/, const PanelBounds& /*fixed*/, bool /*is_fused*/) const {
    return 0;
  }
  // For gradients: the kernels that follow the gates of a path's steps, null where the definition does; and how.
  virtual const GateKernels* GatesOf(CpuPath) const { return nullptr; }
  virtual GatePlan PlanGates(CpuPath, const PanelBounds& /*moving*/, const PanelBounds& /*fixed*/) const { return {}; }

  // Whether totals may start from values; one of them, rounded; and what takes it to the scale of a path's sums.
  virtual bool has_starts() const { return false; }
  virtual float RoundedStart(float value, const Place&, int64_t /*depth*/) const { return value; }
  virtual double StartScale(CpuPath) const { return 1; }
  // The plan, or a slower one where its kernels do not give the definition's bits of sums that start from such values;
  // and the variant where no start is larger than that.
  virtual PanelPlan PlanStarts(const PanelPlan& plan, const ValueRange& starts) const {
    return starts.is_finite() ? plan : PanelPlan{};
  }
  virtual int StartedVariant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused,
                             double /*largest_start*/) const {
    return Variant(moving, fixed, is_fused);
  }

  // Whether outputs differ by their place (common/random_bits.h), so that kernels have to be told it.
  virtual bool differs_by_place() const { return false; }

  virtual const TileKernels& KernelsOf(CpuPath path) const = 0;
  virtual const void* constants(CpuPath path) const = 0;  // what these kernels read
  virtual OpenTileKernel open() const = 0;                // with the constants of the exact path
  virtual std::unique_ptr<ChainFollower> FollowChains() const = 0;

  // Whether a plan's kernel takes the packed, scaled values of the fixed operand; else it takes them as they were.
  bool ReadsPacked(const PanelPlan& plan, int fixed_scale_log2) const {
    return plan.path == path_ || fixed_scale_log2 == 0;
  }

 private:
  const SumOrder order_;
  const CpuPath path_;
};

// How this CPU computes dot products of float32 values. Throws std::invalid_argument for an accumulator of integers.
std::shared_ptr<const Planner> PlannerOf(const Accumulator& accumulator, int64_t depth);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PLANNER_H_
