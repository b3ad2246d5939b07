// Random convolutions.
#ifndef LBA_TESTS_CUDA_CONV_CASE_H_
#define LBA_TESTS_CUDA_CONV_CASE_H_

#include <string>
#include <vector>

#include "tests/cuda_cases.h"

namespace lba {

inline int64_t OutputSize(const LbaCudaConvArgs& args, int d) {
  const int64_t reach = (args.kernel[d] - 1) * args.dilations[d] + 1;
  return (args.input[d] + args.pads_begin[d] + args.pads_end[d] - reach) / args.strides[d] + 1;
}

struct ConvCase {
  uint32_t seed;
  Random random;
  AccumulatorSpec spec;
  LbaCudaConvArgs args;
  int64_t inputs, outputs, weight_count;
  Tensor x, w, bias;
  std::string tile;
  Weights weights;

  explicit ConvCase(uint32_t case_seed)
      : seed(case_seed),
        random(seed),
        spec(DrawSpec(random)),
        args(DrawArgs(random)),
        inputs(args.batch * args.in_channels),
        outputs(args.batch * args.out_channels),
        weight_count(args.out_channels * (args.in_channels / args.groups)),
        x(args.type, DrawValues(random, CountAll())),
        w(args.type, DrawValues(random, weight_count)),
        bias(args.type, DrawValues(random, args.out_channels)),
        tile(DrawTile(random)),
        weights(static_cast<Weights>(Draw(random, 0, static_cast<int64_t>(Weights::kCount) - 1))) {}

  static LbaCudaConvArgs DrawArgs(Random& random) {
    LbaCudaConvArgs args{};
    args.type = OneIn(random, 3) ? LBA_FLOAT16 : LBA_FLOAT32;
    args.rank = static_cast<int32_t>(Draw(random, 1, 3));
    args.batch = Draw(random, 1, 2);
    args.groups = OneIn(random, 2) ? 1 : Draw(random, 2, 5);
    args.in_channels = args.groups * (OneIn(random, 30) ? 0 : Draw(random, 1, 4));
    args.out_channels = args.groups * OneOf<int64_t>(random, {1, 1, 2, 3, 4, 7, 33});
    for (int d = 0; d < args.rank; ++d) {
      args.kernel[d] = args.rank == 1 && OneIn(random, 3) ? Draw(random, 1, 280) : Draw(random, 1, 3);
      args.strides[d] = Draw(random, 1, 3);
      args.dilations[d] = args.kernel[d] > 3 ? 1 : Draw(random, 1, 2);
      args.pads_begin[d] = Draw(random, 0, 2);
      args.pads_end[d] = Draw(random, 0, 2);
      const int64_t reach = (args.kernel[d] - 1) * args.dilations[d] + 1;
      const int64_t most = args.rank == 3 ? 6 : args.rank == 2 ? 14 : 300;
      args.input[d] = Draw(random, OneIn(random, 4) ? std::max<int64_t>(1, reach - args.pads_begin[d]) : reach, most);
    }
    return args;
  }

  int64_t CountAll() {
    for (int d = 0; d < args.rank; ++d) {
      inputs *= args.input[d];
      outputs *= OutputSize(args, d);
      weight_count *= args.kernel[d];
    }
    return inputs;
  }

  std::string Text() const {
    std::string text = "seed " + std::to_string(seed) + ", " + TextOf(spec) + ", " + std::to_string(args.batch) +
                       " x " + std::to_string(args.in_channels) + " to " + std::to_string(args.out_channels) +
                       " channels in " + std::to_string(args.groups) + " groups";
    for (int d = 0; d < args.rank; ++d) {
      text += "; " + std::to_string(args.input[d]) + " k " + std::to_string(args.kernel[d]) + " s " +
              std::to_string(args.strides[d]) + " d " + std::to_string(args.dilations[d]) + " p " +
              std::to_string(args.pads_begin[d]) + " " + std::to_string(args.pads_end[d]);
    }
    return text + (args.type == LBA_FLOAT16 ? "; float16" : "; float32") + ", tile \"" + tile + "\", weights " +
           std::to_string(static_cast<int>(weights));
  }

  bool has_bias() const { return seed % 2 == 0; }

  std::vector<float> Expected(const char* statistics = nullptr) const {
    std::vector<float> y(outputs);
    LbaConvArgs cpu{};
    cpu.rank = args.rank;
    cpu.batch = args.batch;
    cpu.in_channels = args.in_channels;
    cpu.out_channels = args.out_channels;
    cpu.groups = args.groups;
    std::copy_n(args.input, 3, cpu.input);
    std::copy_n(args.kernel, 3, cpu.kernel);
    std::copy_n(args.strides, 3, cpu.strides);
    std::copy_n(args.dilations, 3, cpu.dilations);
    std::copy_n(args.pads_begin, 3, cpu.pads_begin);
    std::copy_n(args.pads_end, 3, cpu.pads_end);
    cpu.x = x.values.data();
    cpu.w = w.values.data();
    cpu.bias = has_bias() ? bias.values.data() : nullptr;
    cpu.y = y.data();
    CHECK(lba_conv(OnCpu(spec), &cpu, 1, statistics) == LBA_OK, "%s: %s", Text().c_str(), lba_last_error());
    return y;
  }
};

}  // namespace lba

#endif  // LBA_TESTS_CUDA_CONV_CASE_H_
