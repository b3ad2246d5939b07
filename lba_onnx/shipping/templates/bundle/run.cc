// run MODEL LIBRARY SAMPLE: runs the model on a folder of samples and compares the bits of its outputs.
#include <onnxruntime_cxx_api.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <list>
#include <sstream>

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

int main(int, char** argv) try {
  const std::string sample = std::string(argv[3]) + "/";
  Ort::Env env;
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(argv[2]);  // an absolute path, once for each SessionOptions
  Ort::Session session(env, argv[1], options);
  Ort::IoBinding binding(session);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::list<Npy> inputs;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    Npy& x = inputs.emplace_back(sample + "input_" + std::to_string(i) + ".npy");
    const auto type = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetElementType();
    const auto value =
        Ort::Value::CreateTensor(memory, x.values.data(), x.values.size(), x.shape.data(), x.shape.size(), type);
    binding.BindInput(session.GetInputNameAllocated(i, allocator).get(), value);
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i)
    binding.BindOutput(session.GetOutputNameAllocated(i, allocator).get(), memory);
  session.Run({}, binding);
  const auto outputs = binding.GetOutputValues();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Npy golden(sample + "output_" + std::to_string(i) + ".npy");
    const auto* bits = static_cast<const char*>(outputs[i].GetTensorRawData());
    if (!std::equal(golden.values.begin(), golden.values.end(), bits))
      throw std::runtime_error(sample + ": output " + std::to_string(i) + " has other bits");
  }
  std::cout << "equal bits\n";
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
