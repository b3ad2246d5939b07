// Weights of few bits as an operand of a product.
#ifndef LBA_KERNELS_CPU_QUANTIZED_COLUMNS_H_
#define LBA_KERNELS_CPU_QUANTIZED_COLUMNS_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/dequantize.h"
#include "kernels/cpu/packed_panels.h"
#include "lba/block_quantized.h"

namespace lba {

// The columns of a matrix of codes, laid out in panels.
class QuantizedColumns : public PanelSource {
 public:
  QuantizedColumns(const BlockQuantized& weights, const Parallel& parallel);

  int64_t depth() const override { return depth_; }
  int64_t vectors() const override { return columns_; }
  void Pack(int64_t first, int count, int width, float* out) const override;
  int64_t panels() const { return CeilDiv(columns_, kColumnPanel); }

  // out[depth][kColumnPanel] = the weights of a panel times a power of two; columns past the last are zero.
  void Dequantize(CpuPath path, int64_t panel, int power_log2, float* out) const;

 private:
  void LayOut(const BlockQuantized& weights, int64_t panel);
  WeightForm FormOf(int power_log2) const;

  int64_t columns_, depth_, block_size_, blocks_;
  int bits_;
  bool subtracts_products_;
  bool has_one_zero_point_;
  std::vector<uint8_t> codes_;                     // [panels][depth][kCodeBytes * bits]
  std::vector<float> scales_, zero_points_;        // [panels][blocks][kColumnPanel]; one row for one zero point
  std::vector<int32_t> block_of_depth_;            // empty: k / block_size
  bool has_normal_scales_ = false;                 // but for zeros
  int least_exponent_ = 0, largest_exponent_ = 0;  // of these
};

// Their panels, made anew whenever one is opened.
class QuantizedPanels : public FixedPanels {
 public:
  QuantizedPanels(const Planner& planner, const QuantizedColumns& columns, const Parallel& parallel);

  const float* Open(int64_t panel, AlignedFloats* memory) const override;

 private:
  const QuantizedColumns& columns_;
  CpuPath path_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_QUANTIZED_COLUMNS_H_
