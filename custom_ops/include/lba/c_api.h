/* Entry points of the library for Python and other languages. All functions return 0 on success, or a nonzero code
   with the reason in lba_last_error() of the calling thread. No function throws. Null pointers, sizes below 0 or of
   2^31 and more, and sizes or strides whose products leave 64 bits are such errors; an array without elements may be
   null. */
#ifndef LBA_C_API_H_
#define LBA_C_API_H_

#include <stdint.h>

#if defined(_WIN32)
#define LBA_EXPORT __declspec(dllexport)
#else
#define LBA_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LBA_OK 0
#define LBA_INVALID_ARGUMENT 1
#define LBA_OUT_OF_MEMORY 2
#define LBA_INTERNAL_ERROR 3

/* Element types of tensors. */
#define LBA_FLOAT32 0
#define LBA_FLOAT16 1
#define LBA_UINT8 2
#define LBA_INT8 3
#define LBA_INT32 4
#define LBA_INT64 5

/* Histogram bin i counts values v with floor(log2|v|) == i - LBA_LOG2_OFFSET; zeros are not counted. */
#define LBA_LOG2_BINS 704
#define LBA_LOG2_OFFSET 352

/* The arithmetic of dot products, made from its text (docs/numerics.md), such as "M7E4b12/M7E4b10,chunk=32". Immutable;
   shared between concurrent calls. Calls that use it do so before they return. */
typedef struct LbaAccumulator LbaAccumulator;

/* The most events that a level of an accumulator has. */
#define LBA_LEVEL_EVENTS 7

/* What was counted of the values of one level of an accumulator: of its products, of the sums of groups of these, of
   the total. */
typedef struct LbaLevel {
  double max_abs; /* of finite exact products and unquantized sums, over all outputs */
  int64_t values; /* how many the quantized chain formed, like all that follows over sampled outputs */
  int64_t events[LBA_LEVEL_EVENTS]; /* of how many of these each event is true, in the order of the events' names */
  int64_t log2[LBA_LOG2_BINS];      /* exact products, prefix sums inside each group, running totals */
} LbaLevel;

/* The caller says for how many levels there is room, and learns how many there are. Null levels ask for no more than
   that; less room than there are levels is an error. */
typedef struct LbaStatistics {
  int64_t outputs;         /* all output values computed */
  int64_t sampled_outputs; /* of which looked into */
  int64_t level_count;
  LbaLevel* levels; /* products first, the total last */
} LbaStatistics;

LBA_EXPORT const char* lba_version(void);
LBA_EXPORT const char* lba_last_error(void);

/* The names of the kinds of accumulators, in alphabetical order, separated by spaces. */
LBA_EXPORT const char* lba_kinds(void);

LBA_EXPORT int lba_accumulator_create(const char* text, LbaAccumulator** out);
LBA_EXPORT void lba_accumulator_release(LbaAccumulator* accumulator); /* null is allowed */

/* What statistics tell of its levels, a line each: the name of the level, then those of its events, with blanks
   between, such as "partial_sum overflow underflow swamped". Valid until the release; null for a null. */
LBA_EXPORT const char* lba_accumulator_levels(const LbaAccumulator* accumulator);

/* The path that calls take where the data allow: "avx512", "avx2", "portable" or "exact". The environment variable
   LBA_ONNX_CPU_PATH forces one of them (an error if this CPU lacks it). */
LBA_EXPORT const char* lba_cpu_path(void);

/* The same for products of integer codes: "avx512_vnni", "avx2" (also for "avx512" without VNNI), "portable" or
   "exact". */
LBA_EXPORT const char* lba_integer_path(void);

/* Which paths tiles have taken since the process started: counts in the order avx512, avx2, portable, exact. */
LBA_EXPORT int lba_path_counts(int64_t counts[4]);

/* y[b, row, column] = dot over depth, for b < batch: a at a + a_offsets[b], element [row, depth] at strides
   (a_row_stride, a_depth_stride); b likewise with (b_depth_stride, b_column_stride); y contiguous. Strides and
   offsets count elements. Where these are some outputs of a larger product, row r and column c are its row
   first_row + r * row_step and its column first_column + c. initial: what each sum starts
   from, rounded to the accumulator; element [b, row, column] at these strides, 0 where it is broadcast; null for zero.
   statistics: a key, or null.
   The types are LBA_FLOAT32; with an accumulator of integers a and b are of LBA_UINT8 or LBA_INT8, and y is of
   LBA_INT32, or LBA_INT64 where the accumulator has more than 32 bits: the sum of (a - zero point) * (b - zero point).
   Zero points are codes: one of a, and of b one for column c at b_zero_points[c * b_zero_point_stride], 0 for a null.
   Sums of integers start from zero. */
typedef struct LbaMatMulArgs {
  int32_t a_type, b_type, y_type;
  int64_t first_row, first_column, row_step;
  int64_t batch, rows, columns, depth;
  const void* a;
  const int64_t* a_offsets;
  int64_t a_row_stride, a_depth_stride;
  const void* b;
  const int64_t* b_offsets;
  int64_t b_depth_stride, b_column_stride;
  void* y;
  const float* initial;
  int64_t initial_strides[3];
  int64_t a_zero_point, b_zero_point_stride;
  const int32_t* b_zero_points;
} LbaMatMulArgs;

LBA_EXPORT int lba_matmul(const LbaAccumulator* accumulator, const LbaMatMulArgs* args, int32_t threads,
                          const char* statistics);

/* Convolution over 1 to 3 spatial dimensions, arrays contiguous: x [batch, in_channels, spatial...],
   w [out_channels, in_channels / groups, kernel...], bias [out_channels] or null, y [batch, out_channels, output...].
   Only the first `rank` entries of the arrays below are read. Where these are some outputs of a larger convolution, the
   last spatial dimension counts columns and those before it count rows, as in LbaMatMulArgs. Types and zero points are
   as there, one of x, and of w one for each output channel; padding holds the zero point of x. initial is as in
   LbaMatMulArgs: element [sample, channel, position], positions counted in row-major order. */
typedef struct LbaConvArgs {
  int32_t x_type, w_type, y_type; /* y_type is that of bias, too; of integers it is null */
  int64_t first_row, first_column, row_step;
  int32_t rank;
  int64_t batch, in_channels, out_channels, groups;
  int64_t input[3], kernel[3], strides[3], dilations[3], pads_begin[3], pads_end[3];
  const void* x;
  const void* w;
  const void* bias;
  void* y;
  const float* initial;
  int64_t initial_strides[3];
  int64_t x_zero_point, w_zero_point_stride;
  const int32_t* w_zero_points;
} LbaConvArgs;

LBA_EXPORT int lba_conv(const LbaAccumulator* accumulator, const LbaConvArgs* args, int32_t threads,
                        const char* statistics);

/* How gradients pass the products that an accumulator lost (docs/numerics.md, "Gradients"). */
#define LBA_IMMEDIATE_OVERFLOW 0
#define LBA_RECURSIVE_OVERFLOW 1
#define LBA_IMMEDIATE_DIFFERENCE 2

/* `grad` is the gradient of y, of its shape; y itself is not read. Adds to grad_a [batch][rows][depth] and to grad_b
   [batch][columns][depth], both contiguous; each may be null. Where sums start from values, grad_initial, of the shape
   of grad, becomes what each passes to its start; it may be null, and is not touched where sums start from zero. gated:
   how many of the batch * rows * columns * depth products pass no gradient. The threads change no bit. */
LBA_EXPORT int lba_matmul_gradients(const LbaAccumulator* accumulator, const LbaMatMulArgs* args, int32_t estimator,
                                    const float* grad, float* grad_a, float* grad_b, float* grad_initial,
                                    int64_t* gated, int32_t threads);

/* Likewise; adds to grad_x and grad_w, of the shapes of x and w. bias and y are not read. */
LBA_EXPORT int lba_conv_gradients(const LbaAccumulator* accumulator, const LbaConvArgs* args, int32_t estimator,
                                  const float* grad, float* grad_x, float* grad_w, float* grad_initial, int64_t* gated,
                                  int32_t threads);

/* Statistics are kept by key "run/node", or "run/node/product" where a node computes several products. For histograms
   and events, nodes of an open run sample `sampled_fraction` (0 < f <= 1) of their rows or output positions, at least
   one a call. */
LBA_EXPORT int lba_statistics_open(const char* run, double sampled_fraction);

/* What a node has just computed: exactly one of `matmul` and `conv` is not null, with y filled in; a convolution's bias
   (null here), and what a Gemm does after the dot products, follow later. Valid during the call only. */
typedef struct LbaObservation {
  const char* key;
  const char* accumulator; /* its text */
  const LbaMatMulArgs* matmul;
  const LbaConvArgs* conv;
} LbaObservation;

/* Returns 0, or anything else to make the node fail. It may write y: the node goes on with what it finds there. */
typedef int32_t (*LbaObserver)(const LbaObservation* observation, void* context);

/* Nodes with keys "run/..." call the observer after each of their executions, in the thread that runs them, instead of
   collecting. Where `fills` is not 0, nodes of floats leave their products to it: it finds nothing in y, and has to
   write it. lba_statistics_close ends the run; the observer must outlive sessions that still have such nodes. */
LBA_EXPORT int lba_observer_open(const char* run, LbaObserver observer, void* context, int32_t fills);

LBA_EXPORT int lba_statistics_close(const char* run);
/* Without levels until a node of this key has run. */
LBA_EXPORT int lba_statistics_read(const char* key, LbaStatistics* out);
/* The levels of the key's accumulator, as lba_accumulator_levels tells them; empty until a node of it has run. Null is
   an error. Valid until the thread's next call. */
LBA_EXPORT const char* lba_statistics_levels(const char* key);
/* The largest magnitudes begin anew; counts, histograms and where the sampling has come to stay. */
LBA_EXPORT int lba_statistics_forget_largest(const char* key);

/* A run of a session, or other work that begins on one thread, which another thread stops and watches. It is made by
   lba_run_open, null where memory is out, and must not be closed while a thread has entered it. */
typedef struct LbaRun LbaRun;

typedef struct LbaRunProgress {
  int64_t created_nodes; /* where a session is being created */
  int64_t ended_nodes;   /* executions */
  double node_share;     /* what is done of the node at work, 0 to 1 */
} LbaRunProgress;

LBA_EXPORT LbaRun* lba_run_open(void);
LBA_EXPORT void lba_run_close(LbaRun* run);

/* What the calling thread does from here on is part of the run, and of none after a null: the nodes of the session that
   it runs, and the entry points above that it calls. Other sessions and threads are not affected. */
LBA_EXPORT void lba_run_enter(LbaRun* run);

/* From any thread: nodes and entry points of the run fail within some milliseconds. A null run is none: nothing stops,
   and its progress is all zero. */
LBA_EXPORT void lba_run_stop(LbaRun* run);
LBA_EXPORT void lba_run_progress(const LbaRun* run, LbaRunProgress* out);

#ifdef __cplusplus
}
#endif

#endif /* LBA_C_API_H_ */
