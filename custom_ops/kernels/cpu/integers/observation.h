// What calls of integer products are checked for, and how observers are told of them.
#ifndef LBA_KERNELS_CPU_INTEGERS_OBSERVATION_H_
#define LBA_KERNELS_CPU_INTEGERS_OBSERVATION_H_

#include <cstdint>

#include "lba/integer_product.h"

namespace lba {

// As the C entry points number it.
inline int32_t TypeOf(CodeType type) { return type == CodeType::kUint8 ? LBA_UINT8 : LBA_INT8; }

// Throws std::invalid_argument for zero points that are no codes of the operand; `name` is the operand's, with `count`
// zero points where it has many.
void RequireZeroPoints(const char* name, const Codes& codes, int64_t count);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_OBSERVATION_H_
