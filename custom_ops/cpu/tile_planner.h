// Decides which kernel computes a tile: the proofs of lba/short_cuts.h, and what this CPU has.
#ifndef LBA_CPU_TILE_PLANNER_H_
#define LBA_CPU_TILE_PLANNER_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/accumulator.h"
#include "cpu/cpu_path.h"
#include "lba/short_cuts.h"

namespace lba {

// How a panel of the moving operand meets the fixed operand.
struct PanelPlan {
  CpuPath path = CpuPath::kExact;
  bool is_fused = false;  // the moving panel carries the scale of the accumulator, not of the products
};

class TilePlanner {
 public:
  TilePlanner(const Accumulator& accumulator, int64_t depth);

  const TileConstants& constants() const { return short_cuts_.constants(); }
  int64_t chunk() const { return short_cuts_.chunk(); }
  CpuPath path() const { return path_; }  // the preferred one
  bool has_underflow() const { return short_cuts_.has_underflow(); }

  // Powers of two by which the operands are multiplied on the scaled paths; 0, as a logarithm, on the others.
  int FixedScaleLog2(const ValueRange& fixed) const { return is_scaled_ ? short_cuts_.FixedScaleLog2(fixed) : 0; }
  float MovingScale(int fixed_scale_log2) const {
    return is_scaled_ ? std::ldexp(1.0f, short_cuts_.MovingScaleLog2(fixed_scale_log2)) : 1.0f;
  }
  // What takes a moving panel from the scale of the products to that of the accumulator.
  float fused_scale() const { return constants().product_to_accumulator; }

  // Whether a plan's kernel takes the packed, scaled values of the fixed operand; else it takes them as they were.
  bool ReadsPacked(const PanelPlan& plan, int fixed_scale_log2) const {
    return plan.path == path_ || fixed_scale_log2 == 0;
  }

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const;
  TileVariant Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const {
    return short_cuts_.Variant(moving, fixed, is_fused);
  }
  bool CanOverflow(const PanelBounds& moving, const PanelBounds& fixed) const {
    return short_cuts_.CanOverflow(moving, fixed);
  }

 private:
  ShortCuts short_cuts_;
  CpuPath path_;
  bool is_scaled_;
};

}  // namespace lba

#endif  // LBA_CPU_TILE_PLANNER_H_
