// A sample of a bundle: arrays of numpy, input_0.npy ... to feed to a session, output_0.npy ... to compare bits with.
#ifndef SAMPLE_H_
#define SAMPLE_H_

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Npy {  // a header, which has a shape such as (8, 28) and ends its line, then the values
  explicit Npy(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::getline(file, header);
    values.assign(std::istreambuf_iterator<char>(file), {});
    if (!file) throw std::runtime_error(path + ": expected an .npy file");
    std::istringstream sizes(header.substr(header.find('(') + 1));
    for (int64_t size; sizes >> size; sizes.ignore()) shape.push_back(size);
  }
  std::string header, values;
  std::vector<int64_t> shape;
};

class Sample {
 public:
  explicit Sample(const std::string& folder) : folder_(folder + "/") {}

  // The arrays stay in the sample, which has to outlive the run.
  void BindInputs(Ort::Session& session, Ort::IoBinding& binding) {
    for (size_t i = 0; i < session.GetInputCount(); ++i) {
      Npy& x = inputs_.emplace_back(folder_ + "input_" + std::to_string(i) + ".npy");
      const auto type = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetElementType();
      binding.BindInput(
          session.GetInputNameAllocated(i, allocator_).get(),
          Ort::Value::CreateTensor(memory_, x.values.data(), x.values.size(), x.shape.data(), x.shape.size(), type));
    }
    for (size_t i = 0; i < session.GetOutputCount(); ++i)
      binding.BindOutput(session.GetOutputNameAllocated(i, allocator_).get(), memory_);
  }

  void CompareBits(const std::vector<Ort::Value>& outputs) const {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Npy golden(folder_ + "output_" + std::to_string(i) + ".npy");
      const auto* bits = static_cast<const char*>(outputs[i].GetTensorRawData());
      if (!std::equal(golden.values.begin(), golden.values.end(), bits))
        throw std::runtime_error(folder_ + ": output " + std::to_string(i) + " has other bits");
    }
  }

 private:
  std::string folder_;
  std::list<Npy> inputs_;
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
};

#endif  // SAMPLE_H_
