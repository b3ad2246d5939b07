#include "kernels/cpu/integers/definition.h"

#include <numeric>

namespace lba {
namespace {

LoadedChain Load(const ProductSide& side, int64_t vector, int32_t shift) {
  LoadedChain chain;
  chain.values.resize(side.vectors.length());
  side.vectors.Load(vector, shift, chain.values.data());
  chain.sum = std::accumulate(chain.values.begin(), chain.values.end(), int64_t{0});
  chain.offset = ZeroPointOf(side.codes, side.first + vector) + shift;
  return chain;
}

}  // namespace

int64_t CorrectedSum(const IntegerSums& sums, const LoadedChain& x, const LoadedChain& w, int64_t depth) {
  const int64_t sum = SumChain(sums, x.values.data(), w.values.data(), static_cast<int64_t>(x.values.size()));
  const int64_t corrected = sum - w.offset * x.sum - x.offset * w.sum + depth * x.offset * w.offset;
  return sums.is_wide() ? corrected : Wrapped(corrected, 32);
}

LoadedChain LoadX(const IntegerSums& sums, const ProductSide& x, int64_t vector) {
  return Load(x, vector, sums.XShift(x.codes.type, ZeroPointOf(x.codes, x.first + vector)));
}

LoadedChain LoadW(const IntegerSums& sums, const ProductSide& w, int64_t vector) {
  return Load(w, vector, sums.WShift(ZeroPointOf(w.codes, w.first + vector)));
}

}  // namespace lba
