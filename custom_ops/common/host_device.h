// Functions that run on the host and on a GPU.
#ifndef LBA_COMMON_HOST_DEVICE_H_
#define LBA_COMMON_HOST_DEVICE_H_

#ifdef __CUDACC__
#define LBA_HOST_DEVICE __host__ __device__
#else
#define LBA_HOST_DEVICE
#endif

#endif  // LBA_COMMON_HOST_DEVICE_H_
