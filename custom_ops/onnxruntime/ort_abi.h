// The part of onnxruntime's C interface that this library uses, declared by hand: the wheels bring no header, and one
// binary has to run in every version from 1.17 on. onnxruntime only appends to its table of functions, so a function is
// its position in the table. custom_ops/tests/test_ort_abi.cc compares this file with the real header.
#ifndef LBA_ONNXRUNTIME_ORT_ABI_H_
#define LBA_ONNXRUNTIME_ORT_ABI_H_

#include <cstddef>
#include <cstdint>

namespace lba::ort {

// The interface of onnxruntime 1.17, the oldest version that is supported.
constexpr uint32_t kApiVersion = 17;
// The interface of onnxruntime 1.18, for what CUDA can do without.
constexpr uint32_t kScratchApiVersion = 18;

struct Status;
struct Value;
struct TypeInfo;
struct TensorInfo;
struct KernelInfo;
struct KernelContext;
struct ShapeInferContext;
struct OpAttr;
struct CustomOpDomain;
struct SessionOptions;
struct MemoryInfo;
struct Allocator;
struct CustomOp;

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2, kNotImplemented = 9 };
enum ElementType : int { kFloat32 = 1, kUint8 = 2, kInt8 = 3, kInt32 = 6, kFloat16 = 10 };
enum Characteristic : int { kRequired = 0, kOptional = 1 };
enum MemoryType : int { kDefaultMemory = 0 };
enum AttributeType : int { kInt = 1, kInts = 2, kString = 5 };

struct Api;  // the table of functions

struct ApiBase {
  const Api* (*GetApi)(uint32_t version);  // null when this onnxruntime is older than the version
  const char* (*GetVersionString)();
};

// name, position in the table, type. A Status* is null on success and released by the caller.
#define LBA_ORT_FUNCTIONS(FUNCTION)                                                                                  \
  FUNCTION(CreateStatus, 0, Status*(ErrorCode code, const char* message))                                            \
  FUNCTION(GetErrorMessage, 2, const char*(const Status*))                                                           \
  FUNCTION(CreateCustomOpDomain, 26, Status*(const char* domain, CustomOpDomain** out))                              \
  FUNCTION(CustomOpDomain_Add, 27, Status*(CustomOpDomain*, const CustomOp*))                                        \
  FUNCTION(AddCustomOpDomain, 28, Status*(SessionOptions*, CustomOpDomain*))                                         \
  FUNCTION(GetTensorMutableData, 51, Status*(Value*, void** out))                                                    \
  FUNCTION(CastTypeInfoToTensorInfo, 55, Status*(const TypeInfo*, const TensorInfo** out))                           \
  FUNCTION(CreateTensorTypeAndShapeInfo, 57, Status*(TensorInfo * *out))                                             \
  FUNCTION(SetTensorElementType, 58, Status*(TensorInfo*, ElementType))                                              \
  FUNCTION(SetDimensions, 59, Status*(TensorInfo*, const int64_t* values, size_t count))                             \
  FUNCTION(GetTensorElementType, 60, Status*(const TensorInfo*, ElementType* out))                                   \
  FUNCTION(GetDimensionsCount, 61, Status*(const TensorInfo*, size_t* out))                                          \
  FUNCTION(GetDimensions, 62, Status*(const TensorInfo*, int64_t* values, size_t count))                             \
  FUNCTION(GetSymbolicDimensions, 63, Status*(const TensorInfo*, const char** symbols, size_t count))                \
  FUNCTION(GetTensorTypeAndShape, 65, Status*(const Value*, TensorInfo** out))                                       \
  FUNCTION(AllocatorFree, 76, Status*(Allocator*, void* memory))                                                     \
  FUNCTION(KernelInfoGetAttribute_float, 85, Status*(const KernelInfo*, const char* name, float* out))               \
  FUNCTION(KernelInfoGetAttribute_int64, 86, Status*(const KernelInfo*, const char* name, int64_t* out))             \
  FUNCTION(KernelInfoGetAttribute_string, 87, Status*(const KernelInfo*, const char* name, char* out, size_t* size)) \
  FUNCTION(KernelContext_GetInputCount, 88, Status*(const KernelContext*, size_t* out))                              \
  FUNCTION(KernelContext_GetInput, 90, Status*(const KernelContext*, size_t index, const Value** out))               \
  FUNCTION(KernelContext_GetOutput, 91,                                                                              \
           Status*(KernelContext*, size_t index, const int64_t* dimensions, size_t rank, Value** out))               \
  FUNCTION(ReleaseStatus, 93, void(Status*))                                                                         \
  FUNCTION(ReleaseTypeInfo, 98, void(TypeInfo*))                                                                     \
  FUNCTION(ReleaseTensorTypeAndShapeInfo, 99, void(TensorInfo*))                                                     \
  FUNCTION(ReleaseAllocator, 132, void(Allocator*))                                                                  \
  FUNCTION(KernelInfoGetAttributeArray_float, 162,                                                                   \
           Status*(const KernelInfo*, const char* name, float* out, size_t* size))                                   \
  FUNCTION(KernelInfoGetAttributeArray_int64, 163,                                                                   \
           Status*(const KernelInfo*, const char* name, int64_t* out, size_t* size))                                 \
  FUNCTION(KernelContext_GetGPUComputeStream, 193, Status*(const KernelContext*, void** out))                        \
  FUNCTION(GetTensorMemoryInfo, 194, Status*(const Value*, const MemoryInfo** out))                                  \
  FUNCTION(KernelInfo_GetInputCount, 230, Status*(const KernelInfo*, size_t* out))                                   \
  FUNCTION(KernelInfo_GetOutputName, 233, Status*(const KernelInfo*, size_t index, char* out, size_t* size))         \
  FUNCTION(KernelInfo_GetInputTypeInfo, 234, Status*(const KernelInfo*, size_t index, TypeInfo** out))               \
  FUNCTION(HasSessionConfigEntry, 237, Status*(const SessionOptions*, const char* key, int* out))                    \
  FUNCTION(GetSessionConfigEntry, 238, Status*(const SessionOptions*, const char* key, char* out, size_t* size))     \
  FUNCTION(KernelInfo_GetNodeName, 244, Status*(const KernelInfo*, char* out, size_t* size))                         \
  FUNCTION(KernelInfoGetConstantInput_tensor, 249,                                                                   \
           Status*(const KernelInfo*, size_t index, int* is_constant, const Value** out))                            \
  FUNCTION(KernelContext_GetAllocator, 253, Status*(const KernelContext*, const MemoryInfo*, Allocator** out))       \
  FUNCTION(ShapeInferContext_GetInputCount, 267, Status*(const ShapeInferContext*, size_t* out))                     \
  FUNCTION(ShapeInferContext_GetInputTypeShape, 268,                                                                 \
           Status*(const ShapeInferContext*, size_t index, TensorInfo** out))                                        \
  FUNCTION(ShapeInferContext_GetAttribute, 269,                                                                      \
           Status*(const ShapeInferContext*, const char* name, const OpAttr** out))                                  \
  FUNCTION(ShapeInferContext_SetOutputTypeShape, 270,                                                                \
           Status*(const ShapeInferContext*, size_t index, const TensorInfo*))                                       \
  FUNCTION(SetSymbolicDimensions, 271, Status*(TensorInfo*, const char** symbols, size_t count))                     \
  FUNCTION(ReadOpAttr, 272, Status*(const OpAttr*, AttributeType, void* data, size_t bytes, size_t* out))            \
  FUNCTION(KernelContext_ParallelFor, 274,                                                                           \
           Status*(const KernelContext*, void (*task)(void*, size_t), size_t count, size_t batches, void* argument))

// The same for a table that GetApi(kScratchApiVersion) has returned: an older onnxruntime's table ends before them.
#define LBA_ORT_SCRATCH_FUNCTIONS(FUNCTION)     \
  FUNCTION(KernelContext_GetScratchBuffer, 277, \
           Status*(const KernelContext*, const MemoryInfo*, size_t bytes, void** out))

template <typename Signature>
struct ApiFunction;

template <typename Result, typename... Arguments>
struct ApiFunction<Result(Arguments...)> {
  size_t position;

  Result operator()(const Api* api, Arguments... arguments) const {
    return reinterpret_cast<Result (*const*)(Arguments...)>(api)[position](arguments...);
  }
};

#define LBA_ORT_DECLARE(name, position, ...) inline constexpr ApiFunction<__VA_ARGS__> name{position};
LBA_ORT_FUNCTIONS(LBA_ORT_DECLARE)
LBA_ORT_SCRATCH_FUNCTIONS(LBA_ORT_DECLARE)
#undef LBA_ORT_DECLARE

// What onnxruntime calls for an operator, as of version 17; later versions have more behind it, which they do not read
// when `version` is 17.
struct CustomOp {
  uint32_t version;
  void* (*CreateKernel)(const CustomOp*, const Api*, const KernelInfo*);  // superseded by CreateKernelV2
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  ElementType (*GetInputType)(const CustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const CustomOp*);
  ElementType (*GetOutputType)(const CustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const CustomOp*);
  void (*KernelCompute)(void* kernel, KernelContext*);  // superseded by KernelComputeV2
  void (*KernelDestroy)(void* kernel);
  Characteristic (*GetInputCharacteristic)(const CustomOp*, size_t index);
  Characteristic (*GetOutputCharacteristic)(const CustomOp*, size_t index);
  MemoryType (*GetInputMemoryType)(const CustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const CustomOp*);
  int (*GetVariadicInputHomogeneity)(const CustomOp*);
  int (*GetVariadicOutputMinArity)(const CustomOp*);
  int (*GetVariadicOutputHomogeneity)(const CustomOp*);
  Status* (*CreateKernelV2)(const CustomOp*, const Api*, const KernelInfo*, void** kernel);
  Status* (*KernelComputeV2)(void* kernel, KernelContext*);
  Status* (*InferOutputShapeFn)(const CustomOp*, ShapeInferContext*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
};

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ORT_ABI_H_
