/// Mixtral's router without a look at the host: which experts each row asks for, with which weight, and for each expert the list of its
/// rows (Jiang et al. 2024, arXiv:2401.04088).
///   p = softmax(logits),   kept: the `top` largest, of equals the lower expert,   weight = p / Σ of the kept p
/// Shapes  logits (P, E); ids, weights, places (P, top), experts ascending in each row; offsets (E + 1), rows (P·top).
/// Method  route: one warp a row chooses `top` times. lists: one block an expert reads all ids itself, so that no block waits for another.
/// Cost    4·P·E bytes once (from the caches `top` times); lists: E reads of 4·P·top bytes, from the caches.
#pragma once
#include <climits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/bits.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct RouteTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // rows per block; not measured yet
  static constexpr int kRegisters = 40;                     // of a thread, at most: nvcc-gate
  static constexpr int kMostKept = simt::kWarp;             // each lane keeps one choice
};
struct RouteListsTraits {
  static constexpr int kWarps = 8, kThreads = 32 * kWarps;  // that share the ids of one expert's scan; not measured yet
  static constexpr int kRegisters = 32;                     // of a thread, at most: nvcc-gate
  struct Shared {
    int lower[kWarps], mine[kWarps];  // how many ids of a warp's part name lower experts, and this one
  };
};

/// An expert and its logit.
struct RouteChoice {
  float logit;
  int expert;
};
MGM_DEVICE bool chosen_before(RouteChoice a, RouteChoice b) { return a.logit > b.logit || (a.logit == b.logit && a.expert < b.expert); }

template <class Dev>
MGM_GLOBAL(RouteTraits::kThreads)
void route_kernel(View<float const, 2, Dev> logits, View<int, 2, Dev> ids, View<float, 2, Dev> weights) {
  Size const n = Size{simt::block_idx().x} * RouteTraits::kWarps + simt::warp_idx();
  int const lane = simt::lane_idx(), experts = static_cast<int>(logits.extent(1)), top = static_cast<int>(ids.extent(1));
  if (n >= logits.extent(0)) return;                                     // whole warps leave together
  RouteChoice mine{-INFINITY, INT_MAX}, last{INFINITY, -1};              // lane r keeps the r-th choice
  float peak = 0, mass = 0;
  bool broken = false;
  for (int rank = 0; rank < top; ++rank) {
    RouteChoice best{-INFINITY, INT_MAX};
    for (int e = lane; e < experts; e += simt::kWarp) {
      float const logit = logits(n, e);
      broken = broken || logit != logit;
      RouteChoice const candidate{logit != logit ? -INFINITY : logit, e};
      if (chosen_before(last, candidate) && chosen_before(candidate, best)) best = candidate;
    }
    for (int bit = simt::kWarp / 2; bit > 0; bit /= 2) {
      RouteChoice const other = simt::shuffle_xor(best, bit);
      if (chosen_before(other, best)) best = other;
    }
    if (rank == 0) peak = best.logit;
    mass += simt::exp(best.logit - peak);                                // the softmax's own mass cancels: the kept alone are summed
    if (lane == rank) mine = best;
    last = best;
  }
  broken = simt::ballot(broken) != 0;
  int place = 0;
  for (int rank = 0; rank < top; ++rank) place += simt::shuffle(mine.expert, rank) < mine.expert ? 1 : 0;
  if (lane >= top) return;
  ids(n, place) = mine.expert;
  weights(n, place) = broken ? NAN : simt::exp(mine.logit - peak) / mass;
}

/// Block e: where the list of expert e begins, and its rows in ascending order.
template <class Dev>
MGM_GLOBAL(RouteListsTraits::kThreads)
void route_lists_kernel(View<int const, 2, Dev> ids, View<int, 1, Dev> offsets, View<int, 1, Dev> rows, View<int, 2, Dev> places) {
  using Tr = RouteListsTraits;
  auto& s = simt::shared<Tr::Shared>();
  int const expert = simt::block_idx().x, lane = simt::lane_idx(), warp = simt::warp_idx();
  int const top = static_cast<int>(ids.extent(1)), total = static_cast<int>(ids.count());
  int const part = static_cast<int>(simt::ceil_div(total, Tr::kThreads)) * simt::kWarp;  // consecutive ids of one warp
  int const begin = warp * part, end = begin + part;
  auto const id_at = [&](int i) { return i < total ? ids(i / top, i % top) : -1; };

  int lower = 0, mine = 0;
  for (int i = begin + lane; i < end + lane; i += simt::kWarp) {
    int const id = id_at(i);
    lower += simt::count_bits(simt::ballot(id >= 0 && id < expert));
    mine += simt::count_bits(simt::ballot(id == expert));
  }
  if (lane == 0) s.lower[warp] = lower, s.mine[warp] = mine;
  simt::sync_block();
  int first = 0, next = 0, all = 0;                                      // of the expert's list, of this warp in it, of the list's end
  for (int w = 0; w < Tr::kWarps; ++w) first += s.lower[w];
  next = all = first;
  for (int w = 0; w < Tr::kWarps; ++w) {
    next += w < warp ? s.mine[w] : 0;
    all += s.mine[w];
  }
  for (int i = begin + lane; i < end + lane; i += simt::kWarp) {
    bool const wanted = id_at(i) == expert;
    unsigned const bits = simt::ballot(wanted);
    if (wanted) {
      int const place = next + simt::count_bits(bits & simt::bits_below(lane));
      rows(place) = i / top, places(i / top, i % top) = place;
    }
    next += simt::count_bits(bits);
  }
  if (simt::thread_idx() != 0) return;
  offsets(expert) = first;
  if (expert + 1 == simt::grid_dim().x) offsets(expert + 1) = all;
}

/// ids, weights <- the router's choice for each row of logits, experts ascending. Weights are within 4 ulp of exact; the choice is exact.
/// logits (P, E), E at least top; ids, weights (P, top), top at most 32; any strides. A row with a NaN gets valid ids and weights of NaN.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <KernelDevice Dev>
void route(simt::Stream<Dev> stream, In<float, 2, Dev> logits, View<int, 2, Dev> ids, Out<float, 2, Dev> weights) {
  check_input("route: logits", logits), check_output("route: ids", ids), check_output("route: weights", weights);
  check_shape("route: ids", ids, logits.extent(0), any), check_shape("route: weights", weights, logits.extent(0), ids.extent(1));
  require<LimitError>(ids.extent(1) <= RouteTraits::kMostKept, "route: ids: at most ", RouteTraits::kMostKept, " experts a row, found ",
                      ids.extent(1));
  require<ShapeError>(ids.extent(1) <= logits.extent(1) && logits.extent(1) <= INT_MAX, "route: ids: ", ids.extent(1), " experts a row of ",
                      logits.extent(1));
  check_apart("route: ids", ids, "logits", logits), check_apart("route: weights", weights, "logits", logits);
  check_apart("route: weights", weights, "ids", ids);
  if (ids.count() == 0) return;
  simt::launch(stream, {.name = "route", .grid = simt::ceil_div(logits.extent(0), RouteTraits::kWarps), .block = RouteTraits::kThreads},
               route_kernel<Dev>, logits, ids, weights);
}

/// The rows of expert e are rows[offsets[e]] … rows[offsets[e + 1] − 1], ascending; places[n][i] says where row n stands in the list of its
/// i-th expert.   ids (P, top) of `experts` experts, no expert twice in a row; offsets (experts + 1); rows (P·top); places (P, top).
/// An id outside of [0, experts) is in no list, and its place is not written. Enqueues and returns.
/// Throws ShapeError, ArgumentError and LimitError naming the argument.
template <KernelDevice Dev>
void route_lists(simt::Stream<Dev> stream, View<int const, 2, Dev> ids, View<int, 1, Dev> offsets, View<int, 1, Dev> rows,
                 View<int, 2, Dev> places) {
  using Tr = RouteListsTraits;
  check_input("route_lists: ids", ids), check_output("route_lists: offsets", offsets), check_output("route_lists: rows", rows);
  check_output("route_lists: places", places), check_shape("route_lists: places", places, ids.extent(0), ids.extent(1));
  require<ShapeError>(offsets.extent(0) >= 1, "route_lists: offsets: expected one more than there are experts, found ", offsets.extent(0));
  require<LimitError>(ids.count() <= INT_MAX - Tr::kThreads, "route_lists: ids: at most 2^31 choices, found ", ids.count());
  check_shape("route_lists: rows", rows, ids.count());
  check_apart("route_lists: offsets", offsets, "ids", ids), check_apart("route_lists: rows", rows, "ids", ids);
  check_apart("route_lists: places", places, "ids", ids), check_apart("route_lists: rows", rows, "offsets", offsets);
  check_apart("route_lists: places", places, "offsets", offsets), check_apart("route_lists: places", places, "rows", rows);
  if (offsets.extent(0) == 1) return;
  simt::launch(stream, {.name = "route_lists", .grid = offsets.extent(0) - 1, .block = Tr::kThreads, .shared = sizeof(Tr::Shared)},
               route_lists_kernel<Dev>, ids, offsets, rows, places);
}

constexpr Cost route_cost(Size p, Size experts, Size top) { return {4 * p * (experts + 2 * top), 2 * p * top}; }
constexpr Cost route_lists_cost(Size p, Size experts, Size top) { return {4 * (3 * p * top + experts + 1), 0}; }

}  // namespace mgm::inline v0::kernels
