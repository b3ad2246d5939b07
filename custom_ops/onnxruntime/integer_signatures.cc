#include "onnxruntime/integer_signatures.h"

namespace lba::ort {
namespace {

ElementType TypeOf(char letter, ElementType x, ElementType w, ElementType y) {
  switch (letter) {
    case 'x':
      return x;
    case 'w':
      return w;
    case 'y':
      return y;
    default:
      return letter == 'f' ? kFloat32 : kInt32;
  }
}

}  // namespace

std::vector<Signature> IntegerSignatures(const std::string& letters) {
  const std::vector<ElementType> codes{kUint8, kInt8};
  const bool has_y = letters.find('y') != std::string::npos;
  std::vector<Signature> signatures;
  for (const ElementType x : codes) {
    for (const ElementType w : codes) {
      for (const ElementType y : has_y ? codes : std::vector<ElementType>{kUint8}) {
        Signature signature{};
        for (const char letter : letters.substr(0, letters.size() - 1)) {
          signature.inputs.push_back(TypeOf(letter, x, w, y));
        }
        signature.outputs = {TypeOf(letters.back(), x, w, y)};
        signatures.push_back(signature);
      }
    }
  }
  return signatures;
}

}  // namespace lba::ort
