// What becomes of a row of a tile, and how codes of lanes are laid out. Include it only from files that are compiled
// for one instruction set.
#ifndef LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_
#define LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_

#include <cstdint>
#include <cstring>

#include "kernels/cpu/integers/finish.h"
#include "kernels/cpu/integers/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Some neighbouring lanes of a row; `Vectors` has those of the path: Ints, Bits, Floats and, of as many bytes, Codes,
// which Narrow takes from the low bytes of Bits.
template <class Vectors>
class LaneGroup {
 public:
  using Ints = typename Vectors::Ints;
  using Bits = typename Vectors::Bits;
  using Floats = typename Vectors::Floats;
  static constexpr int kLanes = sizeof(Ints) / sizeof(int32_t);

  LaneGroup(const RowFinish& finish, int lane) : f_(finish), lane_(lane) {}

  void Finish(const int32_t* tile, void* out) const {
    Bits sums = (Bits)(Loaded<Ints>(tile) >> f_.scale_log2);
    Correct(f_.before, &sums);
    if (f_.unused_bits != 0) sums = (Bits)((Ints)(sums << f_.unused_bits) >> f_.unused_bits);
    Correct(f_.behind, &sums);
    switch (f_.output) {
      case IntegerOutput::kInt32:
        return Store(sums, static_cast<uint32_t*>(out));
      case IntegerOutput::kInt64:
        for (int i = 0; i < kLanes; ++i) static_cast<int64_t*>(out)[lane_ + i] = static_cast<int32_t>(sums[i]);
        return;
      case IntegerOutput::kFloat32:
        return Store(WithBias(Scaled(sums)), static_cast<float*>(out));
      default:
        Quantize(Scaled(sums), static_cast<uint8_t*>(out));
    }
  }

  // By the scale of all lanes.
  void QuantizeSums(Bits sums, uint8_t* out) const {
    Quantize(__builtin_convertvector((Ints)sums, Floats) * f_.scale, out);
  }

 private:
  template <class V>
  static V Of(const void* values) {
    V loaded;
    std::memcpy(&loaded, values, sizeof loaded);
    return loaded;
  }
  template <class V, class T>
  V Loaded(const T* values) const {
    return Of<V>(values + lane_);
  }
  template <class V, class T>
  void Store(V values, T* out) const {
    std::memcpy(out + lane_, &values, sizeof values);
  }

  // sums + factor * lane_factors + lane_terms + term, modulo 2^32.
  void Correct(const RowCorrection& c, Bits* sums) const {
    if (c.lane_factors != nullptr) *sums += Loaded<Bits>(c.lane_factors) * static_cast<uint32_t>(c.factor);
    if (c.lane_terms != nullptr) *sums += Loaded<Bits>(c.lane_terms);
    *sums += static_cast<uint32_t>(c.term);
  }

  Floats Scaled(Bits sums) const {
    const Floats values = __builtin_convertvector((Ints)sums, Floats);
    return f_.lane_scales != nullptr ? values * Loaded<Floats>(f_.lane_scales) : values * f_.scale;
  }

  Floats WithBias(Floats values) const {
    if (f_.lane_float_bias != nullptr) return values + Loaded<Floats>(f_.lane_float_bias);
    return f_.has_float_bias ? values + f_.float_bias : values;
  }

  void Quantize(Floats values, uint8_t* out) const {
    constexpr float kRound = 12582912;  // adding it rounds to nearest even: values are far below 2^22
    const Floats least = Floats{} + f_.least, most = Floats{} + f_.most;
    const Floats above = values > least ? values : least;  // NaN becomes the least
    const Floats rounded = (above < most ? above : most) + kRound;
    const Bits codes = (Bits)rounded - 0x4b400000u + static_cast<uint32_t>(f_.zero_point);
    Store(Vectors::Narrow(codes), out);
  }

  const RowFinish& f_;
  const int lane_;
};

// Whether results are codes, and nothing differs between lanes.
bool IsPlain(const RowFinish& finish) {
  const auto has_lanes = [](const RowCorrection& c) { return c.lane_factors != nullptr || c.lane_terms != nullptr; };
  const bool has_codes = finish.output == IntegerOutput::kUint8 || finish.output == IntegerOutput::kInt8;
  return has_codes && finish.lane_scales == nullptr && !has_lanes(finish.before) && !has_lanes(finish.behind);
}

// A row of codes without branches, as most rows are.
template <class Vectors>
void FinishPlainRow(const RowFinish& finish, const int32_t* tile, uint8_t* out) {
  using Ints = typename Vectors::Ints;
  using Bits = typename Vectors::Bits;
  constexpr int kLanes = LaneGroup<Vectors>::kLanes;
  const RowFinish f = finish;  // stores of codes may change what lies elsewhere
#pragma GCC unroll 4
  for (int lane = 0; lane < kTileLanes; lane += kLanes) {
    Ints loaded;
    std::memcpy(&loaded, tile + lane, sizeof loaded);
    const Bits sums = (Bits)(loaded >> f.scale_log2) + static_cast<uint32_t>(f.before.term);
    const Bits wrapped = (Bits)((Ints)(sums << f.unused_bits) >> f.unused_bits);
    LaneGroup<Vectors>(f, lane).QuantizeSums(wrapped + static_cast<uint32_t>(f.behind.term), out);
  }
}

template <class Vectors>
void FinishIntegerRow(const RowFinish& finish, const int32_t* tile, void* out) {
  if (IsPlain(finish)) return FinishPlainRow<Vectors>(finish, tile, static_cast<uint8_t*>(out));
#pragma GCC unroll 4
  for (int lane = 0; lane < kTileLanes; lane += LaneGroup<Vectors>::kLanes) {
    LaneGroup<Vectors>(finish, lane).Finish(tile, out);
  }
}

// Where the codes of a place are, kTileLanes of them: copied where fewer may be read.
class LaneLines {
 public:
  explicit LaneLines(const LaneSource& source) : source_(source) {}

  int count() const { return source_.count; }
  // In memory, or null.
  const uint8_t* InPlace(int64_t place) const {
    const bool is_none = place >= source_.places || source_.offsets[place] < 0;
    return is_none ? nullptr : source_.codes + source_.offsets[place];
  }
  const uint8_t* At(int64_t place) {
    const uint8_t* codes = InPlace(place);
    if (codes == nullptr) return zeros_;
    if (source_.count == kTileLanes) return codes;
    uint8_t* copy = copies_[place % 4];
    std::memcpy(copy, codes, source_.count);
    return copy;
  }

 private:
  const LaneSource& source_;
  uint8_t copies_[4][kTileLanes] = {};
  const uint8_t zeros_[kTileLanes] = {};
};

// Four lines of bytes from a place on become dwords, each byte with the bits of `flip` changed.
inline void InterleaveLines(LaneLines* lines, int64_t place, uint8_t flip, uint8_t* out) {
  const uint8_t *a = lines->At(place), *b = lines->At(place + 1), *c = lines->At(place + 2), *d = lines->At(place + 3);
  for (int i = 0; i < kTileLanes; ++i) {
    out[4 * i] = a[i] ^ flip;
    out[4 * i + 1] = b[i] ^ flip;
    out[4 * i + 2] = c[i] ^ flip;
    out[4 * i + 3] = d[i] ^ flip;
  }
}

// Codes of a place, or of two, become elements of 16 bits each.
template <class Code>
class WordLines {
 public:
  explicit WordLines(const LaneSource& source)
      : source_(source), lines_(source), shift_(source.shift), scale_log2_(source.scale_log2) {}

  void LayOut(CodeLayout layout, void* out) {
    const int in_element = CodesIn(layout), bytes = BytesIn(layout) * kTileLanes;
    char* to = static_cast<char*>(out);
    for (int64_t place = 0; place < source_.places; place += in_element, to += bytes) {
      if (layout == CodeLayout::kWords) {
        Words(Line(place), reinterpret_cast<uint16_t*>(to));
      } else if (layout == CodeLayout::kPairs) {
        Pairs(Line(place), Line(place + 1), reinterpret_cast<uint32_t*>(to));
      } else {
        Singles(Line(place), reinterpret_cast<uint32_t*>(to));
      }
    }
  }

 private:
  const Code* Line(int64_t place) { return reinterpret_cast<const Code*>(lines_.At(place)); }
  uint16_t Word(Code code) const { return static_cast<uint16_t>((code + shift_) << scale_log2_); }

  void Words(const Code* __restrict line, uint16_t* __restrict to) const {
    for (int i = 0; i < kTileLanes; ++i) to[i] = Word(line[i]);
  }
  void Singles(const Code* __restrict line, uint32_t* __restrict to) const {
    for (int i = 0; i < kTileLanes; ++i) to[i] = Word(line[i]);
  }
  void Pairs(const Code* __restrict low, const Code* __restrict high, uint32_t* __restrict to) const {
    for (int i = 0; i < kTileLanes; ++i) to[i] = Word(low[i]) | uint32_t{Word(high[i])} << 16;
  }

  const LaneSource& source_;
  LaneLines lines_;
  const uint32_t shift_;
  const int scale_log2_;
};

template <decltype(InterleaveLines)* kInterleave>
void LayOutLanes(const LaneSource& source, CodeLayout layout, void* out) {
  if (layout != CodeLayout::kBytes) {
    return source.type == CodeType::kUint8 ? WordLines<uint8_t>(source).LayOut(layout, out)
                                           : WordLines<int8_t>(source).LayOut(layout, out);
  }
  LaneLines lines(source);
  uint8_t* bytes = static_cast<uint8_t*>(out);
  for (int64_t place = 0; place < source.places; place += 4, bytes += 4 * kTileLanes) {
    kInterleave(&lines, place, source.flip, bytes);
  }
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_FINISH_KERNEL_H_
