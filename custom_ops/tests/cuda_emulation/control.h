/* What tests ask of the emulation itself. */
#ifndef LBA_TESTS_CUDA_EMULATION_CONTROL_H_
#define LBA_TESTS_CUDA_EMULATION_CONTROL_H_

#include "lba/c_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Calls so far that make the host wait for the device: synchronisations, copies of pageable memory, and (un)making of
   memory. */
LBA_EXPORT int64_t lba_cuda_emulation_waits(void);
/* Kernels and operations queued so far on a stream. */
LBA_EXPORT int64_t lba_cuda_emulation_queued(void* stream);
/* Bytes of device memory in use. */
LBA_EXPORT int64_t lba_cuda_emulation_device_bytes(void);
/* Decides in which orders threads run from now on. */
LBA_EXPORT void lba_cuda_emulation_seed(uint32_t seed);

#ifdef __cplusplus
}
#endif

#endif /* LBA_TESTS_CUDA_EMULATION_CONTROL_H_ */
