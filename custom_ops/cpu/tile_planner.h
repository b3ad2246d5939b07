// Decides, from a specification and from what is known of the operands' values, which kernel computes a tile. Every
// decision is a proof that the kernel gives the reference's bits (docs/design.md, "Short cuts that are provable").
#ifndef LBA_CPU_TILE_PLANNER_H_
#define LBA_CPU_TILE_PLANNER_H_

#include <cstdint>

#include "cpu/panel.h"
#include "cpu/tile.h"
#include "lba/format.h"

namespace lba {

// How a panel of the moving operand meets the fixed operand.
struct PanelPlan {
  CpuPath path = CpuPath::kExact;
  bool is_fused = false;  // the moving panel carries the scale of the accumulator, not of the products
};

class TilePlanner {
 public:
  TilePlanner(const AccumulatorSpec& spec, int64_t depth);

  const TileConstants& constants() const { return constants_; }
  int64_t chunk() const { return chunk_; }
  CpuPath path() const { return path_; }  // the preferred one
  bool has_underflow() const { return spec_.underflow; }

  // Powers of two by which the operands are multiplied on the scaled paths. The fixed operand's is chosen from its
  // values; the moving operand's complements it, so that it is known before the moving values are.
  int FixedScaleLog2(const ValueRange& fixed) const;
  float MovingScale(int fixed_scale_log2) const;  // 1 where the scaled paths are out of the question
  // What takes a moving panel from the scale of the products to that of the accumulator.
  float fused_scale() const { return constants_.product_to_accumulator; }

  // Whether a plan's kernel takes the packed, scaled values of the fixed operand; else it takes them as they were.
  bool ReadsPacked(const PanelPlan& plan, int fixed_scale_log2) const {
    return plan.path == path_ || fixed_scale_log2 == 0;
  }

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const;
  TileVariant Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const;
  // Whether a product, or a partial sum inside a chunk, may reach max_value.
  bool CanOverflow(const PanelBounds& moving, const PanelBounds& fixed) const;

 private:
  int MovingScaleLog2(int fixed_scale_log2) const { return product_scale_log2_ - fixed_scale_log2; }
  bool FitsScaledWithUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                               int fixed_log2) const;
  bool FitsScaledWithoutUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                                  int fixed_log2) const;
  bool CanFuse(const ValueRange& moving, const ValueRange& fixed, int moving_log2, int fixed_log2) const;
  bool HasExactProducts(int moving_bits, int fixed_bits) const;
  bool CanOverflowProduct(double largest) const;
  bool CanOverflowPartialSum(const PanelBounds& moving, const PanelBounds& fixed) const;

  AccumulatorSpec spec_;
  int64_t chunk_;
  CpuPath path_;
  bool is_scaled_;
  int product_scale_log2_;
  int accumulator_scale_log2_;
  TileConstants constants_;
};

}  // namespace lba

#endif  // LBA_CPU_TILE_PLANNER_H_
