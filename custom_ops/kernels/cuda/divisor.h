// Division by a number that the host knows beforehand: a multiplication and a shift, where the device's own division
// takes dozens of instructions.
#ifndef LBA_KERNELS_CUDA_DIVISOR_H_
#define LBA_KERNELS_CUDA_DIVISOR_H_

#include <cstdint>

#include "common/host_device.h"

namespace lba::cuda {

class Divisor {
 public:
  static constexpr int64_t kMost = int64_t{1} << 31;  // dividends stay below, and the divisor is at most this

  Divisor() = default;
  explicit Divisor(int64_t divisor) : divisor_(static_cast<uint32_t>(divisor)) {
    int log2 = 0;  // rounded up
    while ((int64_t{1} << log2) < divisor) ++log2;
    // With multiplier * divisor = 2^shift + error and error < divisor <= 2^log2, the quotient of n is too large by
    // n * error / (2^shift * divisor) < 1 / divisor: too little to reach the next integer.
    shift_ = 31 + log2;
    multiplier_ = static_cast<uint32_t>(((uint64_t{1} << shift_) + divisor_ - 1) / divisor_);
  }

  LBA_HOST_DEVICE uint32_t Quotient(uint32_t n) const {
    return static_cast<uint32_t>((n * uint64_t{multiplier_}) >> shift_);
  }

  // The quotient; `n` becomes the remainder.
  LBA_HOST_DEVICE uint32_t Split(uint32_t* n) const {
    const uint32_t quotient = Quotient(*n);
    *n -= quotient * divisor_;
    return quotient;
  }

 private:
  uint32_t divisor_ = 1, multiplier_ = uint32_t{1} << 31;
  int shift_ = 31;
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_DIVISOR_H_
