// The operators as onnxruntime sees them, and the entry point that registers them.
#include <array>
#include <map>
#include <mutex>

#include "lba/c_api.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/shape_inference.h"

namespace lba::ort {
namespace {

constexpr char kDomain[] = "lba_onnx";
constexpr int kVersion = 1;
constexpr size_t kRequiredInputs = 2;

struct OperatorKind {
  const char* name;
  size_t inputs;  // of which the third is optional
  std::unique_ptr<Kernel> (*make_kernel)(const Node&);
  void (*infer_shape)(const Api*, const ShapeInferContext*);
};

constexpr OperatorKind kMatMul{"LbaMatMul", 2, MakeMatMulKernel, InferMatMul};
constexpr OperatorKind kGemm{"LbaGemm", 3, MakeGemmKernel, InferGemm};
constexpr OperatorKind kConv{"LbaConv", 3, MakeConvKernel, InferConv};

// One element type of one operator, in one onnxruntime.
struct Operator : CustomOp {
  const Api* api;
  const OperatorKind* kind;
  ElementType type;
};

const Operator& Of(const CustomOp* op) { return *static_cast<const Operator*>(op); }

struct LoadedKernel {
  const Api* api;
  std::string label;
  std::unique_ptr<Kernel> kernel;
};

Status* CreateKernel(const CustomOp* op, const Api* api, const KernelInfo* info, void** out) {
  *out = nullptr;
  std::string label = Of(op).kind->name;
  try {
    label = NodeLabel(api, info, label);
  } catch (const std::exception&) {
    // the operator's name will have to do
  }
  return Guarded(api, label, [&] {
    auto loaded = std::make_unique<LoadedKernel>();
    loaded->api = api;
    loaded->label = label;
    loaded->kernel = Of(op).kind->make_kernel(Node(api, info));
    *out = loaded.release();
  });
}

Status* ComputeKernel(void* kernel, KernelContext* context) {
  const auto* loaded = static_cast<const LoadedKernel*>(kernel);
  return Guarded(loaded->api, loaded->label, [&] { loaded->kernel->Compute(Call(loaded->api, context)); });
}

void DestroyKernel(void* kernel) { delete static_cast<LoadedKernel*>(kernel); }

// onnxruntime neither reads nor releases the status of shape inference.
Status* InferShape(const CustomOp* op, ShapeInferContext* context) {
  try {
    Of(op).kind->infer_shape(Of(op).api, context);
  } catch (const std::exception&) {
    // the shape stays open; kernel creation says why
  }
  return nullptr;
}

Characteristic InputCharacteristic(const CustomOp*, size_t index) {
  return index < kRequiredInputs ? kRequired : kOptional;
}

Operator MakeOperator(const Api* api, const OperatorKind& kind, ElementType type) {
  Operator op{};
  op.api = api;
  op.kind = &kind;
  op.type = type;
  op.version = kApiVersion;
  op.GetName = [](const CustomOp* self) { return Of(self).kind->name; };
  op.GetExecutionProviderType = [](const CustomOp*) -> const char* { return nullptr; };  // the CPU
  op.GetInputType = [](const CustomOp* self, size_t) { return Of(self).type; };
  op.GetInputTypeCount = [](const CustomOp* self) { return Of(self).kind->inputs; };
  op.GetOutputType = [](const CustomOp* self, size_t) { return Of(self).type; };
  op.GetOutputTypeCount = [](const CustomOp*) { return size_t{1}; };
  op.KernelDestroy = DestroyKernel;
  op.GetInputCharacteristic = InputCharacteristic;
  op.GetOutputCharacteristic = [](const CustomOp*, size_t) { return kRequired; };
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
  std::array<Operator, 6> operators;
  CustomOpDomain* handle = nullptr;
};

std::unique_ptr<Domain> MakeDomain(const Api* api) {
  std::unique_ptr<Domain> domain(new Domain{
      {MakeOperator(api, kMatMul, kFloat32), MakeOperator(api, kMatMul, kFloat16), MakeOperator(api, kGemm, kFloat32),
       MakeOperator(api, kGemm, kFloat16), MakeOperator(api, kConv, kFloat32), MakeOperator(api, kConv, kFloat16)},
      nullptr});
  Check(api, CreateCustomOpDomain(api, kDomain, &domain->handle));
  for (const Operator& op : domain->operators) Check(api, CustomOpDomain_Add(api, domain->handle, &op));
  return domain;
}

// A process may hold several copies of onnxruntime.
CustomOpDomain* DomainOf(const Api* api) {
  static auto* mutex = new std::mutex;
  static auto* domains = new std::map<const Api*, std::unique_ptr<Domain>>;
  const std::lock_guard<std::mutex> lock(*mutex);
  std::unique_ptr<Domain>& domain = (*domains)[api];
  if (domain == nullptr) domain = MakeDomain(api);
  return domain->handle;
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
    lba::ort::Check(api, lba::ort::AddCustomOpDomain(api, options, lba::ort::DomainOf(api)));
  });
}
