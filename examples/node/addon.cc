// new Session(model, library).run(Float32Array, sizes): runs a converted model of one input of floats.
#include <napi.h>
#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

class Session : public Napi::ObjectWrap<Session> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Session", {InstanceMethod<&Session::Run>("run")});
  }

  explicit Session(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Guarded(info.Env(), [&] {
      static Ort::Env environment;
      Ort::SessionOptions options;
      options.RegisterCustomOpsLibrary(info[1].ToString().Utf8Value().c_str());  // an absolute path
      session_ = Ort::Session(environment, info[0].ToString().Utf8Value().c_str(), options);
    });
  }

 private:
  Napi::Value Run(const Napi::CallbackInfo& info) {
    Napi::Float32Array result;
    Guarded(info.Env(), [&] {
      auto values = info[0].As<Napi::Float32Array>();
      const auto sizes = info[1].As<Napi::Array>();
      std::vector<int64_t> shape;
      for (uint32_t i = 0; i < sizes.Length(); ++i) shape.push_back(sizes.Get(i).ToNumber().Int64Value());
      const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
      const auto input =
          Ort::Value::CreateTensor<float>(memory, values.Data(), values.ElementLength(), shape.data(), shape.size());
      Ort::AllocatorWithDefaultOptions allocator;
      const auto input_name = session_.GetInputNameAllocated(0, allocator);
      const auto output_name = session_.GetOutputNameAllocated(0, allocator);
      const char* const input_names[] = {input_name.get()};
      const char* const output_names[] = {output_name.get()};
      const auto outputs = session_.Run(Ort::RunOptions{}, input_names, &input, 1, output_names, 1);
      const size_t count = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
      const float* const data = outputs[0].GetTensorData<float>();
      result = Napi::Float32Array::New(info.Env(), count);
      std::copy(data, data + count, result.Data());
    });
    return result;
  }

  // Errors of onnxruntime become errors of JavaScript.
  template <typename Body>
  static void Guarded(Napi::Env env, const Body& body) {
    try {
      body();
    } catch (const Ort::Exception& error) {
      throw Napi::Error::New(env, error.what());
    }
  }

  Ort::Session session_{nullptr};
};

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Session", Session::Define(env));
  return exports;
}

NODE_API_MODULE(lba_session, Init)
