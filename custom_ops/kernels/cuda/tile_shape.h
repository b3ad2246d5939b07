// How a tile of outputs is spread over the threads of a block, and which shape a product gets. No shape changes a bit.
#ifndef LBA_KERNELS_CUDA_TILE_SHAPE_H_
#define LBA_KERNELS_CUDA_TILE_SHAPE_H_

#include <cstdint>

#include "kernels/cuda/operand.h"

namespace lba::cuda {

// Each thread holds kThreadRows x kThreadColumns outputs, in groups of up to four neighbours, so that operands are read
// four at a time; a warp is kLaneRows lanes high; kWarpRows x kWarpColumns warps make a block. kStages buffers of
// kStageDepth depths are in flight; kBlocks blocks are meant to share a multiprocessor.
template <int kThreadRows_, int kThreadColumns_, int kLaneRows_, int kWarpRows_, int kWarpColumns_, int kStages_,
          int kBlocks_>
struct TileShape {
  static constexpr int kThreadRows = kThreadRows_, kThreadColumns = kThreadColumns_;
  static constexpr int kLaneRows = kLaneRows_, kLaneColumns = 32 / kLaneRows;
  static constexpr int kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kWarpColumns = kWarpColumns_;
  static constexpr int kThreads = 32 * kWarpRows_ * kWarpColumns_;
  static constexpr int kWarpTileRows = kThreadRows * kLaneRows, kWarpTileColumns = kThreadColumns * kLaneColumns;
  static constexpr int kRows = kWarpTileRows * kWarpRows_, kColumns = kWarpTileColumns * kWarpColumns_;
  static constexpr int kRowGroup = kThreadRows < 4 ? kThreadRows : 4;
  static constexpr int kColumnGroup = kThreadColumns < 4 ? kThreadColumns : 4;
};

// The blocks of a kind's kernels that are meant to share a multiprocessor: fewer where its steps need more registers.
template <class Kind, class Shape>
constexpr int kSharingBlocks = Shape::kBlocks > Kind::kSparedBlocks ? Shape::kBlocks - Kind::kSparedBlocks : 1;

using LargeTile = TileShape<8, 8, 4, 4, 2, 2, 1>;   // 128 x 128
using MediumTile = TileShape<8, 8, 4, 2, 1, 3, 4>;  // 64 x 64
using FlatTile = TileShape<4, 8, 4, 2, 1, 3, 8>;    // 32 x 64: filters of small networks
using SmallTile = TileShape<4, 4, 4, 2, 1, 4, 8>;   // 32 x 32
using ThinTile = TileShape<4, 1, 1, 1, 2, 5, 8>;    // 4 x 64

enum class TileChoice { kLarge, kMedium, kFlat, kSmall, kThin };

// The shape for `products` matrices of outputs on a device of so many multiprocessors, or the one that the environment
// variable LBA_ONNX_CUDA_TILE names (large, medium, flat, small, thin). Throws std::invalid_argument for another name.
TileChoice ChooseTile(int64_t products, int64_t rows, int64_t columns, int multiprocessors);

// Calls function(shape) with an object of the chosen shape's type.
template <class Function>
void WithTile(TileChoice choice, const Function& function) {
  switch (choice) {
    case TileChoice::kLarge:
      return function(LargeTile());
    case TileChoice::kMedium:
      return function(MediumTile());
    case TileChoice::kFlat:
      return function(FlatTile());
    case TileChoice::kSmall:
      return function(SmallTile());
    case TileChoice::kThin:
      return function(ThinTile());
  }
}

// The same for the kernels of a kind. With outer sums there are two shapes, of few outputs in a thread, because their
// memory is kept ready for all threads that a device can hold; what is not thin is flat.
template <class Kind, class Function>
void WithTileOf(TileChoice choice, const Function& function) {
  if constexpr (Kind::kOuterSums == 0) {
    WithTile(choice, function);
  } else {
    choice == TileChoice::kThin ? function(ThinTile()) : function(FlatTile());
  }
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_TILE_SHAPE_H_
