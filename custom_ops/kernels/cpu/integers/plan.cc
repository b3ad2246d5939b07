#include "kernels/cpu/integers/plan.h"

#include <algorithm>
#include <vector>

namespace lba {
namespace {

constexpr int64_t kLargestCode = 255;  // of x less its zero point
constexpr int kMostDroppedBits = 30;

// Magnitudes that sums of x * w cannot exceed, whatever x is.
struct Bounds {
  int64_t x_least, x_most;

  explicit Bounds(const IntegerSums& sums) : x_least(-kLargestCode), x_most(kLargestCode) {
    if (!sums.is_raw) return;
    x_least = std::min(sums.raw_shifts[0], sums.raw_shifts[1] - 128);
    x_most = std::max(sums.raw_shifts[0] + 255, sums.raw_shifts[1] + 127);
    x_least = std::min<int64_t>(x_least, 0);  // a prefix of a chain
  }
  bool Fit(int64_t positive, int64_t negative, int bits) const {
    return Fits(positive * x_most - negative * x_least, bits) && Fits(positive * x_least - negative * x_most, bits);
  }
  int64_t largest() const { return std::max(x_most, -x_least); }
};

class IntegerPlanner {
 public:
  IntegerPlanner(const IntegerSums& sums, const WeightFacts& facts, const IntegerKernels& kernels, int64_t places)
      : places_(places),
        sums_(sums),
        facts_(facts),
        bounds_(sums),
        inner_(sums.levels.front()),
        outer_(sums.levels.back()) {
    plan_.kernels = &kernels;
  }

  IntegerPlan Plan() {
    const bool is_found = PlanSum() || (!sums_.is_wide() && (PlanPairs() || PlanSteps()));
    return is_found ? plan_ : IntegerPlan{};
  }

 private:
  bool is_two() const { return sums_.levels.size() == 2; }
  bool InnerFits() const { return bounds_.Fit(facts_.group_positive, facts_.group_negative, inner_.bits); }
  bool OuterFits() const { return bounds_.Fit(facts_.positive, facts_.negative, outer_.bits); }
  // Whether the innermost level changes nothing that the outermost one does not.
  bool IsInnerIdle() const {
    return !is_two() || InnerFits() || (!inner_.saturates && !outer_.saturates && outer_.bits <= inner_.bits);
  }

  // Any order.
  bool PlanSum() {
    if (sums_.dropped_bits != 0 || !IsInnerIdle()) return false;
    const bool fits = OuterFits();
    if (sums_.is_wide() && !Fits(places_ * kLargestCode * kLargestCode, 32)) return false;
    if (outer_.saturates && !fits) return false;
    plan_.step = IntegerStep::kSum;
    plan_.holds_sums = fits || outer_.bits >= 32;
    plan_.unused_bits = plan_.holds_sums ? 0 : 32 - outer_.bits;
    return true;
  }

  bool PlanPairs() {
    const IntegerLevel pair{2, 16, true}, sum{0, 32, false};
    if (!is_two() || !(inner_ == pair) || !(outer_ == sum) || !sums_.is_kernel) return false;
    plan_.step = IntegerStep::kSaturatePairs;
    plan_.holds_sums = true;
    return true;
  }

  bool PlanSteps() {
    const bool has_join = is_two();
    if (has_join && outer_.saturates && outer_.bits > 31) return false;
    plan_.group = has_join ? inner_.terms : 0;
    if (has_join && outer_.saturates) {
      plan_.constants.total_least = static_cast<int32_t>(LeastOf(outer_.bits));
      plan_.constants.total_most = MostHeld(outer_);
    }
    plan_.unused_bits = outer_.saturates ? 0 : 32 - outer_.bits;
    plan_.holds_sums = outer_.bits == 32 && !outer_.saturates;
    return PlanWords() || PlanScaled() || PlanClamps();
  }

  bool PlanWords() {
    const int64_t w = std::max(facts_.most, -facts_.least);
    if (sums_.dropped_bits != 0 || inner_.bits > 16 || bounds_.largest() * w > INT16_MAX) return false;
    plan_.step = inner_.saturates ? IntegerStep::kClampWords : IntegerStep::kWrapWords;
    SetInner();
    return true;
  }

  // A sum that saturates at 32 bits, of products that are scaled to that.
  bool PlanScaled() {
    if (is_two() || sums_.dropped_bits != 0 || plan_.kernels->Of(IntegerStep::kScaled).lanes_are_x == nullptr) {
      return false;
    }
    const int scale = 32 - inner_.bits, x_scale = ScaleOf(bounds_.x_least, bounds_.x_most);
    const int w_scale = ScaleOf(facts_.least, facts_.most);
    if (x_scale + w_scale < scale || scale > 30) return false;
    plan_.step = IntegerStep::kScaled;
    plan_.x_scale_log2 = std::min(x_scale, scale);
    plan_.w_scale_log2 = scale - plan_.x_scale_log2;
    return true;
  }

  bool PlanClamps() {
    const bool has_room = inner_.bits <= 31 || (!inner_.saturates && inner_.bits == 32);
    if (!has_room || sums_.dropped_bits > kMostDroppedBits) return false;
    plan_.step = IntegerStep::kClamp;
    plan_.constants.mask = static_cast<int32_t>(~uint32_t{0} << sums_.dropped_bits);
    plan_.constants.half = sums_.rounds_up ? int32_t{1} << (sums_.dropped_bits - 1) : 0;
    SetInner();
    return true;
  }

  void SetInner() {
    if (inner_.saturates) {
      plan_.constants.least = static_cast<int32_t>(LeastOf(inner_.bits));
      plan_.constants.most = MostHeld(inner_);
    } else {
      plan_.constants.unused_bits = 32 - inner_.bits;
    }
  }
  int32_t MostHeld(const IntegerLevel& level) const {
    return static_cast<int32_t>(MostOf(level.bits) >> sums_.dropped_bits << sums_.dropped_bits);
  }
  // By which power of two values may be multiplied that are to fit 16 bits.
  static int ScaleOf(int64_t least, int64_t most) {
    int scale = 0;
    while (scale < 15 && Fits(least * (int64_t{2} << scale), 16) && Fits(most * (int64_t{2} << scale), 16)) ++scale;
    return scale;
  }

  const int64_t places_;
  const IntegerSums& sums_;
  const WeightFacts& facts_;
  const Bounds bounds_;
  const IntegerLevel &inner_, &outer_;
  IntegerPlan plan_;
};

// Whether the last sum alone matters, whatever the weights are.
bool IsPlain(const IntegerSums& sums, int64_t places) {
  const IntegerLevel& level = sums.levels[0];
  if (sums.levels.size() > 1 || sums.dropped_bits != 0) return false;
  const int64_t largest = places * kLargestCode * kLargestCode;
  return level.bits <= 32 ? !level.saturates : Fits(largest, 32);
}

}  // namespace

WeightFacts FactsOf(const IntegerSums& sums, const ChainSource& fixed) {
  WeightFacts facts;
  Chain chain;
  const int64_t terms = sums.levels.size() == 2 ? sums.levels[0].terms : INT64_MAX;
  for (int64_t vector = 0; vector < fixed.vectors(); ++vector) {
    fixed.Load(vector, &chain);
    const int64_t length = static_cast<int64_t>(chain.values.size());
    int64_t positive = 0, negative = 0;
    for (int64_t begin = 0; begin < length;) {
      const int64_t end = length - begin <= terms ? length : begin + terms;
      int64_t group_positive = 0, group_negative = 0;
      for (; begin < end; ++begin) {
        const int64_t value = chain.values[begin];
        (value < 0 ? group_negative : group_positive) += value < 0 ? -value : value;
        facts.least = std::min(facts.least, value);
        facts.most = std::max(facts.most, value);
      }
      facts.group_positive = std::max(facts.group_positive, group_positive);
      facts.group_negative = std::max(facts.group_negative, group_negative);
      positive += group_positive;
      negative += group_negative;
    }
    facts.positive = std::max(facts.positive, positive);
    facts.negative = std::max(facts.negative, negative);
  }
  return facts;
}

IntegerPlan PlanIntegers(const IntegerSums& sums, const ChainSource& fixed, int64_t places) {
  const IntegerKernels* kernels = SelectedIntegerKernels();
  if (kernels == nullptr) return {};
  const bool is_plain = IsPlain(sums, places);
  const WeightFacts facts = is_plain ? WeightFacts{} : FactsOf(sums, fixed);
  IntegerPlan plan = IntegerPlanner(sums, facts, *kernels, places).Plan();
  const int bits = sums.levels.back().bits;
  if (is_plain && bits < 32) {  // nothing is known of the weights
    plan.holds_sums = false;
    plan.unused_bits = 32 - bits;
  }
  return plan;
}

int32_t KernelXShift(const IntegerSums& sums, const IntegerPlan& plan, CodeType type, int32_t zero_point) {
  return plan.has_bytes() ? (type == CodeType::kInt8 ? 128 : 0) : sums.XShift(type, zero_point);
}

int32_t KernelWShift(const IntegerSums& sums, const IntegerPlan& plan, CodeType type, int32_t zero_point) {
  return plan.has_bytes() ? (type == CodeType::kUint8 ? -128 : 0) : sums.WShift(zero_point);
}

}  // namespace lba
