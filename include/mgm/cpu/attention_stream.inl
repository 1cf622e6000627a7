// Read by attention.hpp once per instruction set: few query rows, as in decoding. Keys and values stream from memory once. The keys of
// each head are cut into splits of kKeys, whatever the number of threads; a task makes the partial softmax of one, and the parts are
// joined in order.
namespace mgm::inline v0::cpu::MGM_ISA {

/// out (kMr, d) = p (kMr, n)·v (n, d): V read row by row, 4 vectors of it at a time in registers for each row of p.
template <class T, int kMr>
MGM_NOINLINE void weigh(float const* p, Size p_stride, T const* v, Size v_stride, Size n, Size d, float* out) {
  constexpr int kWide = MGM_ISA_LEVEL >= 2 || kMr == 1 ? 4 : 2;
  Size c = 0;
  for (; c + kWide * kLanes <= d; c += kWide * kLanes) {
    F sums[kMr][kWide];
    MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) MGM_SIMD_UNROLL for (int w = 0; w < kWide; ++w) sums[i][w] = F{};
    for (Size j = 0; j < n; ++j) {
      T const* const row = v + j * v_stride + c;
      MGM_SIMD_UNROLL for (int w = 0; w < kWide; ++w) {
        F const x = load(row + w * kLanes);
        MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) sums[i][w] = fma(set(p[i * p_stride + j]), x, sums[i][w]);
      }
    }
    MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) MGM_SIMD_UNROLL for (int w = 0; w < kWide; ++w) store(out + i * d + c + w * kLanes, sums[i][w]);
  }
  for (; c < d; c += kLanes) {
    int const count = static_cast<int>(d - c < kLanes ? d - c : kLanes);
    F sums[kMr];
    MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) sums[i] = F{};
    for (Size j = 0; j < n; ++j) {
      F const x = count == kLanes ? load(v + j * v_stride + c) : load(v + j * v_stride + c, count);
      MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) sums[i] = fma(set(p[i * p_stride + j]), x, sums[i]);
    }
    MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) store(out + i * d + c, sums[i], count);
  }
}

template <class T>
struct AttentionStream {
  AttentionShape<T> s;
  Size splits;
  float* parts;  // [g][split][row][d + 2]: sums, top, mass
  Size part() const { return s.q.extent(2) + 2; }

  MGM_NOINLINE void operator()(Size task) const {
    Size const g = task / splits, j0 = task % splits * kKeys, d = s.q.extent(2), left = s.k.extent(0) - j0, n = left < kKeys ? left : kKeys;
    int const rows = static_cast<int>(s.rows());
    Size const stride = (d + kStream - 1) / kStream * kStepWords<T>;
    Scratch const memory((rows * (stride + kKeys + d)) * 4);
    float *const queries = memory.as<float>(), *const scores = queries + rows * stride, *const sums = scores + rows * kKeys;
    alignas(64) float tile[kFewRows * kCols];
    for (int r = 0; r < rows; ++r) prepare<T>(s.q.row(s.position(r), s.head(g, r)), d, queries + r * stride);
    for (Size j = 0; j < n; j += kCols) {
      int const cols = static_cast<int>(n - j < kCols ? n - j : kCols);
      dot_tile<T>(rows, cols, queries, stride, s.k.row(j0 + j, g), s.k.stride(0), d, tile);
      for (int r = 0; r < rows; ++r) __builtin_memcpy(scores + r * kKeys + j, tile + r * kCols, static_cast<std::size_t>(cols) * 4);
    }
    float* const to = parts + task * rows * part();
    for (int r = 0; r < rows; ++r) {
      Size const seen = s.seen(r) - j0, visible = seen < 0 ? 0 : seen < n ? seen : n;
      float* const p = scores + r * kKeys;
      F most = set(-__builtin_inff());
      for (Size j = 0; j < visible; j += kLanes) {
        F x = load(p + j) * set(s.scale);
        if (visible - j < kLanes) x = select(lane_index() < static_cast<int>(visible - j), x, set(-__builtin_inff()));
        store(p + j, x);
        most = max(x, most);
      }
      float const top = peak(most), base = top == -__builtin_inff() ? 0.0f : top;
      F mass{};
      for (Size j = 0; j < n; j += kLanes) {
        F const e = j < visible ? exp(load(p + j) - set(base)) : F{};
        mass += e;
        store(p + j, e);
      }
      to[r * part() + d] = top, to[r * part() + d + 1] = sum(mass);
    }
    int r = 0;
    for (; r + 4 <= rows; r += 4) weigh<T, 4>(scores + r * kKeys, kKeys, s.v.row(j0, g), s.v.stride(0), n, d, sums + r * d);
    for (; r < rows; ++r) weigh<T, 1>(scores + r * kKeys, kKeys, s.v.row(j0, g), s.v.stride(0), n, d, sums + r * d);
    for (r = 0; r < rows; ++r) __builtin_memcpy(to + r * part(), sums + r * d, static_cast<std::size_t>(d) * 4);
  }

  /// out = Σ_split e^(top_split − top)·sums_split / Σ_split e^(top_split − top)·mass_split.
  MGM_NOINLINE void join(Size g, Size r) const {
    Size const d = s.q.extent(2), step = s.rows() * part();
    float* const first = parts + (g * splits * s.rows() + r) * part();
    float top = -__builtin_inff(), mass = 0;
    for (Size i = 0; i < splits; ++i) {
      float const t = first[i * step + d];
      top = t > top ? t : top;
    }
    if (top == -__builtin_inff()) top = 0;
    for (Size i = 0; i < splits; ++i) {
      float& t = first[i * step + d];
      t = exp(set(t - top))[0];  // from here on the part's weight
      mass += t * first[i * step + d + 1];
    }
    F const share = set(mass > 0 || mass != mass ? 1.0f / mass : 0.0f);
    T* const to = s.out.row(s.position(r), s.head(g, r));
    for (Size c = 0; c < d; c += kLanes) {
      int const count = static_cast<int>(d - c < kLanes ? d - c : kLanes);
      F y{};
      for (Size i = 0; i < splits; ++i) y = fma(load(first + i * step + c, count), set(first[i * step + d]), y);
      store(to + c, y * share, count);
    }
  }
};
template <class T>
struct JoinTask {
  AttentionStream<T> const& stream;
  void operator()(Size g) const {
    for (Size r = 0; r < stream.s.rows(); ++r) stream.join(g, r);
  }
};

template <class T>
void attend(Executor const& ex, View<T const, 3, Cpu> q, View<T const, 3, Cpu> k, View<T const, 3, Cpu> v, float scale, bool causal, View<T, 3, Cpu> out) {
  AttentionShape<T> const s{q, k, v, out, scale, causal};
  if (out.count() == 0) return;
  Size const groups = k.extent(1), splits = (k.extent(0) + kKeys - 1) / kKeys;
  if (s.rows() > kFewRows) {
    Size const chunks = (s.rows() + kQueryRows - 1) / kQueryRows;
    ex.parallel(groups * chunks, AttentionBlocks<T>{s, chunks});
    return;
  }
  AttentionStream<T> stream{s, splits, nullptr};
  Scratch const memory(groups * splits * s.rows() * stream.part() * 4);
  stream.parts = memory.as<float>();
  ex.parallel(groups * splits, stream);
  JoinTask<T> const join{stream};
  for (Size g = 0; g < groups; ++g) join(g);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
