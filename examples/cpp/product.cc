// product ACCUMULATOR ROWS DEPTH COLUMNS < a, b > y: a matrix product of any accumulator, without onnxruntime. a, b and
// y are plain floats, row after row.
#include <lba/c_api.h>

#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 5) return std::cerr << "error: expected ACCUMULATOR ROWS DEPTH COLUMNS\n", 1;
  const int64_t rows = std::atoll(argv[2]), depth = std::atoll(argv[3]), columns = std::atoll(argv[4]);
  std::vector<float> a(rows * depth), b(depth * columns), y(rows * columns);
  for (std::vector<float>* operand : {&a, &b}) {
    std::cin.read(reinterpret_cast<char*>(operand->data()),
                  static_cast<std::streamsize>(operand->size() * sizeof(float)));
  }

  LbaAccumulator* accumulator = nullptr;
  LbaMatMulArgs args{};  // every type 0 is LBA_FLOAT32, and null pointers stand for what is not there
  const int64_t offset = 0;
  args.row_step = args.batch = 1;
  args.rows = rows;
  args.columns = columns;
  args.depth = depth;
  args.a = a.data();
  args.b = b.data();
  args.a_offsets = args.b_offsets = &offset;
  args.a_row_stride = depth;
  args.a_depth_stride = args.b_column_stride = 1;
  args.b_depth_stride = columns;
  args.y = y.data();
  const bool is_computed = lba_accumulator_create(argv[1], &accumulator) == LBA_OK &&
                           lba_matmul(accumulator, &args, /*threads=*/1, /*statistics=*/nullptr) == LBA_OK;
  if (is_computed) {
    std::cout.write(reinterpret_cast<const char*>(y.data()), static_cast<std::streamsize>(y.size() * sizeof(float)));
  } else {
    std::cerr << "error: " << lba_last_error() << "\n";
  }
  lba_accumulator_release(accumulator);
  return is_computed && std::cout.flush() ? 0 : 1;
}
