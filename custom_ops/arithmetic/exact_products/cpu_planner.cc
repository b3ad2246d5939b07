#include "arithmetic/exact_products/cpu_planner.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "arithmetic/chunked_float/ruled_planner.h"
#include "arithmetic/chunked_float/short_cuts.h"
#include "arithmetic/exact_products/cpu_kernels.h"
#include "arithmetic/stochastic/cpu_kernels.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {
namespace {

constexpr int kMinNormal = -126, kMaxNormal = 127, kMantissaBits = 23;  // of float32

// The same with products rounded to the format of the sums, and underflow: what is known of its sums holds here.
AccumulatorSpec WithRoundedProducts(AccumulatorSpec spec) {
  spec.product_format = spec.accumulator_format;
  spec.exact_products = false;
  spec.underflow = true;
  return spec;
}

// Puts the smallest value that is kept, min_value or else 2^-126, on float32's smallest normal value.
int SumScaleLog2(const AccumulatorSpec& spec) {
  return spec.underflow ? spec.accumulator_format.exponent_bias + kMinNormal : 0;
}

TileConstants ConstantsOf(const AccumulatorSpec& spec, const ShortCuts& cuts) {
  TileConstants c = cuts.constants();
  c.definition.product = {HUGE_VAL, 0, ~uint64_t{0}, spec.rounding};  // keeps every product
  c.definition.accumulator = QuantizeConstants::Of(spec.accumulator_format, spec.underflow, spec.rounding);
  if (spec.underflow) return c;
  c.accumulator_max = static_cast<float>(spec.accumulator_format.max_value());
  c.unscale[0] = c.unscale[1] = 1;
  return c;
}

bool IsVector(CpuPath path) { return path == CpuPath::kAvx512 || path == CpuPath::kAvx2; }

// What all roundings share: scales, bounds, and the definition for what no kernel computes.
class ExactProductsPlanner : public RuledPlanner {
 public:
  // Products are `above` powers of two larger than in the scale of the sums.
  ExactProductsPlanner(const AccumulatorSpec& spec, int64_t depth, int above)
      : RuledPlanner(spec, depth),
        above_(above),
        mantissa_bits_(spec.accumulator_format.mantissa_bits),
        sum_scale_log2_(SumScaleLog2(spec)),
        short_cuts_(WithRoundedProducts(spec), depth),
        constants_(ConstantsOf(spec, short_cuts_)) {}

  // Both operands get half of the room that the scale of the products leaves.
  int FixedScaleLog2(const ValueRange& fixed) const override {
    if (!IsVector(path()) || fixed.is_zero() || !fixed.is_finite()) return 0;
    return std::clamp(product_scale_log2() / 2 - (fixed.max_exponent() + 1), kMinNormal, kMaxNormal - 1);
  }
  float MovingScale(int fixed_scale_log2) const override {
    return IsVector(path()) ? std::ldexp(1.0f, MovingScaleLog2(fixed_scale_log2)) : 1.0f;
  }
  float fused_scale() const override { return std::ldexp(1.0f, -above_); }

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const override {
    const PanelPlan slower = OnDoubles(moving, fixed);
    if (slower.path == CpuPath::kExact || !IsVector(path()) || !KeepsOperands(moving, fixed, fixed_scale_log2)) {
      return slower;
    }
    return PlanFloats(moving, fixed).value_or(slower);
  }
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const override {
    return StartedVariant(moving, fixed, is_fused, 0);
  }
  int StartedVariant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused,
                     double largest_start) const override {
    TileVariant variant = short_cuts_.Variant(moving, fixed, true, order().is_one_chain ? largest_start : 0);
    if (!is_fused) variant.product = ProductStep::kRound;
    return variant.index();
  }
  double StartScale(CpuPath path) const override { return IsVector(path) ? constants_.start_scale() : 1; }

  const void* constants(CpuPath path) const override {
    return IsVector(path) ? &constants_ : RuledPlanner::constants(path);
  }

 protected:
  // Of operands that the hardware keeps, where a kernel in scaled float32 gives the definition's bits.
  virtual std::optional<PanelPlan> PlanFloats(const ValueRange& moving, const ValueRange& fixed) const = 0;

  // Whether all products are multiples of the last mantissa bit of the smallest value that is kept: then no sum below
  // that value rounds up to it.
  bool HasCoarseProducts(const ValueRange& moving, const ValueRange& fixed) const {
    if (moving.is_zero() || fixed.is_zero()) return true;
    return moving.min_exponent() - (moving.significant_bits() - 1) + fixed.min_exponent() -
               (fixed.significant_bits() - 1) >=
           kMinNormal - sum_scale_log2_ - mantissa_bits_;
  }
  int mantissa_bits() const { return mantissa_bits_; }
  int sum_scale_log2() const { return sum_scale_log2_; }
  const ShortCuts& short_cuts() const { return short_cuts_; }
  const TileConstants& tile_constants() const { return constants_; }

 private:
  int product_scale_log2() const { return sum_scale_log2_ + above_; }
  int MovingScaleLog2(int fixed_log2) const {
    return std::clamp(product_scale_log2() - fixed_log2, kMinNormal, kMaxNormal - 1);
  }

  // Whether the hardware takes no scaled operand for zero or infinity: the smallest product decides roundings.
  bool KeepsOperands(const ValueRange& moving, const ValueRange& fixed, int fixed_log2) const {
    const int moving_log2 = MovingScaleLog2(fixed_log2);
    return moving_log2 + fixed_log2 == product_scale_log2() && IsNormal(moving, moving_log2, above_) &&
           IsNormal(fixed, fixed_log2, 0);
  }
  static bool IsNormal(const ValueRange& range, int scale_log2, int room_below) {
    if (range.is_zero()) return true;
    return !range.has_subnormal() && range.min_exponent() + scale_log2 - room_below >= kMinNormal &&
           range.max_exponent() + scale_log2 <= kMaxNormal;
  }

  const int above_, mantissa_bits_, sum_scale_log2_;
  const ShortCuts short_cuts_;
  const TileConstants constants_;
};

class ExactTruncatePlanner : public ExactProductsPlanner {
 public:
  ExactTruncatePlanner(const AccumulatorSpec& spec, int64_t depth) : ExactProductsPlanner(spec, depth, 0) {}

  const TileKernels& KernelsOf(CpuPath path) const override {
    return path == CpuPath::kExact ? ExactProductsPlanner::KernelsOf(path) : TruncatingKernels(path, short_cuts());
  }
  const void* constants(CpuPath path) const override {
    return path == CpuPath::kPortable ? &tile_constants() : ExactProductsPlanner::constants(path);
  }

 private:
  std::optional<PanelPlan> PlanFloats(const ValueRange&, const ValueRange&) const override {
    return PanelPlan{path(), true};
  }
};

class ExactNearestPlanner : public ExactProductsPlanner {
 public:
  ExactNearestPlanner(const AccumulatorSpec& spec, int64_t depth)
      : ExactProductsPlanner(spec, depth, kOddScaleLog2),
        has_room_(spec.accumulator_format.max_exponent() + sum_scale_log2() + kMantissaBits - mantissa_bits() <
                  kMaxNormal) {}

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return ExactNearestAvx512Kernels(short_cuts());
    if (path == CpuPath::kAvx2) return ExactNearestAvx2Kernels(short_cuts());
#endif
    return ExactProductsPlanner::KernelsOf(path);
  }

 private:
  static constexpr int kMostFusedBits = 10;      // of mantissas, so that rounding twice is rounding once
  static constexpr int kMostOddBits = 21;        // odd keeps two bits more, behind the leading one
  static constexpr int kMostFusedExponent = 96;  // with it, no power of two that rounds a sum leaves float32

  std::optional<PanelPlan> PlanFloats(const ValueRange& moving, const ValueRange& fixed) const override {
    if (!has_room_) return std::nullopt;
    if (CanFuse(moving, fixed)) return PanelPlan{path(), true};
    return mantissa_bits() <= kMostOddBits ? std::optional(PanelPlan{path(), false}) : std::nullopt;
  }

  // Products with no more bits than sums.
  bool HasShortProducts(const ValueRange& moving, const ValueRange& fixed) const {
    return moving.significant_bits() + fixed.significant_bits() <= mantissa_bits() + 1;
  }
  bool CanFuse(const ValueRange& moving, const ValueRange& fixed) const {
    return mantissa_bits() <= kMostFusedBits && HasShortProducts(moving, fixed) && HasCoarseProducts(moving, fixed) &&
           moving.max_exponent() + fixed.max_exponent() + sum_scale_log2() <= kMostFusedExponent;
  }

  const bool has_room_;  // whether the powers of two that round sums are float32
};

class ExactStochasticPlanner : public ExactProductsPlanner {
 public:
  ExactStochasticPlanner(const AccumulatorSpec& spec, int64_t depth)
      : ExactProductsPlanner(spec, depth, kRoomBelow),
        constants_{tile_constants(), 1 << kRoomBelow, 1.0f / (1 << kRoomBelow), spec.seed, spec.random_bits},
        has_kernel_(mantissa_bits() + spec.random_bits <= kMantissaBits),
        has_room_(spec.accumulator_format.max_exponent() + sum_scale_log2() + kRoomBelow < kMaxNormal) {}

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return StochasticAvx512Kernels(StochasticProducts::kExact);
    if (path == CpuPath::kAvx2) return StochasticAvx2Kernels(StochasticProducts::kExact);
#endif
    return ExactProductsPlanner::KernelsOf(path);
  }
  const void* constants(CpuPath path) const override {
    return IsVector(path) ? &constants_ : RuledPlanner::constants(path);
  }

 private:
  static constexpr int kRoomBelow = 1;  // a sum that may round up to the smallest value is no less than half of it

  // A sum that is formed in its own scale is not flushed where it may round up.
  std::optional<PanelPlan> PlanFloats(const ValueRange& moving, const ValueRange& fixed) const override {
    const bool is_fused = HasCoarseProducts(moving, fixed);
    return has_kernel_ && (is_fused || has_room_) ? std::optional(PanelPlan{path(), is_fused}) : std::nullopt;
  }

  const StochasticConstants constants_;
  const bool has_kernel_;  // the sum before its draw is cut to random_bits more than are kept
  const bool has_room_;    // whether float32 holds all sums in the scale of the products
};

}  // namespace

std::shared_ptr<const Planner> PlanExactProductsOnCpu(const AccumulatorSpec& spec, int64_t depth) {
  const bool has_codes = spec.accumulator_format.has_infinity || spec.accumulator_format.has_subnormals ||
                         spec.accumulator_format.has_dlfloat_codes;
  if (!spec.exact_products || has_codes || spec.tree != 0 || spec.lanes != 0) return nullptr;
  if (spec.rounding == Rounding::kTruncate) return std::make_shared<const ExactTruncatePlanner>(spec, depth);
  if (spec.rounding == Rounding::kNearest) return std::make_shared<const ExactNearestPlanner>(spec, depth);
  if (spec.rounding == Rounding::kStochastic) return std::make_shared<const ExactStochasticPlanner>(spec, depth);
  return nullptr;
}

}  // namespace lba
