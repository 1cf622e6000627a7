/// Queries, keys and values of a few rows in one launch, each weight where the checkpoint has it: none is copied beside another.
///   q = x·Wqᵀ + bq     k = x·Wkᵀ + bk     v = x·Wvᵀ + bv
/// Shapes  x (M <= 16, K), each w (N, K) and out (M, N) with an N of its own.   Types  sums in float, rounded to T once.
/// Bits    those of gemm_skinny, whose block this is: the blocks of the three products stand one after the other in one grid, so that keys
///         and values, which have few columns where heads share them, do not wait for a grid of their own.
/// Cost    each weight is read once: bound by memory.
#pragma once
#include <mgm/kernels/gemm/gemm_skinny.cuh>

namespace mgm::inline v0::kernels {

template <int kRows, class T, class Dev>
MGM_GLOBAL(GemmSkinnyTraits::kThreads)
void qkv_kernel(View<T const, 2, Dev> x, Projection<T, Dev> q, Projection<T, Dev> k, Projection<T, Dev> v) {
  constexpr int kCols = GemmSkinnyTraits::kCols;
  Size const of_q = simt::ceil_div(q.w.extent(0), Size{kCols}), of_k = simt::ceil_div(k.w.extent(0), Size{kCols});
  Size const block = simt::block_idx().x;
  bool const is_q = block < of_q, is_k = !is_q && block < of_q + of_k;
  Projection<T, Dev> const p = is_q ? q : is_k ? k : v;
  int const thread = simt::thread_idx();
  Size const n0 = (is_q ? block : is_k ? block - of_q : block - of_q - of_k) * kCols, m = thread / kCols, n = n0 + thread % kCols;
  float sum = skinny_sums<kRows>(x, p.w, n0, simt::shared<GemmSkinnyShared<kRows>>());
  if (thread >= kRows * kCols || m >= p.out.extent(0) || n >= p.out.extent(1)) return;
  if (p.bias.data()) sum += simt::widen(p.bias(n));
  p.out(m, n) = simt::narrow<T>(sum);
}

/// Whether x and the three weights lie as gemm_skinny takes them.
template <Real T, KernelDevice Dev>
[[nodiscard]] bool qkv_fits(std::type_identity_t<View<T const, 2, Dev>> x, Projection<T, Dev> const& q, Projection<T, Dev> const& k,
                            Projection<T, Dev> const& v) {
  return gemm_skinny_fits<T, Dev>(x, q.w) && gemm_skinny_fits<T, Dev>(x, k.w) && gemm_skinny_fits<T, Dev>(x, v.w);
}

/// x (M <= 16, K); q, k, v: w (N, K), bias (N) or null, out (M, N), each N its own, 0 for none; rows of x and the weights are dense,
/// whole vectors of 16 bytes that begin on 16 bytes. No `out` overlaps an input or another. Enqueues and returns. Throws ShapeError and
/// ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void qkv(simt::Stream<Dev> stream, In<T, 2, Dev> x, std::type_identity_t<Projection<T, Dev>> const& q,
         std::type_identity_t<Projection<T, Dev>> const& k, std::type_identity_t<Projection<T, Dev>> const& v) {
  using Tr = GemmSkinnyTraits;
  struct Named {
    std::string_view w, bias, out;
    Projection<T, Dev> const& p;
  };
  Named const all[] = {{"qkv: q.w", "qkv: q.bias", "qkv: q.out", q},
                       {"qkv: k.w", "qkv: k.bias", "qkv: k.out", k},
                       {"qkv: v.w", "qkv: v.bias", "qkv: v.out", v}};
  check_input("qkv: x", x);
  for (auto const& [w, bias, out, p] : all) {
    check_input(w, p.w), check_output(out, p.out), check_shape(w, p.w, any, x.extent(1)),
        check_shape(out, p.out, x.extent(0), p.w.extent(0));
    if (p.bias.data()) check_input(bias, p.bias), check_shape(bias, p.bias, p.w.extent(0));
  }
  for (auto const& a : all) {
    check_apart(a.out, a.p.out, "x", x);
    for (auto const& b : all) {
      check_apart(a.out, a.p.out, b.w.substr(5), b.p.w);
      if (b.p.bias.data()) check_apart(a.out, a.p.out, b.bias.substr(5), b.p.bias);
      if (&a != &b) check_apart(a.out, a.p.out, b.out.substr(5), b.p.out);
    }
  }
  require<ArgumentError>(x.extent(0) <= Tr::kMaxRows, "qkv: x: at most ", Tr::kMaxRows, " rows, found ", x.extent(0));
  auto const whole = [&](std::string_view what, View<T const, 2, Dev> rows) {
    require<ArgumentError>(is_aligned(rows, 16) && x.extent(1) * Size{sizeof(T)} % 16 == 0, what,
                           ": needs dense rows of whole 16 bytes that begin on 16 bytes");
  };
  whole("qkv: x", x);
  for (auto const& a : all) whole(a.w, a.p.w);
  if (x.extent(0) == 0) return;
  Size const blocks =
      simt::ceil_div(q.w.extent(0), Tr::kCols) + simt::ceil_div(k.w.extent(0), Tr::kCols) + simt::ceil_div(v.w.extent(0), Tr::kCols);
  if (blocks == 0) return;
  skinny_rows(x.extent(0), [&]<int kRows>(std::integral_constant<int, kRows>) {
    simt::launch(stream, {.name = "qkv", .grid = blocks, .block = Tr::kThreads, .shared = sizeof(GemmSkinnyShared<kRows>)},
                 qkv_kernel<kRows, T, Dev>, x, q, k, v);
  });
}

/// Of M rows with K elements to Nq, Nk and Nv columns.
constexpr Cost qkv_cost(Size m, Size k, Size nq, Size nk, Size nv, Size bytes) {
  Size const n = nq + nk + nv;
  return {(m * k + n * k + m * n) * bytes, 2 * m * n * k};
}

}  // namespace mgm::inline v0::kernels
