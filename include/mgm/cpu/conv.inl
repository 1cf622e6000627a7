// Read by conv.hpp once per instruction set: the convolution as a schedule of tiles.
//   For each band of output rows: all threads lay the rows of the map beneath it out with their edges, resampled, joined and normalised, as
//   words that the inner kernel reads; then each task takes a few panels of output channels and runs every tile of pixels past them, as in
//   gemm.inl. A tile is a run of neighbours in one output row, so each tap of it is the same run, shifted.
// A tile's sum runs through taps, then channels, so its bits depend neither on the cut nor on the threads.
namespace mgm::inline v0::cpu::MGM_ISA {

inline constexpr Size kBandBytes = Size{8} << 20, kTapUnits = 640;  // of a block of the sum: a tile's pixels stay in L1, columns in L2
inline constexpr int kMostTaps = 64;                                // of a block

/// TW, of the weights, is T, or what the band holds.
template <class T, class TOut, class TW>
struct Conv {
  using P = std::conditional_t<kPairs<T>, bf16, float>;  // what the band holds
  MapSource<T, Cpu> const& x;
  Window const& window;
  View<TW const, 2, Cpu> w;
  Epilogue<T, Cpu> const& e;
  View<TOut, 2, Cpu> out;
  Size gap;                  // rows of `out` between those of one output row and those of the next
  Size units, pixel, width;  // units of a pixel; words from pixel to pixel; pixels in a row of the band
  Size across;               // tiles in an output row
  std::uint32_t* band;
  Size first_row, rows;   // output rows of this band
  Size chunks, row_cuts;  // columns and tiles are cut into chunks · row_cuts tasks

  Size col_panels() const { return (out.extent(1) + kCols - 1) / kCols; }
  Size band_rows(Size output_rows) const { return (output_rows - 1) * window.stride + window.side; }
  Size edge(Size tile) const { return window.out_cols * tile / across; }

  MGM_NOINLINE void pack_row(Size i) const {
    Size const y = window.source_row(first_row, static_cast<int>(i), x.rows()), left = x.first.extent(2), all = x.channels();
    for (Size c = 0; c < width; ++c) {
      Size const u = window.source_col(0, static_cast<int>(c), x.cols());
      std::uint32_t* const words = band + (i * width + c) * pixel;
      P* const to = reinterpret_cast<P*>(words);
      if (y < 0 || u < 0) {
        __builtin_memset(words, 0, static_cast<std::size_t>(units) * 4);
        continue;
      }
      words[units - 1] = 0;  // the odd last element
      float const *const scale = x.scale.data(), *const shift = x.shift.data();
      pack_channels(x.first.row(y, u), scale, shift, x.silu, left, to);
      if (left < all)
        pack_channels(x.second.row(y, u), scale ? scale + left : nullptr, shift ? shift + left : nullptr, x.silu, all - left, to + left);
    }
  }
  MGM_NOINLINE void pack_columns(Size panel, Size first_tap, Size taps, Size unit, Size count, std::uint32_t* to) const {
    Size const n = panel * kCols, cols = out.extent(1) - n, all = x.channels(), at = unit * kPerUnit<T>, left = all - at;
    Size const span = count * kPerUnit<T>, k = left < span ? left : span;
    for (Size t = first_tap; t < first_tap + taps; ++t, to += count * kCols)
      pack_rows(w.row(n) + t * all + at, w.stride(0), static_cast<int>(cols < kCols ? cols : kCols), k, kCols, to);
  }
  MGM_NOINLINE void run(Size task) const {
    Size const chunk = task / row_cuts, cut = task % row_cuts, tiles = rows * across, all_taps = Size{window.side} * window.side;
    Size const p0 = col_panels() * chunk / chunks, p1 = col_panels() * (chunk + 1) / chunks;
    Size const m0 = tiles * cut / row_cuts, m1 = tiles * (cut + 1) / row_cuts;
    // A block of the sum: several taps whole, or a part of one.
    Size const parts = (units + kUnits - 1) / kUnits, part = (units + parts - 1) / parts;
    Size most = parts > 1 ? 1 : kTapUnits / units;
    most = most < 1 ? 1 : most < all_taps ? most : all_taps;
    most = most < kMostTaps ? most : kMostTaps;
    bool const whole = parts == 1 && most == all_taps;
    Scratch const memory(((p1 - p0) * most * part + (whole ? 1 : (m1 - m0) * (p1 - p0)) * kRows) * kCols * 4);
    auto* const columns = memory.as<std::uint32_t>();
    auto* const sums = reinterpret_cast<float*>(columns + (p1 - p0) * most * part * kCols);
    Size offsets[kMostTaps];
    for (Size tap = 0; tap < all_taps; tap += most)
      for (Size unit = 0; unit < units; unit += part) {
        Size const taps = all_taps - tap < most ? all_taps - tap : most, count = units - unit < part ? units - unit : part;
        bool const begins = tap == 0 && unit == 0, ends = tap + taps == all_taps && unit + count == units;
        for (Size p = p0; p < p1; ++p) pack_columns(p, tap, taps, unit, count, columns + (p - p0) * taps * count * kCols);
        for (Size t = 0; t < taps; ++t) offsets[t] = ((tap + t) / window.side * width + (tap + t) % window.side) * pixel + unit;
        for (Size m = m0; m < m1; ++m) {
          Size const y = m / across, x0 = edge(m % across);
          int const here = static_cast<int>(edge(m % across + 1) - x0);
          std::uint32_t const* const from = band + (y * window.stride * width + x0 * window.stride) * pixel;
          for (Size p = p0; p < p1; ++p) {
            float* const tile = whole ? sums : sums + ((m - m0) * (p1 - p0) + p - p0) * kRows * kCols;
            multiply_taps<kPairs<T>>(here, from, window.stride * pixel, offsets, taps, columns + (p - p0) * taps * count * kCols, count,
                                     tile, !begins);
            if (!ends) continue;
            Size const n = p * kCols, cols = out.extent(1) - n;
            write_tile<T, TOut>(tile, here, static_cast<int>(cols < kCols ? cols : kCols), (first_row + y) * (window.out_cols + gap) + x0,
                                n, e, out);
          }
        }
      }
  }
};
template <class C>
struct BandTask {
  C const& conv;
  void operator()(Size i) const { conv.pack_row(i); }
};

template <class T, class TOut, class TW = T>
void conv(Executor const& ex, MapSource<T, Cpu> const& x, Window const& window, View<TW const, 2, Cpu> w, Epilogue<T, Cpu> const& e,
          View<TOut, 2, Cpu> out, Size gap) {
  using C = Conv<T, TOut, TW>;
  Size const threads = ex.threads ? ex.threads->concurrency() : 1, all_rows = window.out_rows, cols = window.out_cols;
  if (out.count() == 0) return;
  Size const units = (x.channels() + kPerUnit<T> - 1) / kPerUnit<T>;
  Size const lines = (units + 15) / 16;
  Size const pixel = (lines % 2 ? lines : lines + 1) * 16;  // an odd number of cache lines: neighbours fall into different sets of L1
  C c{x, window, w, e, out, gap, units, pixel, (cols - 1) * window.stride + window.side, (cols + kRows - 1) / kRows, nullptr, 0, 0, 1, 1};
  // Bands of about 8 MiB, or of 384 pixels, which repay the packing of W.
  Size const row_bytes = window.stride * c.width * pixel * 4, least = (384 + cols - 1) / cols;
  Size block = kBandBytes / row_bytes;
  block = block < least ? least : block;
  Size const blocks = (all_rows + block - 1) / block;
  block = (all_rows + blocks - 1) / blocks;
  Size const slack = kRows * window.stride * pixel;  // what a tile of fewer rows reads beyond its own
  Scratch const memory((c.band_rows(block) * c.width * pixel + slack) * 4);
  c.band = memory.as<std::uint32_t>();
  Size const panels = c.col_panels();
  Size chunks = (panels + kChunk - 1) / kChunk;
  chunks = (chunks + threads - 1) / threads * threads;
  c.chunks = chunks < panels ? chunks : panels;
  for (Size y = 0; y < all_rows; y += block) {
    c.first_row = y, c.rows = all_rows - y < block ? all_rows - y : block;
    Size const cuts = (threads + c.chunks - 1) / c.chunks, tiles = c.rows * c.across;
    c.row_cuts = cuts < tiles ? cuts : tiles;
    ex.parallel(c.band_rows(c.rows), BandTask<C>{c});
    ex.parallel(c.chunks * c.row_cuts, RunTask<C>{c});
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
