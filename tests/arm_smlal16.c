// Sums of products of int8 codes by the instructions of NEON without dot products, 16 products a step: smull multiplies
// the lower eight, smlal2 adds the upper eight to them in 16 bits, sadalp adds pairs of those to sums of 32 bits.
//
// Reads the number of sums and the depth of each, a multiple of 16, as int32; then the x of all sums, then the w.
// Writes the sums, as int32. It is compiled for aarch64 without a C library: read, write and exit are system calls.
#include <arm_neon.h>

enum { kMostCodes = 1 << 20, kRead = 63, kWrite = 64, kExit = 93 };

static signed char x[kMostCodes], w[kMostCodes];
static int sums[kMostCodes];

static long call(long number, long first, void* bytes, long count) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = first;
  register void* x1 __asm__("x1") = bytes;
  register long x2 __asm__("x2") = count;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}

static int transfer(long number, long file, void* bytes, long count) {
  for (long done = 0; done < count;) {
    long moved = call(number, file, (char*)bytes + done, count - done);
    if (moved <= 0) return 0;
    done += moved;
  }
  return 1;
}

static int sum_of(const signed char* a, const signed char* b, int depth) {
  int32x4_t sum = vdupq_n_s32(0);
  for (int k = 0; k < depth; k += 16) {
    int16x8_t pairs;
    int8x16_t of_a = vld1q_s8(a + k), of_b = vld1q_s8(b + k);
    __asm__("smull %0.8h, %2.8b, %3.8b\n\tsmlal2 %0.8h, %2.16b, %3.16b\n\tsadalp %1.4s, %0.8h"
            : "=&w"(pairs), "+w"(sum)
            : "w"(of_a), "w"(of_b));
  }
  return vaddvq_s32(sum);
}

void _start(void) {
  int head[2];
  int is_read = transfer(kRead, 0, head, sizeof head) && (long)head[0] * head[1] <= kMostCodes;
  long codes = is_read ? (long)head[0] * head[1] : 0;
  is_read = is_read && transfer(kRead, 0, x, codes) && transfer(kRead, 0, w, codes);
  for (int i = 0; is_read && i < head[0]; ++i) sums[i] = sum_of(x + (long)i * head[1], w + (long)i * head[1], head[1]);
  int is_written = is_read && transfer(kWrite, 1, sums, head[0] * (long)sizeof sums[0]);
  call(kExit, is_written ? 0 : 1, 0, 0);
}
