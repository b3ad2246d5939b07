// The exact sum of exact products, rounded once: "kulisch", or "kulisch(M10E5b15),round=truncate" with another format
// of the result.
#ifndef LBA_ARITHMETIC_KULISCH_SPEC_H_
#define LBA_ARITHMETIC_KULISCH_SPEC_H_

#include <string>

#include "arithmetic/accumulator.h"
#include "arithmetic/result_format.h"

namespace lba {

// Products, their exact sum, and what it is rounded to.
Levels KulischLevels(const ResultFormat& result);

std::string KulischText(const ResultFormat& result);

class Kulisch : public Accumulator {
 public:
  explicit Kulisch(const ResultFormat& result)
      : Accumulator(KulischText(result), KulischLevels(result)), result_(result) {}

  const ResultFormat& result() const { return result_; }

 private:
  const ResultFormat result_;
};

// Each library has its own.
SharedAccumulator MakeKulisch(const ResultFormat& result);

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_SPEC_H_
