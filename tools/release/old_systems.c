/* What g++ and its libraries ask of glibc newer than 2.17, for older systems: linked into the libraries of released
   wheels, and not exported. */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Of glibc 2.32, asked by std::shared_ptr: whether the program has one thread. It may have several. */
char __libc_single_threaded = 0;

/* Of glibc 2.25 and 2.36, asked by std::random_device, which nothing here uses. */
int getentropy(void* buffer, size_t bytes);
int getentropy(void* buffer, size_t bytes) {
  (void)buffer;
  (void)bytes;
  errno = ENOSYS;
  return -1;
}

uint32_t arc4random(void);
uint32_t arc4random(void) { abort(); }

/* Of glibc 2.18: destructors of thread_local objects. They run when a thread ends, the last object's first; those of
   the thread that ends the process do not. The libraries are never unloaded. */
typedef struct Object {
  void (*destroy)(void*);
  void* address;
  struct Object* before;
} Object;

static pthread_key_t objects;
static pthread_once_t is_made = PTHREAD_ONCE_INIT;

static void DestroyAll(void* last) {
  for (Object* object = last; object != NULL;) {
    Object* before = object->before;
    object->destroy(object->address);
    free(object);
    object = before;
  }
}

static void MakeKey(void) {
  if (pthread_key_create(&objects, DestroyAll) != 0) abort();
}

int __cxa_thread_atexit_impl(void (*destroy)(void*), void* address, void* library);
int __cxa_thread_atexit_impl(void (*destroy)(void*), void* address, void* library) {
  (void)library;
  pthread_once(&is_made, MakeKey);
  Object* object = malloc(sizeof(Object));
  if (object == NULL) return -1;
  *object = (Object){destroy, address, pthread_getspecific(objects)};
  return pthread_setspecific(objects, object);
}
