// The operators as onnxruntime sees them, and the entry point that registers them.
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

#include "lba/c_api.h"
#include "lba/watched_run.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/observed_kernel.h"
#include "onnxruntime/offload.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_inference.h"
#include "onnxruntime/shared_library.h"

namespace lba::ort {
namespace {

constexpr char kDomain[] = "lba_onnx";
constexpr int kVersion = 1;

constexpr char kCpuProvider[] = "CPUExecutionProvider";
constexpr char kCudaProvider[] = "CUDAExecutionProvider";

const OperatorRegistration matmul({"LbaMatMul", 2, 2, MakeMatMulKernel, MakeCudaMatMulKernel, InferMatMul});
const OperatorRegistration gemm({"LbaGemm", 3, 2, MakeGemmKernel, MakeCudaGemmKernel, InferGemm});
const OperatorRegistration conv({"LbaConv", 3, 2, MakeConvKernel, MakeCudaConvKernel, InferConv});

// One onnxruntime: a process may hold several copies.
struct Runtime {
  const Api* api;
  const Api* scratch_api;  // null before kScratchApiVersion
};

// One combination of types of one operator in one place.
struct Operator : CustomOp {
  Runtime runtime;
  const OperatorKind* kind;
  const Signature* types;
  Place place;
};

const Operator& Of(const CustomOp* op) { return *static_cast<const Operator*>(op); }

struct LoadedKernel {
  const Api* api;
  std::string label;
  std::unique_ptr<Kernel> kernel;
};

std::unique_ptr<Kernel> MakeKernel(const OperatorKind& kind, const Node& node) {
  if (node.place() != Place::kCudaProvider) return kind.make_kernel(node);
  if (IsObserved(node)) return OnHostCopies(kind.make_kernel(node.OnHostCopies()));
  return kind.make_cuda_kernel(node);
}

Status* CreateKernel(const CustomOp* op, const Api* api, const KernelInfo* info, void** out) {
  *out = nullptr;
  std::string label = Of(op).kind->name;
  try {
    label = NodeLabel(api, info, label);
  } catch (const std::exception&) {
    // the operator's name will have to do
  }
  return Guarded(api, label, [&] {
    ThrowIfStopped();
    auto loaded = std::make_unique<LoadedKernel>();
    loaded->api = api;
    loaded->label = label;
    loaded->kernel = MakeKernel(*Of(op).kind, Node(api, info, Of(op).place, Of(op).runtime.scratch_api));
    if (CurrentRun() != nullptr) CurrentRun()->CountCreatedNode();
    *out = loaded.release();
  });
}

Status* ComputeKernel(void* kernel, KernelContext* context) {
  const auto* loaded = static_cast<const LoadedKernel*>(kernel);
  return Guarded(loaded->api, loaded->label, [&] {
    ThrowIfStopped();
    loaded->kernel->Compute(Call(loaded->api, context));
    if (CurrentRun() != nullptr) CurrentRun()->EndNode();
  });
}

void DestroyKernel(void* kernel) { delete static_cast<LoadedKernel*>(kernel); }

// onnxruntime neither reads nor releases the status of shape inference.
Status* InferShape(const CustomOp* op, ShapeInferContext* context) {
  try {
    Of(op).kind->infer_shape(Of(op).runtime.api, context);
  } catch (const std::exception&) {
    // the shape stays open; kernel creation says why
  }
  return nullptr;
}

Characteristic InputCharacteristic(const CustomOp* op, size_t index) {
  return index < Of(op).kind->required_inputs ? kRequired : kOptional;
}

Characteristic OutputCharacteristic(const CustomOp* op, size_t index) {
  return index < Of(op).kind->required_outputs ? kRequired : kOptional;
}

const char* ExecutionProvider(const CustomOp* op) {
  return Of(op).place == Place::kCudaProvider ? kCudaProvider : kCpuProvider;
}

Operator MakeOperator(const Runtime& runtime, const OperatorKind& kind, const Signature& types, Place place) {
  Operator op{};
  op.runtime = runtime;
  op.kind = &kind;
  op.types = &types;
  op.place = place;
  op.version = kApiVersion;
  op.GetName = [](const CustomOp* self) { return Of(self).kind->name.c_str(); };
  op.GetExecutionProviderType = ExecutionProvider;
  op.GetInputType = [](const CustomOp* self, size_t index) { return Of(self).types->inputs[index]; };
  op.GetInputTypeCount = [](const CustomOp* self) { return Of(self).kind->inputs; };
  op.GetOutputType = [](const CustomOp* self, size_t index) { return Of(self).types->outputs[index]; };
  op.GetOutputTypeCount = [](const CustomOp* self) { return Of(self).types->outputs.size(); };
  op.KernelDestroy = DestroyKernel;
  op.GetInputCharacteristic = InputCharacteristic;
  op.GetOutputCharacteristic = OutputCharacteristic;
  op.GetInputMemoryType = [](const CustomOp*, size_t) { return kDefaultMemory; };
  op.GetVariadicInputMinArity = [](const CustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const CustomOp*) { return 1; };
  op.GetVariadicOutputMinArity = [](const CustomOp*) { return 1; };
  op.GetVariadicOutputHomogeneity = [](const CustomOp*) { return 1; };
  op.CreateKernelV2 = CreateKernel;
  op.KernelComputeV2 = ComputeKernel;
  op.InferOutputShapeFn = InferShape;
  op.GetStartVersion = [](const CustomOp*) { return kVersion; };
  op.GetEndVersion = [](const CustomOp*) { return kVersion; };
  return op;
}

// The domain with its operators, which live as long as the process: sessions hold on to them.
struct Domain {
  std::vector<std::unique_ptr<Operator>> operators;
  CustomOpDomain* handle = nullptr;
};

Domain MakeDomain(const Runtime& runtime, Place cpu_operators) {
  Domain domain;
  Check(runtime.api, CreateCustomOpDomain(runtime.api, kDomain, &domain.handle));
  for (const Place place : {cpu_operators, Place::kCudaProvider}) {
    for (const auto& [name, kind] : OperatorKinds()) {
      if (place == Place::kCudaProvider && kind.make_cuda_kernel == nullptr) continue;
      for (const Signature& types : kind.signatures) {
        domain.operators.push_back(std::make_unique<Operator>(MakeOperator(runtime, kind, types, place)));
        Check(runtime.api, CustomOpDomain_Add(runtime.api, domain.handle, domain.operators.back().get()));
      }
    }
  }
  return domain;
}

CustomOpDomain* DomainOf(const Runtime& runtime, Place cpu_operators) {
  static auto* mutex = new std::mutex;
  static auto* domains = new std::map<std::pair<const Api*, Place>, Domain>;
  const std::lock_guard<std::mutex> lock(*mutex);
  const std::pair<const Api*, Place> key(runtime.api, cpu_operators);
  auto found = domains->find(key);
  if (found == domains->end()) found = domains->emplace(key, MakeDomain(runtime, cpu_operators)).first;
  return found->second.handle;
}

// An onnxruntime of version 1.N has the interfaces up to N. Asked for a later one, it also writes to standard error.
bool HasInterface(const ApiBase* base, long wanted) {
  char* rest = nullptr;
  const long major = std::strtol(base->GetVersionString(), &rest, 10);
  return major > 1 || (*rest == '.' && std::strtol(rest + 1, nullptr, 10) >= wanted);
}

// An onnxruntime older than kApiVersion still has the functions of version 1, which make a status.
Status* TooOld(const ApiBase* base) {
  const Api* oldest = base->GetApi(1);
  if (oldest == nullptr) return nullptr;
  const std::string message =
      std::string("lba_onnx: expected onnxruntime 1.17 or newer, got ") + base->GetVersionString();
  return CreateStatus(oldest, kNotImplemented, message.c_str());
}

}  // namespace
}  // namespace lba::ort

// The name that onnxruntime looks for in a library of operators.
extern "C" LBA_EXPORT lba::ort::Status* RegisterCustomOps(lba::ort::SessionOptions* options,
                                                          const lba::ort::ApiBase* base) {
  const lba::ort::Api* api = base->GetApi(lba::ort::kApiVersion);
  if (api == nullptr) return lba::ort::TooOld(base);
  return lba::ort::Guarded(api, "lba_onnx", [&] {
    lba::ort::KeepThisLibrary();  // onnxruntime unloads it with the options; sessions and threads may still use it
    const bool has_scratch = lba::ort::HasInterface(base, lba::ort::kScratchApiVersion);
    const lba::ort::Runtime runtime{api, has_scratch ? base->GetApi(lba::ort::kScratchApiVersion) : nullptr};
    lba::ort::CustomOpDomain* domain = lba::ort::DomainOf(runtime, lba::ort::PlaceOfCpuOperators(api, options));
    lba::ort::Check(api, lba::ort::AddCustomOpDomain(api, options, domain));
  });
}
