// run MODEL LIBRARY SAMPLE: runs the model on a folder of samples and compares the bits of its outputs.
#include <onnxruntime_cxx_api.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

struct Npy {
  explicit Npy(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    if (bytes.size() < 10) throw std::runtime_error(path + ": expected an .npy file");
    begin = 10 + static_cast<unsigned char>(bytes[8]) + 256 * static_cast<unsigned char>(bytes[9]);
    const char* at = std::strchr(std::strstr(bytes.c_str() + 10, "'shape'"), '(') + 1;
    for (char* end; *at != ')'; at += *at == ',' || *at == ' ') {
      const int64_t size = std::strtoll(at, &end, 10);
      if (end != at) shape.push_back(size);
      at = end;
    }
  }
  char* data() { return &bytes[begin]; }
  size_t size() const { return bytes.size() - begin; }

  std::string bytes;
  size_t begin;
  std::vector<int64_t> shape;
};

int main(int, char** argv) try {
  const std::string model = argv[1], library = argv[2], sample = std::string(argv[3]) + "/";
  Ort::Env env;
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(library.c_str());  // an absolute path, once for each SessionOptions
  Ort::Session session(env, model.c_str(), options);
  std::vector<Npy> files;
  std::vector<Ort::Value> inputs;
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  for (size_t i = 0; i < session.GetInputCount(); ++i)
    files.emplace_back(sample + "input_" + std::to_string(i) + ".npy");
  for (size_t i = 0; i < files.size(); ++i) {
    const auto type = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetElementType();
    Npy& file = files[i];
    inputs.push_back(
        Ort::Value::CreateTensor(memory, file.data(), file.size(), file.shape.data(), file.shape.size(), type));
  }
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Ort::AllocatedStringPtr> names;
  std::vector<const char*> feeds, fetches;
  for (size_t i = 0; i < inputs.size(); ++i) {
    feeds.push_back(names.emplace_back(session.GetInputNameAllocated(i, allocator)).get());
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    fetches.push_back(names.emplace_back(session.GetOutputNameAllocated(i, allocator)).get());
  }
  auto outputs = session.Run({}, feeds.data(), inputs.data(), inputs.size(), fetches.data(), fetches.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    Npy golden(sample + "output_" + std::to_string(i) + ".npy");
    if (std::memcmp(outputs[i].GetTensorRawData(), golden.data(), golden.size()) != 0) {
      std::cerr << sample << ": output " << i << " has other bits\n";
      return 1;
    }
  }
  std::cout << "equal bits\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
