// Accumulators as callers of the entry points hold them: made once for each text, kept until the process ends.
#ifndef LBA_TESTS_ACCUMULATORS_H_
#define LBA_TESTS_ACCUMULATORS_H_

#include <map>
#include <mutex>
#include <string>

#include "arithmetic/accumulator.h"
#include "arithmetic/chunked_float/spec.h"
#include "lba/cuda_api.h"
#include "tests/check.h"

namespace lba {

template <auto kCreate>
const LbaAccumulator* KeptAccumulator(const AccumulatorSpec& spec) {
  static std::mutex mutex;
  static auto* kept = new std::map<std::string, LbaAccumulator*>;  // never destroyed: they stay reachable
  const std::lock_guard<std::mutex> lock(mutex);
  LbaAccumulator*& accumulator = (*kept)[TextOf(spec)];
  if (accumulator == nullptr) CHECK(kCreate(TextOf(spec).c_str(), &accumulator) == LBA_OK, "%s", TextOf(spec).c_str());
  return accumulator;
}

// For what is linked in without the entry points.
inline SharedAccumulator Made(const AccumulatorSpec& spec) { return ParseAccumulator(TextOf(spec)); }

// Of the library that the test is linked with.
inline const LbaAccumulator* OnCpu(const AccumulatorSpec& spec) {
  return KeptAccumulator<lba_accumulator_create>(spec);
}

}  // namespace lba

#endif  // LBA_TESTS_ACCUMULATORS_H_
