// The accumulator of a node.
#ifndef LBA_ARITHMETIC_ATTRIBUTES_H_
#define LBA_ARITHMETIC_ATTRIBUTES_H_

#include <string>

#include "arithmetic/accumulator.h"
#include "common/attribute_reader.h"

namespace lba {

// What the attribute `accumulator` says, or without it the attributes of chunked floats; of one of several products of
// a node, what `accumulator_<product>` says. Throws std::invalid_argument with the attribute's name, what was expected
// and what came.
SharedAccumulator ReadAccumulator(const AttributeReader& attributes, const std::string& product = "");

}  // namespace lba

#endif  // LBA_ARITHMETIC_ATTRIBUTES_H_
