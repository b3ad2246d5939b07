#include "lba/watched_run.h"

#include <algorithm>

namespace lba {
namespace {

constexpr double kUnits = static_cast<double>(int64_t{1} << 40);

thread_local WatchedRun* current_run = nullptr;

}  // namespace

void WatchedRun::Advance(double share) { node_units_ += static_cast<int64_t>(share * kUnits); }

void WatchedRun::EndNode() {
  node_units_ = 0;
  ++ended_nodes_;
}

double WatchedRun::node_share() const { return std::min(static_cast<double>(node_units_) / kUnits, 1.0); }

WatchedRun* CurrentRun() { return current_run; }

void EnterRun(WatchedRun* run) { current_run = run; }

void ThrowIfStopped() {
  if (current_run != nullptr && current_run->is_stopped()) throw RunStopped();
}

RunScope::RunScope(WatchedRun* run) : previous_(current_run) { current_run = run; }

RunScope::~RunScope() { current_run = previous_; }

}  // namespace lba
