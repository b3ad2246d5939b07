#include <algorithm>
#include <vector>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/matrix_tasks.h"
#include "kernels/cpu/quantized_columns.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/block_quantized.h"
#include "lba/matmul.h"

namespace lba {

class QuantizedMatrix {
 public:
  QuantizedMatrix(const Planner& planner, const BlockQuantized& weights, const Parallel& parallel)
      : columns(weights, parallel), panels(planner, columns, parallel) {}
  QuantizedMatrix(const QuantizedMatrix&) = delete;
  QuantizedMatrix& operator=(const QuantizedMatrix&) = delete;

  const QuantizedColumns columns;
  const QuantizedPanels panels;
};

namespace {

// The weights as float32 [depth][columns].
std::vector<float> AsMatrix(const QuantizedColumns& columns, const Parallel& parallel) {
  const int64_t depth = columns.depth(), vectors = columns.vectors();
  std::vector<float> matrix(static_cast<size_t>(PanelFloats(vectors, depth)));
  RunTasks(parallel, columns.panels(), [&](int64_t panel) {
    AlignedFloats values(depth * kColumnPanel);
    columns.Dequantize(SelectedCpuPath(), panel, 0, values.data());
    const int64_t first = panel * kColumnPanel, count = std::min<int64_t>(vectors - first, kColumnPanel);
    for (int64_t k = 0; k < depth; ++k) {
      std::copy_n(values.data() + k * kColumnPanel, count, matrix.data() + k * vectors + first);
    }
  });
  return matrix;
}

void Observe(const Accumulator& accumulator, int64_t rows, const float* a, const QuantizedColumns& columns, float* y,
             const Parallel& parallel, StatisticsCollector* statistics) {
  const std::vector<float> b = AsMatrix(columns, parallel);
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = columns.vectors();
  shape.depth = columns.depth();
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = shape.depth;
  shape.b_depth_stride = shape.columns;
  RecordMatMul(accumulator, shape, a, b.data(), y, parallel, statistics);
}

}  // namespace

std::shared_ptr<const QuantizedMatrix> PackQuantized(const Accumulator& accumulator, const BlockQuantized& weights,
                                                     const Parallel& parallel) {
  return std::make_shared<QuantizedMatrix>(*PlannerOf(accumulator, weights.depth), weights, parallel);
}

void QuantizedMatMul(const Accumulator& accumulator, int64_t rows, const float* a, const QuantizedMatrix& b, float* y,
                     const Parallel& parallel, StatisticsCollector* statistics) {
  const QuantizedColumns& columns = b.columns;
  if (rows == 0 || columns.vectors() == 0) return;
  const bool is_observed = statistics != nullptr && statistics->is_observed();
  if (is_observed && statistics->is_filled()) {
    return Observe(accumulator, rows, a, columns, y, parallel, statistics);
  }
  const std::shared_ptr<const Planner> planner = PlannerOf(accumulator, columns.depth());
  std::unique_ptr<const QuantizedPanels> panels_now;
  if (!b.panels.is_for(planner->path())) panels_now = std::make_unique<QuantizedPanels>(*planner, columns, parallel);
  const StridedSource moving(a, rows, columns.depth(), columns.depth(), 1);
  const QuantizedPanels& panels = panels_now ? *panels_now : b.panels;
  const ProductSides sides{*planner, moving, columns, panels, MovingSide::kRows};
  const MatrixTasks tasks(rows, columns.vectors(), columns.depth(), 1, true);
  RunTasks(parallel, tasks.count(), [&](int64_t i) { tasks.Run(i, sides, y); }, ProductShare(statistics));
  if (is_observed) {
    Observe(accumulator, rows, a, columns, y, parallel, statistics);
  } else if (statistics != nullptr) {
    const int64_t call = statistics->NextCall(accumulator);
    const double share = 1 - ProductShare(statistics);
    const auto visit = [&](int64_t, const CountedProducts::Visitor& visitor) { visitor(moving, columns, {}); };
    CollectStatistics(accumulator, {1, rows, columns.vectors(), columns.depth(), visit}, call, parallel, share,
                      statistics);
  }
}

}  // namespace lba
