// Compares the hand-written declarations of ort_abi.h with onnxruntime's own header, where there is one: Debian's
// libonnxruntime-dev, or any directory named in CPLUS_INCLUDE_PATH when this is compiled.
#include <cstddef>
#include <cstdio>

#include "onnxruntime/ort_abi.h"

#if __has_include(<onnxruntime_c_api.h>)
#include <onnxruntime_c_api.h>
#define LBA_HAS_ORT_HEADER
#elif __has_include(<onnxruntime/onnxruntime_c_api.h>)
#include <onnxruntime/onnxruntime_c_api.h>
#define LBA_HAS_ORT_HEADER
#endif

#ifndef LBA_HAS_ORT_HEADER

int main() {
  std::printf("skipped: no onnxruntime_c_api.h to compare with (Debian: libonnxruntime-dev)\n");
  return 0;
}

#else

namespace {

int failures = 0;
int checks = 0;

void ExpectEqual(const char* name, size_t ours, size_t theirs) {
  ++checks;
  if (ours == theirs) return;
  ++failures;
  std::printf("%s: %zu in ort_abi.h, %zu in the header\n", name, ours, theirs);
}

void CheckFunctionPositions() {
#define LBA_ORT_CHECK(name, position, ...) ExpectEqual(#name, position, offsetof(OrtApi, name) / sizeof(void*));
  LBA_ORT_FUNCTIONS(LBA_ORT_CHECK)
  LBA_ORT_SCRATCH_FUNCTIONS(LBA_ORT_CHECK)
#undef LBA_ORT_CHECK
  ExpectEqual("OrtApiBase::GetVersionString", offsetof(lba::ort::ApiBase, GetVersionString),
              offsetof(OrtApiBase, GetVersionString));
}

void CheckCustomOpMembers() {
#define LBA_ORT_CHECK(name) \
  ExpectEqual("OrtCustomOp::" #name, offsetof(lba::ort::CustomOp, name), offsetof(OrtCustomOp, name))
  LBA_ORT_CHECK(version);
  LBA_ORT_CHECK(CreateKernel);
  LBA_ORT_CHECK(GetName);
  LBA_ORT_CHECK(GetExecutionProviderType);
  LBA_ORT_CHECK(GetInputType);
  LBA_ORT_CHECK(GetInputTypeCount);
  LBA_ORT_CHECK(GetOutputType);
  LBA_ORT_CHECK(GetOutputTypeCount);
  LBA_ORT_CHECK(KernelCompute);
  LBA_ORT_CHECK(KernelDestroy);
  LBA_ORT_CHECK(GetInputCharacteristic);
  LBA_ORT_CHECK(GetOutputCharacteristic);
  LBA_ORT_CHECK(GetInputMemoryType);
  LBA_ORT_CHECK(GetVariadicInputMinArity);
  LBA_ORT_CHECK(GetVariadicInputHomogeneity);
  LBA_ORT_CHECK(GetVariadicOutputMinArity);
  LBA_ORT_CHECK(GetVariadicOutputHomogeneity);
  LBA_ORT_CHECK(CreateKernelV2);
  LBA_ORT_CHECK(KernelComputeV2);
  LBA_ORT_CHECK(InferOutputShapeFn);
  LBA_ORT_CHECK(GetStartVersion);
  LBA_ORT_CHECK(GetEndVersion);
#undef LBA_ORT_CHECK
}

void CheckConstants() {
  ExpectEqual("ORT_FAIL", lba::ort::kFail, ORT_FAIL);
  ExpectEqual("ORT_INVALID_ARGUMENT", lba::ort::kInvalidArgument, ORT_INVALID_ARGUMENT);
  ExpectEqual("ORT_NOT_IMPLEMENTED", lba::ort::kNotImplemented, ORT_NOT_IMPLEMENTED);
  ExpectEqual("float32", lba::ort::kFloat32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  ExpectEqual("float16", lba::ort::kFloat16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16);
  ExpectEqual("uint8", lba::ort::kUint8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
  ExpectEqual("int8", lba::ort::kInt8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8);
  ExpectEqual("int32", lba::ort::kInt32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
  ExpectEqual("INPUT_OUTPUT_REQUIRED", lba::ort::kRequired, INPUT_OUTPUT_REQUIRED);
  ExpectEqual("INPUT_OUTPUT_OPTIONAL", lba::ort::kOptional, INPUT_OUTPUT_OPTIONAL);
  ExpectEqual("OrtMemTypeDefault", lba::ort::kDefaultMemory, OrtMemTypeDefault);
  ExpectEqual("ORT_OP_ATTR_INT", lba::ort::kInt, ORT_OP_ATTR_INT);
  ExpectEqual("ORT_OP_ATTR_INTS", lba::ort::kInts, ORT_OP_ATTR_INTS);
  ExpectEqual("ORT_OP_ATTR_STRING", lba::ort::kString, ORT_OP_ATTR_STRING);
}

}  // namespace

int main() {
  CheckFunctionPositions();
  CheckCustomOpMembers();
  CheckConstants();
  std::printf("%d checks against the header of API version %d, %d failures\n", checks, ORT_API_VERSION, failures);
  return failures == 0 ? 0 : 1;
}

#endif
