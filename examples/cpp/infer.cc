// infer MODEL SIZE... < input > output: runs a converted model of one input of floats. Input and output are plain
// floats; the sizes are the input's shape.
#include <onnxruntime_cxx_api.h>

#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char** argv) try {
  if (argc < 2) throw std::invalid_argument("expected MODEL SIZE...");
  std::vector<int64_t> shape;
  size_t count = 1;
  for (int i = 2; i < argc; ++i) {
    shape.push_back(std::atoll(argv[i]));
    count *= static_cast<size_t>(shape.back());
  }
  std::vector<float> values(count);
  std::cin.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (!std::cin) throw std::invalid_argument("expected " + std::to_string(count) + " floats on standard input");

  Ort::Env env;
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(LBA_LIBRARY);  // once: a second registration with the same options is an error
  Ort::Session session(env, argv[1], options);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor<float>(memory, values.data(), count, shape.data(), shape.size());
  Ort::AllocatorWithDefaultOptions allocator;
  const auto input_name = session.GetInputNameAllocated(0, allocator);
  const auto output_name = session.GetOutputNameAllocated(0, allocator);
  const char* const input_names[] = {input_name.get()};
  const char* const output_names[] = {output_name.get()};
  const auto outputs = session.Run(Ort::RunOptions{}, input_names, &input, 1, output_names, 1);
  const size_t output_count = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
  std::cout.write(outputs[0].GetTensorData<char>(), static_cast<std::streamsize>(output_count * sizeof(float)));
  return std::cout.flush() ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
