// run MODEL LIBRARY SAMPLE: runs the model on a folder of samples and compares the bits of its outputs.
#include <iostream>

#include "sample.h"

int main(int, char** argv) try {
  Ort::Env env;
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(argv[2]);  // an absolute path, once for each SessionOptions
  Ort::Session session(env, argv[1], options);
  Ort::IoBinding binding(session);
  Sample sample(argv[3]);
  sample.BindInputs(session, binding);
  session.Run({}, binding);
  sample.CompareBits(binding.GetOutputValues());
  std::cout << "equal bits\n";
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
