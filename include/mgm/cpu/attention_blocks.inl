// Read by attention.hpp once per instruction set: many query rows. A task takes kQueryRows rows of one key/value head, where a row is a
// query position of one of the heads that share it, and walks the keys in blocks: scores by tiles, running maximum and mass, then values
// by tiles (online softmax: Milakov and Gimelshein 2018; blocks: Dao et al. 2022).
// Blocks start at multiples of kKeys from key 0, so a row's bits depend neither on the cut into tasks nor on the threads.
namespace mgm::inline v0::cpu::MGM_ISA {

inline constexpr Size kQueryRows = 192, kKeys = 256;

template <class T>
struct AttentionShape {
  View<T const, 3, Cpu> q, k, v;
  View<T, 3, Cpu> out;
  float scale;
  bool causal;

  Size group() const { return q.extent(1) / k.extent(1); }
  Size rows() const { return q.extent(0) * group(); }  // of one key/value head
  Size position(Size row) const { return row / group(); }
  Size head(Size g, Size row) const { return g * group() + row % group(); }
  /// How many keys a row sees.
  Size seen(Size row) const { return causal ? k.extent(0) - q.extent(0) + position(row) + 1 : k.extent(0); }
};

/// Rows of scores in tiles -> probabilities exp(scale·s − top), their sum, and the new top. Columns from `seen` on give 0.
/// scores: [panel][kRows][kCols] at the row; p: the row, `width` of it written.
template <class P>
MGM_INLINE void soften(float* scores, Size width, Size seen, float scale, float& top, float& mass, float& keep, P* p) {
  constexpr Size kStride = Size{kRows} * kCols;
  F most = set(-__builtin_inff());
  for (Size j = 0; j < seen; j += kLanes) {
    float* const at = scores + j / kCols * kStride + j % kCols;
    F s = load(at) * set(scale);
    if (seen - j < kLanes) s = select(lane_index() < static_cast<int>(seen - j), s, set(-__builtin_inff()));
    store(at, s);
    most = max(s, most);
  }
  float const now = peak(most), next = now > top ? now : top;
  float const base = next == -__builtin_inff() ? 0.0f : next;  // all -inf: e^-inf = 0, not NaN
  keep = exp(set(top - base))[0];
  F sum_ = F{};
  for (Size j = 0; j < width; j += kLanes) {
    F e{};
    if (j < seen) e = exp(load(scores + j / kCols * kStride + j % kCols) - set(base));
    sum_ += e;
    store(p + j, e);
  }
  mass = mass * keep + sum(sum_);
  top = next;
}

template <class T>
struct AttentionBlocks {
  AttentionShape<T> s;
  Size chunks;  // of one key/value head's rows
  MGM_NOINLINE void operator()(Size task) const {
    using P = std::conditional_t<kPairs<T>, bf16, float>;
    constexpr int kUnit = kPerUnit<T>;
    constexpr Size kTile = Size{kRows} * kCols;
    Size const g = task / chunks, r0 = task % chunks * kQueryRows, d = s.q.extent(2);
    Size const rows = s.rows() - r0 < kQueryRows ? s.rows() - r0 : kQueryRows, panels = (rows + kRows - 1) / kRows;
    Size const d_units = (d + kUnit - 1) / kUnit, d_tiles = (d + kCols - 1) / kCols, key_units = kKeys / kUnit, key_tiles = kKeys / kCols;
    Scratch const m_q(panels * d_units * kRows * 4), m_rows(kRows * d * static_cast<Size>(sizeof(T))), m_k(kKeys * d_units * 4);
    Scratch const m_v(d_tiles * key_units * kCols * 4), m_o(panels * d_tiles * kTile * 4), m_s(key_tiles * kTile * 4);
    auto *const queries = m_q.as<std::uint32_t>(), *const keys = m_k.as<std::uint32_t>(), *const values = m_v.as<std::uint32_t>();
    float *const sums = m_o.as<float>(), *const scores = m_s.as<float>();
    T* const gathered = m_rows.as<T>();
    alignas(64) P probabilities[kRows * kKeys];
    alignas(64) std::uint32_t weights[kRows * kKeys];
    float top[kQueryRows], mass[kQueryRows];

    for (Size p = 0; p < panels; ++p) {
      int const here = static_cast<int>(rows - p * kRows < kRows ? rows - p * kRows : kRows);
      for (int i = 0; i < here; ++i) {
        Size const row = r0 + p * kRows + i;
        __builtin_memcpy(gathered + i * d, s.q.row(s.position(row), s.head(g, row)), static_cast<std::size_t>(d) * sizeof(T));
      }
      pack_rows<T>(gathered, d, here, d, kRows, queries + p * d_units * kRows);
    }
    __builtin_memset(sums, 0, static_cast<std::size_t>(panels * d_tiles * kTile) * 4);
    for (Size i = 0; i < rows; ++i) top[i] = -__builtin_inff(), mass[i] = 0;

    Size const end = s.seen(r0 + rows - 1);  // the last row sees most
    for (Size j0 = 0; j0 < end; j0 += kKeys) {
      Size const n = s.k.extent(0) - j0 < kKeys ? s.k.extent(0) - j0 : kKeys, tiles = (n + kCols - 1) / kCols;
      for (Size t = 0; t < tiles; ++t) {
        Size const left = n - t * kCols;
        pack_rows<T>(s.k.row(j0 + t * kCols, g), s.k.stride(0), static_cast<int>(left < kCols ? left : kCols), d, kCols, keys + t * d_units * kCols);
      }
      for (Size c = 0; c < d_tiles; ++c) {
        Size const left = d - c * kCols;
        pack_cols<T>(s.v.row(j0, g) + c * kCols, s.v.stride(0), static_cast<int>(left < kCols ? left : kCols), n, values + c * key_units * kCols);
      }
      for (Size p = 0; p < panels; ++p) {
        int const here = static_cast<int>(rows - p * kRows < kRows ? rows - p * kRows : kRows);
        if (s.seen(r0 + p * kRows + here - 1) <= j0) continue;  // none of these rows sees the block
        for (Size t = 0; t < tiles; ++t)
          multiply<kPairs<T>>(here, queries + p * d_units * kRows, keys + t * d_units * kCols, d_units, scores + t * kTile, false);
        float* const out = sums + p * d_tiles * kTile;
        Size const width = tiles * kCols;
        for (int i = 0; i < here; ++i) {
          Size const r = p * kRows + i, visible = s.seen(r0 + r) - j0;
          float keep;
          soften(scores + i * kCols, width, visible < 0 ? 0 : visible < n ? visible : n, s.scale, top[r], mass[r], keep, probabilities + i * kKeys);
          if (keep == 1.0f) continue;
          for (Size c = 0; c < d_tiles; ++c) {
            float* const at = out + c * kTile + i * kCols;
            store(at, load(at) * set(keep));
            store(at + kLanes, load(at + kLanes) * set(keep));
          }
        }
        pack_rows<P>(probabilities, kKeys, here, n, kRows, weights);
        for (Size c = 0; c < d_tiles; ++c)
          multiply<kPairs<T>>(here, weights, values + c * key_units * kCols, (n + kUnit - 1) / kUnit, out + c * kTile, true);
      }
    }
    for (Size r = 0; r < rows; ++r) {
      F const share = set(mass[r] > 0 || mass[r] != mass[r] ? 1.0f / mass[r] : 0.0f);  // no key at all gives 0
      T* const to = s.out.row(s.position(r0 + r), s.head(g, r0 + r));
      float const* const from = sums + r / kRows * d_tiles * kTile + r % kRows * kCols;
      for (Size c = 0; c < d; c += kLanes) {
        F const y = load(from + c / kCols * kTile + c % kCols) * share;
        if (d - c >= kLanes) store(to + c, y);
        else store(to + c, y, static_cast<int>(d - c));
      }
    }
  }
};

}  // namespace mgm::inline v0::cpu::MGM_ISA
