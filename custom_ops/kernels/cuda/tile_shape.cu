#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>

#include "kernels/cuda/tile_shape.h"

namespace lba::cuda {
namespace {

constexpr int kSchedulers = 4;  // of a multiprocessor
constexpr double kAlone = 1.2;  // a warp alone on its scheduler waits for its own results

constexpr TileChoice kChoices[] = {TileChoice::kLarge, TileChoice::kMedium, TileChoice::kFlat, TileChoice::kSmall,
                                   TileChoice::kThin};

const char* NameOf(TileChoice choice) {
  static const char* const names[] = {"large", "medium", "flat", "small", "thin"};
  return names[static_cast<int>(choice)];
}

// What the shapes cost beside each other: instructions around the arithmetic, for an output.
double Overhead(TileChoice choice) {
  switch (choice) {
    case TileChoice::kFlat:
      return 1.05;
    case TileChoice::kSmall:
      return 1.2;
    case TileChoice::kThin:
      return 2;
    default:
      return 1;
  }
}

// An estimate of the time: the outputs, padding included, of the busiest of a multiprocessor's four schedulers. Warps
// stay with theirs.
double Estimate(TileChoice choice, int64_t products, int64_t rows, int64_t columns, int multiprocessors) {
  double time = 0;
  WithTile(choice, [&](auto shape) {
    using Shape = decltype(shape);
    const int64_t tiles = products * CeilDiv(rows, Shape::kRows) * CeilDiv(columns, Shape::kColumns);
    constexpr int kWarps = Shape::kThreads / 32, kWarpOutputs = Shape::kRows * Shape::kColumns / kWarps;
    const int64_t busiest = CeilDiv(CeilDiv(tiles, multiprocessors) * kWarps, kSchedulers);
    time = static_cast<double>(busiest) * kWarpOutputs * Overhead(choice) * (busiest == 1 ? kAlone : 1);
  });
  return time;
}

}  // namespace

TileChoice ChooseTile(int64_t products, int64_t rows, int64_t columns, int multiprocessors) {
  const char* forced = std::getenv("LBA_ONNX_CUDA_TILE");
  if (forced != nullptr && *forced != '\0') {
    for (const TileChoice choice : kChoices) {
      if (std::string(forced) == NameOf(choice)) return choice;
    }
    throw std::invalid_argument(std::string("LBA_ONNX_CUDA_TILE: expected large, medium, flat, small or thin, got \"") +
                                forced + "\"");
  }
  const auto estimate = [&](TileChoice choice) { return Estimate(choice, products, rows, columns, multiprocessors); };
  return *std::min_element(std::begin(kChoices), std::end(kChoices),
                           [&](TileChoice a, TileChoice b) { return estimate(a) < estimate(b); });
}

}  // namespace lba::cuda
