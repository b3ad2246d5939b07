// The combinations of element types that operators of integers take.
#ifndef LBA_ONNXRUNTIME_INTEGER_SIGNATURES_H_
#define LBA_ONNXRUNTIME_INTEGER_SIGNATURES_H_

#include <string>
#include <vector>

#include "onnxruntime/operator_registry.h"

namespace lba::ort {

// One letter an input, and one for the output behind them: x, w and y stand for uint8 or int8, f for float32, i for
// int32. The signatures of "xxwwi" are those of all types that x and w may have.
std::vector<Signature> IntegerSignatures(const std::string& letters);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_INTEGER_SIGNATURES_H_
