// The choice of a tile's shape: host code, which needs no device.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "check.h"
#include "kernels/cuda/tile_shape.h"

namespace {

using lba::cuda::ChooseTile;
using lba::cuda::TileChoice;

constexpr int kMultiprocessors = 132;

TileChoice Choice(int64_t products, int64_t rows, int64_t columns) {
  return ChooseTile(products, rows, columns, kMultiprocessors);
}

void CheckChoices() {
  CHECK(Choice(1, 4096, 4096) == TileChoice::kLarge, "a product that fills the device");
  CHECK(Choice(1000, 128, 128) == TileChoice::kLarge, "many products of a large tile each");
  CHECK(Choice(1, 64, 1 << 20) == TileChoice::kMedium, "64 filters: a large tile would be half empty");
  CHECK(Choice(1, 32, 1 << 20) == TileChoice::kFlat, "32 filters");
  CHECK(Choice(1, 1, 4096) == TileChoice::kThin, "a single row");
  CHECK(Choice(1, 1024, 1024) != TileChoice::kLarge, "64 large tiles would leave half of the device idle");
  CHECK(Choice(1, 1, 1) == TileChoice::kThin, "a single output");
}

void CheckForced() {
  const char* const names[] = {"large", "medium", "flat", "small", "thin"};
  for (int i = 0; i < 5; ++i) {
    setenv("LBA_ONNX_CUDA_TILE", names[i], 1);
    CHECK(Choice(1, 300, 300) == static_cast<TileChoice>(i), "%s", names[i]);
  }
  setenv("LBA_ONNX_CUDA_TILE", "", 1);
  CHECK(Choice(1, 4096, 4096) == TileChoice::kLarge, "an empty name forces nothing");
  setenv("LBA_ONNX_CUDA_TILE", "huge", 1);
  std::string reason;
  try {
    Choice(1, 300, 300);
  } catch (const std::invalid_argument& error) {
    reason = error.what();
  }
  CHECK(reason.find("\"huge\"") != std::string::npos, "an unknown name: %s", reason.c_str());
  unsetenv("LBA_ONNX_CUDA_TILE");
}

}  // namespace

int main() {
  CheckChoices();
  CheckForced();
  return 0;
}
