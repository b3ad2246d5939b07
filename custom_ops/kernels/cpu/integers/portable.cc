#include "kernels/cpu/integers/finish_kernel.h"
#include "kernels/cpu/integers/path.h"
#include "kernels/cpu/integers/tile_kernel.h"

namespace lba {
namespace {

// Vectors of the language: what the machine has of them is the compiler's to find.
struct PortableVector {
  typedef int32_t V __attribute__((vector_size(16)));
  typedef uint32_t Unsigned __attribute__((vector_size(16)));
  typedef int16_t Words __attribute__((vector_size(16)));
  typedef uint16_t UnsignedWords __attribute__((vector_size(16)));
  static constexpr int kVectors = 2;

  static V Load(const void* values) {
    V loaded;
    std::memcpy(&loaded, values, sizeof loaded);
    return loaded;
  }
  static V Set32(int32_t value) { return V{value, value, value, value}; }
  static V Set16(int16_t v) { return (V)(Words{v, v, v, v, v, v, v, v}); }
  static V Add32(V a, V b) { return (V)((Unsigned)a + (Unsigned)b); }
  static V And(V a, V b) { return a & b; }
  static V Min32(V a, V b) { return a < b ? a : b; }
  static V Max32(V a, V b) { return a > b ? a : b; }
  static V Madd(V a, V b) { return Low(a) * Low(b) + (a >> 16) * (b >> 16); }
  static V Add16(V a, V b) { return (V)((UnsignedWords)a + (UnsignedWords)b); }
  static V AddSaturating16(V a, V b) {
    const Words x = (Words)a, y = (Words)b, sum = (Words)Add16(a, b);
    const Words limit = (x >> 15) ^ Words(Words{} + int16_t{INT16_MAX});
    return (V)((((x ^ sum) & (y ^ sum)) < 0) ? limit : sum);
  }
  static V Multiply16(V a, V b) { return (V)((UnsignedWords)a * (UnsignedWords)b); }
  static V Min16(V a, V b) { return (V)((Words)a < (Words)b ? (Words)a : (Words)b); }
  static V Max16(V a, V b) { return (V)((Words)a > (Words)b ? (Words)a : (Words)b); }

 private:
  static V Low(V v) { return (V)((Unsigned)v << 16) >> 16; }
};

struct LaneVectors {
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef uint32_t Bits __attribute__((vector_size(16)));
  typedef float Floats __attribute__((vector_size(16)));
  typedef uint8_t Codes __attribute__((vector_size(4)));

  static Codes Narrow(Bits values) { return __builtin_convertvector(values, Codes); }
};

template <class Step>
StepKernels Alike(CodeLayout layout) {
  return {layout, RunIntegerTile<PortableVector, Step>, RunIntegerTile<PortableVector, Step>};
}

}  // namespace

const IntegerKernels& PortableIntegerKernels() {
  static const IntegerKernels kernels{CpuPath::kPortable,
                                      {Alike<SumPairs<PortableVector>>(CodeLayout::kPairs),
                                       Alike<ClampPairs<PortableVector>>(CodeLayout::kPairs),
                                       Alike<Clamp<PortableVector>>(CodeLayout::kSingles),
                                       {CodeLayout::kSingles, nullptr, nullptr},
                                       Alike<ClampWords<PortableVector>>(CodeLayout::kWords),
                                       Alike<WrapWords<PortableVector>>(CodeLayout::kWords)},
                                      FinishIntegerRow<LaneVectors>,
                                      LayOutLanes<InterleaveLines>,
                                      nullptr};
  return kernels;
}

}  // namespace lba
