// A chunked float accumulator in the attributes product_format, accumulator_format, chunk_size and underflow.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_ATTRIBUTES_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_ATTRIBUTES_H_

#include <string>

#include "common/attribute_reader.h"

namespace lba {

// The name of one of these attributes that the node has, or "".
std::string FirstChunkedFloatAttribute(const AttributeReader& attributes);

// Throws std::invalid_argument with the attribute's name, what was expected and what came.
std::string TextOfAttributes(const AttributeReader& attributes);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_ATTRIBUTES_H_
