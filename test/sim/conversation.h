// SPDX-License-Identifier: MIT
#pragma once

// A conversation of two clients as a test of the simulation observes it.

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "sim/world.h"

namespace eps::sim {

inline double in_seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

// Two clients that send each other something at regular intervals.
class Conversation {
 public:
  Conversation(World& world, int a, int b, Duration pause = std::chrono::milliseconds(20))
      : world_(world), a_(a), b_(b), pause_(pause) {
    began_ = heard_[0] = heard_[1] = world.clock().now();
    world_.on_delivered = [this](int from, int to, std::uint64_t) {
      for (const int side : {0, 1}) {
        if (to != (side == 0 ? a_ : b_) || from != (side == 0 ? b_ : a_)) continue;
        const Instant now = world_.clock().now();
        gap_ = std::max(gap_, now - heard_[side]);
        heard_[side] = now;
        if (!first_[side]) first_[side] = now - began_;
      }
    };
  }
  ~Conversation() { world_.on_delivered = nullptr; }
  void step() {
    if (world_.awake(a_)) world_.send_frame(a_, b_);
    if (world_.awake(b_)) world_.send_frame(b_, a_);
    world_.run_for(pause_);
  }
  void run(Duration time) {
    for (const Instant until = world_.clock().now() + time; world_.clock().now() < until;) step();
  }
  bool run_until(const std::function<bool()>& condition, Duration limit) {
    for (const Instant until = world_.clock().now() + limit; world_.clock().now() < until;) {
      step();
      if (condition()) return true;
    }
    return false;
  }
  bool direct() const { return world_.path(a_, b_) == PathKind::direct && world_.path(b_, a_) == PathKind::direct; }
  // Both have received something.
  bool talked() const { return first_[0] && first_[1]; }
  Duration since_begin() const { return world_.clock().now() - began_; }
  // The longest time for which one of them has received nothing, since the start or the last call.
  Duration longest_gap() {
    const Instant now = world_.clock().now();
    for (Instant& heard : heard_) gap_ = std::max(gap_, now - heard);
    return std::exchange(gap_, Duration{});
  }
  void forget_gap() {
    heard_[0] = heard_[1] = world_.clock().now();
    gap_ = {};
  }

 private:
  World& world_;
  int a_, b_;
  Duration pause_;
  Instant began_;
  std::array<Instant, 2> heard_;
  std::array<std::optional<Duration>, 2> first_;
  Duration gap_{};
};

}  // namespace eps::sim
