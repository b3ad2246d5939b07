#include "kernels/cpu/gated_product.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#include "kernels/cpu/gates.h"
#include "kernels/cpu/packed_panels.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/planner.h"
#include "kernels/cpu/starts.h"

namespace lba {
namespace {

constexpr int64_t kMostTasks = 16;
constexpr int64_t kTaskMultiplies = 4 << 20;  // smaller tasks cost more to add up than they save
constexpr int64_t kBlockFloats = 1 << 20;     // of the fixed operand's gradients, over all slices
constexpr int64_t kMinBlockPanels = 16;       // so that packing the moving operand stays a small part

// Vectors first ... first + count - 1 of another source.
class PartOfSource : public PanelSource {
 public:
  PartOfSource(const PanelSource& whole, int64_t first, int64_t count) : whole_(whole), first_(first), count_(count) {}
  int64_t depth() const override { return whole_.depth(); }
  int64_t vectors() const override { return count_; }
  void Pack(int64_t first, int count, int width, float* out) const override {
    whole_.Pack(first_ + first, count, width, out);
  }

 private:
  const PanelSource& whole_;
  int64_t first_, count_;
};

// Which values of a panel are not zero, subnormals included, as OpenArgs takes it.
void FindNotZero(const float* panel, int64_t depth, int width, uint32_t* words) {
  const auto is_set = [](float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7fffffffu) != 0;
  };
  if (width == kRowPanel) {
    for (int64_t i = 0; i < depth * kRowPanel; ++i) words[i] = is_set(panel[i]) ? ~uint32_t{0} : 0;
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    uint32_t word = 0;
    for (int c = 0; c < kColumnPanel; ++c) word |= uint32_t{is_set(panel[k * kColumnPanel + c])} << c;
    words[k] = word;
  }
}

int64_t NotZeroWords(int64_t depth, int width) { return width == kRowPanel ? depth * kRowPanel : depth; }

// A block of the fixed operand: scaled for the kernels, and as it is.
class FixedBlock {
 public:
  FixedBlock(const Planner& planner, const PanelSource& source, int width, bool wants_not_zero,
             const Parallel& parallel)
      : packed(planner, source, width, parallel),
        panel_floats_(PanelFloats(width, source.depth())),
        raw_(packed.panels() * panel_floats_) {
    const int64_t depth = source.depth();
    words_ = wants_not_zero ? NotZeroWords(depth, width) : 0;
    not_zero_.resize(packed.panels() * words_);
    RunTasks(parallel, packed.panels(), [&](int64_t i) {
      float* panel = raw_.data() + i * panel_floats_;
      source.Pack(i * width, static_cast<int>(packed.panel_vectors(i)), width, panel);
      if (words_ > 0) FindNotZero(panel, depth, width, not_zero_.data() + i * words_);
    });
  }

  const PackedPanels packed;
  const float* raw(int64_t panel) const { return raw_.data() + panel * panel_floats_; }
  const uint32_t* not_zero(int64_t panel) const { return not_zero_.data() + panel * words_; }
  int64_t panel_floats() const { return panel_floats_; }

 private:
  int64_t panel_floats_, words_ = 0;
  AlignedFloats raw_;
  std::vector<uint32_t> not_zero_;
};

// What is the same for all tiles of a call.
struct Call {
  const Planner& planner;
  Estimator estimator;
  int64_t depth;

  bool is_difference() const { return estimator == Estimator::kImmediateDifference; }
  // Which path follows a panel: a plan's where it has kernels for that, else the definition.
  CpuPath PathOf(const PanelPlan& plan, bool has_starts) const {
    return planner.GatesOf(plan.path) != nullptr && !has_starts ? plan.path : CpuPath::kExact;
  }
};

// Words of products of which none is gated.
void FillOpen(int64_t depth, int rows, int columns, uint32_t* words) {
  const uint32_t all = ~uint32_t{0} >> (kColumnPanel - columns);
  for (int64_t k = 0; k < depth; ++k) {
    for (int r = 0; r < kRowPanel; ++r) words[k * kRowPanel + r] = r < rows ? all : 0;
  }
}

int64_t CountBits(const uint32_t* first, const uint32_t* last) {
  int64_t count = 0;
  for (; first != last; ++first) count += __builtin_popcount(*first);
  return count;
}

// Moving panels, one after the other, against a block of the fixed operand.
class Slice {
 public:
  // fixed_gradients [panels][depth][width], zeros at first; null where they are not wanted.
  Slice(const Call& call, const GatedProduct& product, const FixedBlock& fixed, int64_t first_fixed,
        float* fixed_gradients)
      : call_(call),
        product_(product),
        fixed_(fixed),
        first_fixed_(first_fixed),
        fixed_gradients_(fixed_gradients),
        width_(product.moving_width()),
        panel_floats_(PanelFloats(width_, call.depth)),
        raw_(panel_floats_),
        scaled_(panel_floats_),
        gradient_(product.moving().sink != nullptr ? panel_floats_ : 0),
        not_zero_(call.is_difference() ? NotZeroWords(call.depth, width_) : 0),
        product_gates_(call.is_difference() ? 0 : call.depth * kRowPanel),
        sum_gates_((call.depth + 1) * kRowPanel),
        join_gates_(CountGroups(call.planner.order(), call.depth) * kRowPanel) {}

  // Returns how many products of vectors first ... last - 1 are gated.
  int64_t Run(int64_t first, int64_t last) {
    const PanelSink* sink = product_.moving().sink;
    int64_t gated = 0;
    for (; first < last; first += width_) {
      Load(first, static_cast<int>(std::min<int64_t>(last - first, width_)));
      if (sink != nullptr) std::fill(gradient_.data(), gradient_.data() + panel_floats_, 0.0f);
      for (int64_t panel = 0; panel < fixed_.packed.panels(); ++panel) gated += Meet(panel);
      const FpScope scope(FpMode::kNearest);
      if (sink != nullptr) sink->Add(first_, count_, width_, gradient_.data());
    }
    return gated;
  }

 private:
  // Rows and columns of the tile of a fixed panel.
  struct Sides {
    const float *rows, *columns;
    int row_count, column_count;
  };

  void Load(int64_t first, int count) {
    first_ = first;
    count_ = count;
    const Planner& planner = call_.planner;
    product_.moving().source.Pack(first, count, width_, raw_.data());
    std::copy(raw_.data(), raw_.data() + panel_floats_, scaled_.data());
    if (!not_zero_.empty()) FindNotZero(raw_.data(), call_.depth, width_, not_zero_.data());
    const FpScope scope(FpMode::kTowardZero);
    const int fixed_log2 = fixed_.packed.scale_log2();
    const ValueRange range =
        PathKernelsOf(planner.path())
            .scale_panel(scaled_.data(), call_.depth, width_, planner.chunk(), planner.MovingScale(fixed_log2));
    bounds_ = PanelBounds(range, planner.chunk());
    path_ = call_.PathOf(planner.Plan(range, fixed_.packed.range(), fixed_log2), product_.grad.has_starts());
  }

  Sides SidesOf(const float* moving, const float* fixed, int fixed_count) const {
    return product_.moves_columns ? Sides{fixed, moving, fixed_count, count_}
                                  : Sides{moving, fixed, count_, fixed_count};
  }

  int64_t Meet(int64_t panel) {
    const int fixed_count = static_cast<int>(fixed_.packed.panel_vectors(panel));
    const Sides sides = SidesOf(raw_.data(), fixed_.raw(panel), fixed_count);
    LoadGradient(panel, sides);
    if (path_ == CpuPath::kExact) {
      const int64_t gated = OpenByDefinition(panel, sides);
      AddTile(Watch::kOverflow, panel, sides);
      CountTiles(path_, 1);
      return gated;
    }
    const Watch watch = Follow(panel, fixed_count);
    const int64_t gated = Open(watch, panel, sides);
    AddTile(watch, panel, sides);
    CountTiles(path_, 1);
    return gated;
  }

  Watch Follow(int64_t panel, int fixed_count) {
    const Planner& planner = call_.planner;
    const bool is_scaled = path_ == planner.path();
    const Sides sides = SidesOf(is_scaled ? scaled_.data() : raw_.data(),
                                is_scaled ? fixed_.packed.panel(panel) : fixed_.raw(panel), fixed_count);
    const GatePlan plan = planner.PlanGates(path_, bounds_, fixed_.packed.panel_bounds(panel));
    const Watch watch = call_.is_difference() ? Watch::kDifference
                        : plan.can_overflow   ? Watch::kOverflow
                                              : Watch::kJoins;
    const FpScope scope(planner.KernelsOf(path_).mode);
    planner.GatesOf(path_)->of[static_cast<int>(watch)][plan.variant](
        {planner.constants(path_), sides.rows, sides.columns, call_.depth, &planner.order(), sides.row_count,
         sides.column_count, product_gates_.data(), sum_gates_.data(), join_gates_.data()});
    return watch;
  }

  int64_t Open(Watch watch, int64_t panel, const Sides& sides) {
    const uint32_t* moving = not_zero_.data();
    const uint32_t* fixed = fixed_.not_zero(panel);
    return PathKernelsOf(path_).open({call_.estimator, watch, call_.depth, &call_.planner.order(), sides.row_count,
                                      sides.column_count, product_gates_.data(), sum_gates_.data(), join_gates_.data(),
                                      product_.moves_columns ? fixed : moving,
                                      product_.moves_columns ? moving : fixed});
  }

  // The first row and column of the tile of a fixed panel.
  int64_t RowOf(int64_t panel) const { return product_.moves_columns ? FixedOf(panel) : first_; }
  int64_t ColumnOf(int64_t panel) const { return product_.moves_columns ? first_ : FixedOf(panel); }
  int64_t FixedOf(int64_t panel) const { return first_fixed_ + panel * product_.fixed_width(); }

  // Returns how many products are gated, in any order of sums.
  int64_t OpenByDefinition(int64_t panel, const Sides& sides) {
    const Planner& planner = call_.planner;
    const int64_t row = RowOf(panel), column = ColumnOf(panel), depth = call_.depth;
    FillOpen(depth + 1, sides.row_count, sides.column_count, sum_gates_.data());
    alignas(64) float out[kRowPanel * kColumnPanel], starts[kRowPanel * kColumnPanel];
    if (product_.grad.has_starts()) {
      product_.grad.LoadStarts(row, sides.row_count, column, sides.column_count, starts);
    }
    TilePlaces places = product_.places;
    places.first = product_.places.At(row, column);
    {
      const FpScope scope(FpMode::kNearest);
      planner.open()({{planner.constants(path_), sides.rows, sides.columns, depth, &planner.order(), sides.row_count,
                       sides.column_count, out, places, product_.grad.has_starts() ? starts : nullptr},
                      call_.estimator,
                      sum_gates_.data()});
    }
    const uint32_t* of_starts = sum_gates_.data() + depth * kRowPanel;
    product_.grad.PassStarts(row, sides.row_count, column, sides.column_count, of_starts, tile_);
    return depth * sides.row_count * sides.column_count - CountBits(sum_gates_.data(), of_starts);
  }

  void LoadGradient(int64_t panel, const Sides& sides) {
    std::fill(tile_, tile_ + kRowPanel * kColumnPanel, 0.0f);
    product_.grad.Load(RowOf(panel), sides.row_count, ColumnOf(panel), sides.column_count, tile_);
  }

  void AddTile(Watch watch, int64_t panel, const Sides& sides) {
    float* fixed_gradient = fixed_gradients_ == nullptr ? nullptr : fixed_gradients_ + panel * fixed_.panel_floats();
    float* moving_gradient = product_.moving().sink == nullptr ? nullptr : gradient_.data();
    if (fixed_gradient == nullptr && moving_gradient == nullptr) return;  // the count is all that is wanted
    GradientArgs args{tile_,
                      sides.rows,
                      sides.columns,
                      0,
                      call_.depth,
                      sides.row_count,
                      sides.column_count,
                      sum_gates_.data(),
                      kRowPanel,
                      product_.moves_columns ? fixed_gradient : moving_gradient,
                      product_.moves_columns ? moving_gradient : fixed_gradient};
    const GradientKernel kernel = PathKernelsOf(call_.planner.path()).gradients;
    const FpScope scope(FpMode::kNearest);
    if (watch != Watch::kJoins) return kernel(args);
    args.open_step = 0;
    for (args.open = join_gates_.data(); args.begin < call_.depth; args.begin = args.end, args.open += kRowPanel) {
      args.end = std::min(args.begin + call_.planner.chunk(), call_.depth);
      kernel(args);
    }
  }

  const Call& call_;
  const GatedProduct& product_;
  const FixedBlock& fixed_;
  const int64_t first_fixed_;
  float* const fixed_gradients_;
  const int width_;
  const int64_t panel_floats_;
  AlignedFloats raw_, scaled_, gradient_;
  std::vector<uint32_t> not_zero_, product_gates_, sum_gates_, join_gates_;
  alignas(64) float tile_[kRowPanel * kColumnPanel];
  int64_t first_ = 0;
  int count_ = 0;
  PanelBounds bounds_;
  CpuPath path_ = CpuPath::kExact;
};

// Gradients of a block of the fixed operand, one part for each slice.
using Parts = std::vector<AlignedFloats>;

void Clear(int64_t count, AlignedFloats* values) {
  if (values->size() < count) *values = AlignedFloats(count);
  std::fill(values->data(), values->data() + count, 0.0f);
}

// Adds up one panel of all slices' parts, in their order, and hands it to the sink.
void AddPanel(Parts* parts, size_t first_part, size_t slices, int64_t panel_floats, const FixedBlock& block,
              int64_t first_fixed, int64_t panel, const PanelSink& sink) {
  const FpScope scope(FpMode::kNearest);
  float* sum = (*parts)[first_part].data() + panel * panel_floats;
  for (size_t slice = 1; slice < slices; ++slice) {
    const float* part = (*parts)[first_part + slice].data() + panel * panel_floats;
    for (int64_t i = 0; i < panel_floats; ++i) sum[i] += part[i];
  }
  const int width = block.packed.width();
  sink.Add(first_fixed + panel * width, static_cast<int>(block.packed.panel_vectors(panel)), width, sum);
}

using Blocks = std::vector<std::unique_ptr<const FixedBlock>>;

// One product: its panels are the tasks. Many: each is one.
Blocks PackBlocks(const Call& call, const std::vector<GatedProduct>& products, int64_t first, int64_t count,
                  const Parallel& parallel) {
  Blocks blocks(products.size());
  const SerialParallel serial;
  const bool is_one = products.size() == 1;
  RunTasks(is_one ? static_cast<const Parallel&>(serial) : parallel, products.size(), [&](int64_t i) {
    const PartOfSource part(products[i].fixed().source, first, count);
    blocks[i] = std::make_unique<const FixedBlock>(call.planner, part, products[i].fixed_width(), call.is_difference(),
                                                   is_one ? parallel : static_cast<const Parallel&>(serial));
  });
  return blocks;
}

// The slices' parts stay from block to block: fresh memory costs more than clearing it.
int64_t AddBlock(const Call& call, const std::vector<GatedProduct>& products, const std::vector<int64_t>& bounds,
                 int64_t first_fixed, int64_t fixed_count, const Parallel& parallel, Parts* parts) {
  const Blocks blocks = PackBlocks(call, products, first_fixed, fixed_count, parallel);
  const size_t slices = bounds.size() - 1;
  const int64_t panels = blocks.front()->packed.panels(), panel_floats = blocks.front()->panel_floats();
  const bool wants_fixed = products.front().fixed().sink != nullptr;
  std::atomic<int64_t> gated{0};
  const auto add_panel = [&](size_t product, int64_t panel) {
    AddPanel(parts, product * slices, slices, panel_floats, *blocks[product], first_fixed, panel,
             *products[product].fixed().sink);
  };
  RunTasks(parallel, parts->size(), [&](int64_t task) {
    const size_t i = task / slices, slice = task % slices;
    AlignedFloats& part = (*parts)[task];
    if (wants_fixed) Clear(panels * panel_floats, &part);
    Slice work(call, products[i], *blocks[i], first_fixed, wants_fixed ? part.data() : nullptr);
    gated += work.Run(bounds[slice], bounds[slice + 1]);
    if (!wants_fixed || slices > 1) return;
    for (int64_t panel = 0; panel < panels; ++panel) add_panel(i, panel);
    part = AlignedFloats();  // many products: one part each would be as large as the gradients
  });
  if (!wants_fixed || slices == 1) return gated;
  RunTasks(parallel, products.size() * panels, [&](int64_t task) { add_panel(task / panels, task % panels); });
  return gated;
}

// The sums of no products: only what they start from has a gradient.
void AddOfNothing(const Planner& planner, Estimator estimator, const GatedProduct& product) {
  if (!product.grad.has_starts()) return;
  RequireStarts(planner);
  const FpScope scope(FpMode::kNearest);
  for (int64_t row = 0; row < product.rows.source.vectors(); ++row) {
    for (int64_t column = 0; column < product.columns.source.vectors(); ++column) {
      TilePlaces places = product.places;
      places.first = product.places.At(row, column);
      float grad, start, out;
      uint32_t open[kRowPanel] = {1};
      product.grad.Load(row, 1, column, 1, &grad);
      product.grad.LoadStarts(row, 1, column, 1, &start);
      planner.open()(
          {{planner.constants(CpuPath::kExact), nullptr, nullptr, 0, &planner.order(), 1, 1, &out, places, &start},
           estimator,
           open});
      product.grad.PassStarts(row, 1, column, 1, open, &grad);
    }
  }
}

}  // namespace

void ResultGradient::LoadStarts(int64_t row, int rows, int64_t column, int columns, float* tile) const {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const std::array<int64_t, 3> index = At(row + r, column + c).index;
      int64_t offset = 0;
      for (int d = 0; d < 3; ++d) offset += index[d] * starts_.starts.strides[d];
      tile[r * kColumnPanel + c] = starts_.starts.data[offset];
    }
  }
}

void ResultGradient::PassStarts(int64_t row, int rows, int64_t column, int columns, const uint32_t* open,
                                const float* tile) const {
  if (starts_.gradients == nullptr) return;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const bool is_open = (open[r] >> c & 1) != 0;
      starts_.gradients[At(row + r, column + c).place] = is_open ? tile[r * kColumnPanel + c] : 0.0f;
    }
  }
}

void VectorSink::Add(int64_t first, int count, int width, const float* panel) const {
  constexpr int64_t kStep = 64;  // of the depth: what is read by columns stays in the first-level cache
  for (int64_t begin = 0; begin < depth_; begin += kStep) {
    const int64_t end = std::min(begin + kStep, depth_);
    for (int j = 0; j < count; ++j) {
      float* vector = out_ + (first + j) * depth_;
      for (int64_t k = begin; k < end; ++k) vector[k] += panel[k * width + j];
    }
  }
}

int64_t WantedSlices(int64_t products, int64_t multiplies) {
  const int64_t most = CeilDiv(kMostTasks, std::max<int64_t>(products, 1));
  return std::clamp<int64_t>(multiplies / kTaskMultiplies, 1, most);
}

std::vector<int64_t> SliceBounds(int64_t vectors, int64_t unit, int64_t wanted) {
  const int64_t units = CeilDiv(vectors, unit);
  const int64_t slices = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(units, 1));
  std::vector<int64_t> bounds;
  for (int64_t i = 0; i <= slices; ++i) bounds.push_back(std::min(units * i / slices * unit, vectors));
  return bounds;
}

int64_t AddGradients(const Accumulator& accumulator, Estimator estimator, const std::vector<GatedProduct>& products,
                     const std::vector<int64_t>& bounds, const Parallel& parallel) {
  const Operand& fixed = products.front().fixed();
  const int64_t depth = fixed.source.depth(), width = products.front().fixed_width();
  const std::shared_ptr<const Planner> planner = PlannerOf(accumulator, depth);
  if (depth == 0) {
    for (const GatedProduct& product : products) AddOfNothing(*planner, estimator, product);
    return 0;
  }
  if (products.front().grad.has_starts()) RequireStarts(*planner);
  const Call call{*planner, estimator, depth};
  Parts parts(products.size() * (bounds.size() - 1));
  const int64_t fitting = kBlockFloats / static_cast<int64_t>(parts.size()) / PanelFloats(width, depth);
  const int64_t block = std::max(fitting, kMinBlockPanels) * width, vectors = fixed.source.vectors();
  int64_t gated = 0;
  for (int64_t first = 0; first < vectors; first += block) {
    gated += AddBlock(call, products, bounds, first, std::min(block, vectors - first), parallel, &parts);
  }
  return gated;
}

}  // namespace lba
