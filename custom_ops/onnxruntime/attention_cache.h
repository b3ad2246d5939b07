// Keys or values of a call: those of before, which a cache holds, and new ones behind them.
#ifndef LBA_ONNXRUNTIME_ATTENTION_CACHE_H_
#define LBA_ONNXRUNTIME_ATTENTION_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "lba/attention.h"
#include "onnxruntime/kernel.h"

namespace lba::ort {

// Rows [batch][heads][rows][size] of a tensor; the tensor's shape is that, or [batch][rows][heads * size].
struct HeadTensor {
  HeadTensor(const Tensor& tensor, int64_t heads);

  int64_t batch, heads, rows, size;
  int64_t batch_stride, head_stride, row_stride;
  ElementType type;
  void* data;
};

struct CacheRequest {
  Tensor past;                     // [batch, heads, rows, size]; absent where there is none
  HeadTensor fresh;                // new rows
  std::vector<int64_t> past_rows;  // of each batch entry: how many of `past` count; new rows come behind them
  int64_t rows;                    // of the cache that is written
  size_t output;                   // where it is written
};

// The rows in float32, and the memory that holds them unless they are the node's own.
class CachedRows {
 public:
  // Writes the cache if the node has that output: in place where the runtime gives it the memory of `past`. Values are
  // read up to row `used`.
  CachedRows(const Call& call, const CacheRequest& request, int64_t used, const Parallel& parallel);

  const HeadRows<const float>& rows() const { return rows_; }

 private:
  HeadTensor Joined(const Call& call, const CacheRequest& request, const Parallel& parallel);
  void Widen(const HeadTensor& from, int64_t used, const Parallel& parallel);

  HeadRows<const float> rows_;
  std::unique_ptr<std::byte[]> joined_;
  std::unique_ptr<float[]> widened_;
};

// Rows of a float16 tensor are widened, into memory that `owner` gets.
HeadRows<const float> FloatRows(const HeadTensor& tensor, Floats* owner);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ATTENTION_CACHE_H_
