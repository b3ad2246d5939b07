// A panel of the operand that changes from call to call, and its products with the panels of the fixed operand.
#ifndef LBA_KERNELS_CPU_MOVING_PANEL_H_
#define LBA_KERNELS_CPU_MOVING_PANEL_H_

#include <cstdint>

#include "kernels/cpu/packed_panels.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/planner.h"
#include "kernels/cpu/starts.h"
#include "kernels/cpu/tile.h"

namespace lba {

enum class MovingSide { kRows, kColumns };

// One side of a product: what moves, what is fixed, and where the fixed values can be read again for the slow paths.
struct ProductSides {
  const Planner& planner;
  const PanelSource& moving;
  const PanelSource& fixed_source;
  const FixedPanels& fixed;
  MovingSide side;
  Place place = {};      // of the first vectors of both
  int64_t row_step = 1;  // as TilePlaces has it
  ProductStarts starts = {};

  int moving_width() const { return side == MovingSide::kRows ? kRowPanel : kColumnPanel; }
};

class MovingPanel {
 public:
  explicit MovingPanel(const ProductSides& sides);

  // Packs vectors first ... first + count - 1 and plans their products.
  void Load(int64_t first, int count);
  int64_t first() const { return first_; }
  int count() const { return count_; }

  // tile[kRowPanel][kColumnPanel] = products with one panel of the fixed operand, whose scaled values are `opened`.
  void Multiply(int64_t fixed_panel, const float* opened, float* tile);

 private:
  void Run(const TileKernels& kernels, int variant, const float* fixed, int64_t fixed_panel, float* tile) const;

  const ProductSides sides_;
  AlignedFloats data_;
  AlignedFloats unscaled_fixed_;  // allocated when a slow path first needs it
  int64_t first_ = 0;
  int count_ = 0;
  PanelBounds bounds_;
  PanelPlan plan_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_MOVING_PANEL_H_
