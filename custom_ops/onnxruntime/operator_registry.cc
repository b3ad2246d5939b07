#include "onnxruntime/operator_registry.h"

namespace lba::ort {
namespace {

std::map<std::string, OperatorKind>& Kinds() {
  static auto* kinds = new std::map<std::string, OperatorKind>;  // never destroyed: sessions may outlive statics
  return *kinds;
}

}  // namespace

OperatorRegistration::OperatorRegistration(const OperatorKind& kind) { Kinds().emplace(kind.name, kind); }

const std::map<std::string, OperatorKind>& OperatorKinds() { return Kinds(); }

}  // namespace lba::ort
