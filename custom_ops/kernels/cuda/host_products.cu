#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/cuda/host_products.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/workspace.h"

namespace lba::cuda {
namespace {

// A stream with memory on both sides, for one call at a time.
struct Lane {
  cudaStream_t stream = nullptr;
  PinnedMemory pinned;
  DeviceMemory device;

  Lane() { Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream"); }
  ~Lane() { cudaStreamDestroy(stream); }
};

// The lanes that no call uses, by device. They live as long as the process: the next call takes them.
class Lanes {
 public:
  std::unique_ptr<Lane> Take(int device) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::unique_ptr<Lane>>& idle = idle_[device];
    if (idle.empty()) return std::make_unique<Lane>();
    std::unique_ptr<Lane> lane = std::move(idle.back());
    idle.pop_back();
    return lane;
  }
  void Return(int device, std::unique_ptr<Lane> lane) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_[device].push_back(std::move(lane));
  }

 private:
  std::mutex mutex_;
  std::map<int, std::vector<std::unique_ptr<Lane>>> idle_;
};

Lanes& TheLanes() {
  static auto* lanes = new Lanes;  // never destroyed: calls may outlive static destruction
  return *lanes;
}

// An operand that goes to the device, or the output, which comes back.
struct Transfer {
  const void** pointer;  // replaced by the copy's
  int64_t bytes;
};

// A lane for a call, and the call's arrays in it: at the same places on both sides.
class HostCall {
 public:
  // On the device of the weights, or the current one.
  explicit HostCall(const LbaCudaWeights* weights) {
    Check(cudaGetDevice(&current_), "asking for the current device");
    device_ = weights == nullptr ? current_ : weights->device;
    Check(cudaSetDevice(device_), "choosing a device");
    lane_ = TheLanes().Take(device_);
  }
  // After an error, work may still be under way: the lane is given up, not returned.
  ~HostCall() {
    if (is_done_) TheLanes().Return(device_, std::move(lane_));
    cudaSetDevice(current_);
  }

  // Sends the operands, calls run(workspace, stream) with `y` on the device, brings `y` back, and waits.
  template <class Run>
  void operator()(const std::vector<Transfer>& operands, void** y, int64_t y_bytes, int64_t workspace_bytes,
                  const Run& run) {
    int64_t sent = 0;
    for (const Transfer& operand : operands) sent += Padded(operand.bytes);
    lane_->pinned.Reserve(sent + y_bytes);
    lane_->device.Reserve(sent + Padded(y_bytes) + workspace_bytes);
    Send(operands, sent);
    void* const host_y = *y;
    *y = lane_->device.data() + sent;
    run(lane_->device.data() + sent + Padded(y_bytes), lane_->stream);
    Copy(lane_->pinned.data() + sent, *y, y_bytes);
    Check(cudaStreamSynchronize(lane_->stream), "computing a product");
    std::memcpy(host_y, lane_->pinned.data() + sent, static_cast<size_t>(y_bytes));
    is_done_ = true;
  }

 private:
  static int64_t Padded(int64_t bytes) { return RoundUp(bytes, 256); }

  void Copy(void* to, const void* from, int64_t bytes) {
    Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, lane_->stream), "copying arrays");
  }

  void Send(const std::vector<Transfer>& operands, int64_t bytes) {
    int64_t place = 0;
    for (const Transfer& operand : operands) {
      if (operand.bytes == 0) continue;
      std::memcpy(lane_->pinned.data() + place, *operand.pointer, static_cast<size_t>(operand.bytes));
      *operand.pointer = lane_->device.data() + place;
      place += Padded(operand.bytes);
    }
    if (bytes > 0) Copy(lane_->device.data(), lane_->pinned.data(), bytes);
  }

  int current_ = 0, device_ = 0;
  bool is_done_ = false;
  std::unique_ptr<Lane> lane_;
};

Transfer TransferOf(Values* values, int64_t elements) { return {&values->data, elements * values->element_bytes()}; }

int64_t AddendExtent(const MatMulProblem& problem) {
  const MatrixSource addend{problem.output.addend,     {},
                            problem.rows.vectors,      problem.columns.vectors,
                            problem.addend_row_stride, problem.addend_column_stride};
  return ExtentOf(addend);
}

}  // namespace

void RunHostMatMul(MatMulProblem problem, const LbaCudaWeights* weights) {
  if (problem.outputs() == 0) return;
  std::vector<Transfer> operands;
  if (problem.depth() > 0) operands.push_back(TransferOf(&problem.rows.values, ExtentOf(problem.rows)));
  if (weights == nullptr && problem.depth() > 0) {
    operands.push_back(TransferOf(&problem.columns.values, ExtentOf(problem.columns)));
  }
  Output& output = problem.output;
  if (output.addend.data != nullptr) operands.push_back(TransferOf(&output.addend, AddendExtent(problem)));
  const Kernels& kernels = *problem.accumulator->OnCuda();
  HostCall call(weights);
  call(operands, &output.data, problem.outputs() * problem.rows.values.element_bytes(),
       kernels.WorkspaceBytes(problem, weights != nullptr), [&](void* workspace, cudaStream_t stream) {
         if (weights != nullptr) problem.columns.values = weights->source.values;
         kernels.MatMul(problem, weights == nullptr ? nullptr : &weights->packed, workspace, stream);
       });
}

void RunHostConv(ConvProblem problem, const LbaCudaWeights* weights) {
  const ConvShape& shape = problem.shape;
  const int64_t outputs = shape.batch * shape.out_channels * shape.output_size();
  if (outputs == 0) return;
  std::vector<Transfer> operands{TransferOf(&problem.x, shape.batch * shape.in_channels * shape.input_size())};
  if (weights == nullptr) {
    operands.push_back(TransferOf(&problem.weights.values, shape.out_channels * shape.depth()));
  }
  Output& output = problem.output;
  if (output.addend.data != nullptr) operands.push_back(TransferOf(&output.addend, shape.out_channels));
  const Kernels& kernels = *problem.accumulator->OnCuda();
  HostCall call(weights);
  call(operands, &output.data, outputs * problem.x.element_bytes(), kernels.WorkspaceBytes(problem, weights != nullptr),
       [&](void* workspace, cudaStream_t stream) {
         if (weights != nullptr) problem.weights.values = weights->source.values;
         kernels.Conv(problem, weights == nullptr ? nullptr : &weights->packed, workspace, stream);
       });
}

}  // namespace lba::cuda
