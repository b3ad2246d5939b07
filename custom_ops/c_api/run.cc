#include <new>

#include "lba/c_api.h"
#include "lba/watched_run.h"

struct LbaRun : lba::WatchedRun {};

extern "C" {

LbaRun* lba_run_open(void) { return new (std::nothrow) LbaRun; }

void lba_run_close(LbaRun* run) { delete run; }

void lba_run_enter(LbaRun* run) { lba::EnterRun(run); }

void lba_run_stop(LbaRun* run) {
  if (run != nullptr) run->Stop();
}

void lba_run_progress(const LbaRun* run, LbaRunProgress* out) {
  if (out == nullptr) return;
  *out = {};
  if (run != nullptr) *out = {run->created_nodes(), run->ended_nodes(), run->node_share()};
}

}  // extern "C"
