#include "onnxruntime/attention_cache.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "onnxruntime/float16.h"

namespace lba::ort {
namespace {

int64_t BytesOf(ElementType type) { return type == kFloat16 ? sizeof(uint16_t) : sizeof(float); }

std::byte* At(const HeadTensor& tensor, int64_t batch, int64_t head, int64_t row) {
  const int64_t element = batch * tensor.batch_stride + head * tensor.head_stride + row * tensor.row_stride;
  return static_cast<std::byte*>(tensor.data) + element * BytesOf(tensor.type);
}

void CopyRows(const HeadTensor& from, int64_t batch, int64_t head, int64_t count, const HeadTensor& to, int64_t row) {
  const auto bytes = static_cast<size_t>(from.size * BytesOf(from.type));
  if (bytes == 0) return;
  for (int64_t i = 0; i < count; ++i) std::memcpy(At(to, batch, head, row + i), At(from, batch, head, i), bytes);
}

void ClearRows(const HeadTensor& to, int64_t batch, int64_t head, int64_t row, int64_t end) {
  const int64_t bytes = (end - row) * to.size * BytesOf(to.type);
  if (bytes > 0) std::memset(At(to, batch, head, row), 0, static_cast<size_t>(bytes));
}

}  // namespace

HeadTensor::HeadTensor(const Tensor& tensor, int64_t head_count)
    : batch(tensor.dimensions[0]), heads(head_count), type(tensor.type), data(tensor.data) {
  const bool is_split = tensor.dimensions.size() == 4;
  rows = tensor.dimensions[is_split ? 2 : 1];
  size = is_split ? tensor.dimensions[3] : tensor.dimensions[2] / heads;
  batch_stride = heads * rows * size;
  head_stride = is_split ? rows * size : size;
  row_stride = is_split ? size : heads * size;
}

CachedRows::CachedRows(const Call& call, const CacheRequest& request, int64_t used, const Parallel& parallel) {
  const HeadTensor joined = Joined(call, request, parallel);
  if (joined.type == kFloat16) {
    Widen(joined, used, parallel);
    return;
  }
  rows_ = {static_cast<const float*>(joined.data), joined.batch_stride, joined.head_stride, joined.row_stride};
}

HeadTensor CachedRows::Joined(const Call& call, const CacheRequest& request, const Parallel& parallel) {
  const HeadTensor& fresh = request.fresh;
  Tensor present{fresh.type, {fresh.batch, fresh.heads, request.rows, fresh.size}, nullptr};
  present.data = call.Output(request.output, present.dimensions);
  const bool has_past = request.past.count() > 0 && request.past.data != nullptr;
  if (present.data == nullptr && !has_past) return fresh;
  if (present.data == nullptr) {
    joined_.reset(new std::byte[static_cast<size_t>(present.count() * BytesOf(fresh.type))]);
    present.data = joined_.get();
  }
  const HeadTensor to(present, fresh.heads);
  const bool is_in_place = has_past && request.past.data == present.data;
  if (is_in_place && request.past.dimensions != present.dimensions) {
    throw ApiError("onnxruntime gave a cache the memory of another size");
  }
  RunTasks(parallel, to.batch * to.heads, [&](int64_t i) {
    const int64_t batch = i / to.heads, head = i % to.heads;
    const int64_t past = request.past_rows[static_cast<size_t>(batch)];
    if (!is_in_place && has_past) CopyRows(HeadTensor(request.past, to.heads), batch, head, past, to, 0);
    CopyRows(fresh, batch, head, fresh.rows, to, past);
    if (!is_in_place) ClearRows(to, batch, head, past + fresh.rows, to.rows);
  });
  return to;
}

void CachedRows::Widen(const HeadTensor& from, int64_t used, const Parallel& parallel) {
  widened_.reset(new float[static_cast<size_t>(from.batch * from.heads * used * from.size)]);
  rows_ = {widened_.get(), from.heads * used * from.size, used * from.size, from.size};
  RunTasks(parallel, from.batch * from.heads, [&](int64_t i) {
    float* to = widened_.get() + i * used * from.size;
    for (int64_t row = 0; row < used; ++row, to += from.size) {
      const std::byte* half = At(from, i / from.heads, i % from.heads, row);
      Float16ToFloat32(reinterpret_cast<const uint16_t*>(half), from.size, to);
    }
  });
}

HeadRows<const float> FloatRows(const HeadTensor& tensor, Floats* owner) {
  *owner = Floats(Tensor{tensor.type, {tensor.batch, tensor.heads, tensor.rows, tensor.size}, tensor.data});
  return {owner->data(), tensor.batch_stride, tensor.head_stride, tensor.row_stride};
}

}  // namespace lba::ort
