// Read by gemm.hpp once per instruction set: the product as a schedule of tiles.
//   For each block of rows: all threads turn A into panels (shared, read from L2 or L3); then each task takes a few panels of columns,
//   turns them over into its own L2 block by block of the sum, and runs every row panel past them.
// A tile's sum runs through the blocks in order, so its bits depend neither on how rows and columns are cut nor on the threads.
namespace mgm::inline v0::cpu::MGM_ISA {

inline constexpr Size kChunk = 4;  // column panels of a task at most: 4 · 32 columns · 2 KiB = 256 KiB of L2 (3 to 4: 0.94 of the peak; 6: 0.91)

template <class T, class TOut, bool kTransposed>
struct Gemm {
  View<T const, 2, Cpu> a, w;
  Epilogue<T, Cpu> const& e;
  View<TOut, 2, Cpu> out;
  std::uint32_t* panels;         // of A: [panel][unit][kRows], the rows of this block
  Size first_row, rows;          // of this block
  Size units, chunks, row_cuts;  // units of the whole sum; columns and rows are cut into chunks · row_cuts tasks

  Size row_panels() const { return (rows + kRows - 1) / kRows; }
  Size col_panels() const { return (out.extent(1) + kCols - 1) / kCols; }

  MGM_NOINLINE void pack(Size panel) const {
    Size const m = panel * kRows, left = rows - m;
    pack_rows(a.row(first_row + m), a.stride(0), static_cast<int>(left < kRows ? left : kRows), a.extent(1), kRows, panels + panel * units * kRows);
  }
  MGM_NOINLINE void pack_columns(Size panel, Size unit, Size count, std::uint32_t* to) const {
    Size const n = panel * kCols, cols = out.extent(1) - n, at = unit * kPerUnit<T>, k = a.extent(1) - at, span = count * kPerUnit<T>;
    int const here = static_cast<int>(cols < kCols ? cols : kCols);
    if constexpr (kTransposed) pack_rows(w.row(n) + at, w.stride(0), here, k < span ? k : span, kCols, to);
    else pack_cols(w.row(at) + n, w.stride(0), here, k < span ? k : span, to);
  }
  MGM_NOINLINE void run(Size task) const {
    Size const chunk = task / row_cuts, cut = task % row_cuts;
    Size const p0 = col_panels() * chunk / chunks, p1 = col_panels() * (chunk + 1) / chunks;
    Size const m0 = row_panels() * cut / row_cuts, m1 = row_panels() * (cut + 1) / row_cuts;
    bool const whole = units <= kUnits;
    Size const block = whole ? units : kUnits, tiles = whole ? 1 : (m1 - m0) * (p1 - p0);
    Scratch const memory((p1 - p0) * block * kCols * 4 + tiles * kRows * kCols * 4);
    auto* const columns = memory.as<std::uint32_t>();
    auto* const sums = reinterpret_cast<float*>(columns + (p1 - p0) * block * kCols);
    Size unit = 0;
    do {
      Size const count = units - unit < block ? units - unit : block;
      bool const last = unit + count == units;
      for (Size p = p0; p < p1; ++p) pack_columns(p, unit, count, columns + (p - p0) * block * kCols);
      for (Size m = m0; m < m1; ++m) {
        Size const row = m * kRows, left = rows - row;
        int const here = static_cast<int>(left < kRows ? left : kRows);
        for (Size p = p0; p < p1; ++p) {
          float* const tile = whole ? sums : sums + ((m - m0) * (p1 - p0) + p - p0) * kRows * kCols;
          multiply<kPairs<T>>(here, panels + (m * units + unit) * kRows, columns + (p - p0) * block * kCols, count, tile, unit > 0);
          if (!last) continue;
          Size const n = p * kCols, cols = out.extent(1) - n;
          write_tile<T, TOut>(tile, here, static_cast<int>(cols < kCols ? cols : kCols), first_row + row, n, e, out);
        }
      }
      unit += count;
    } while (unit < units);
  }
};
template <class G>
struct PackTask {
  G const& gemm;
  Size group;
  void operator()(Size i) const {
    for (Size p = i * group; p < (i + 1) * group && p < gemm.row_panels(); ++p) gemm.pack(p);
  }
};
template <class G>
struct RunTask {
  G const& gemm;
  void operator()(Size i) const { gemm.run(i); }
};

template <class T, class TOut, bool kTransposed>
void gemm(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  using G = Gemm<T, TOut, kTransposed>;
  Size const rows = out.extent(0), units = (a.extent(1) + kPerUnit<T> - 1) / kPerUnit<T>, threads = ex.threads ? ex.threads->concurrency() : 1;
  if (rows <= 0 || out.extent(1) <= 0) return;
  // A block of rows packs into 8 MiB, or has 384 rows, which repay the packing of W.
  Size block = (Size{8} << 20) / (4 * (units > 0 ? units : 1));
  block = block < 384 ? 384 : block;
  Size const blocks = (rows + block - 1) / block;
  block = ((rows + blocks - 1) / blocks + kRows - 1) / kRows * kRows;
  Scratch const memory(block * units * 4);
  G g{a, w, e, out, memory.as<std::uint32_t>(), 0, 0, units, 1, 1};
  Size const panels = g.col_panels();
  Size chunks = (panels + kChunk - 1) / kChunk;
  chunks = (chunks + threads - 1) / threads * threads;  // as many for each thread
  g.chunks = chunks < panels ? chunks : panels;
  for (Size m = 0; m < rows; m += block) {
    g.first_row = m, g.rows = rows - m < block ? rows - m : block;
    Size const cuts = (threads + g.chunks - 1) / g.chunks;
    g.row_cuts = cuts < g.row_panels() ? cuts : g.row_panels();
    Size const group = (g.row_panels() + 4 * threads - 1) / (4 * threads);
    ex.parallel((g.row_panels() + group - 1) / group, PackTask<G>{g, group});
    ex.parallel(g.chunks * g.row_cuts, RunTask<G>{g});
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
