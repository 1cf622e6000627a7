/// Spreads independent rows over the threads, several to a task, so that small rows do not drown in hand-overs.
#pragma once
#include <algorithm>

#include <mgm/core/executor.hpp>

namespace mgm::inline v0::cpu {

/// Calls `body(first, last)` for consecutive ranges that cover [0, rows), each range about 16 Ki elements or more.
template <class Body>
void for_row_ranges(Executor const& ex, Size rows, Size width, Body const& body) {
  if (rows <= 0) return;
  Size const least = std::max<Size>(1, (Size{1} << 14) / std::max<Size>(1, width));  // about 4 µs of work
  Size const threads = ex.threads ? ex.threads->concurrency() : 1;
  Size const tasks = std::clamp<Size>(rows / least, 1, 4 * threads);  // four a thread: an idle neighbour takes what is left
  ex.parallel(tasks, [&](Size i) {
    Size const first = rows * i / tasks, last = rows * (i + 1) / tasks;
    if (first < last) body(first, last);
  });
}

/// Calls `body(row)` for each row, ranges of rows side by side.
template <class Body>
void for_rows(Executor const& ex, Size rows, Size width, Body const& body) {
  for_row_ranges(ex, rows, width, [&](Size first, Size last) {
    for (Size row = first; row < last; ++row) body(row);
  });
}

}  // namespace mgm::inline v0::cpu
