// A check that stays on in every build and names what failed.
#ifndef LBA_TESTS_CHECK_H_
#define LBA_TESTS_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define CHECK(condition, ...)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                   \
      std::fputc('\n', stderr);                                            \
      std::exit(1);                                                        \
    }                                                                      \
  } while (false)

#endif  // LBA_TESTS_CHECK_H_
