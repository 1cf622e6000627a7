/// Tiles of 16-bit elements in shared memory, swizzled, and the copies that fill them while the block computes.
#pragma once
#include <mgm/core/view.hpp>
#include <mgm/simt/async_copy.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::tile {

/// kRows × kCols elements, rows in chunks of 16 bytes. A chunk lies at `chunk ^ (row mod 8)` of its row — rows shorter than the 128 bytes
/// of all banks share a line, and turn with it — so that eight rows of one chunk, which ldmatrix reads, and eight chunks of one row, which
/// a copy writes, fall on different banks.
template <class T, int kRows_, int kCols_>
struct SharedTile {
  static constexpr int kRows = kRows_, kCols = kCols_, kVec = 16 / static_cast<int>(sizeof(T)), kChunks = kCols / kVec;
  static_assert(sizeof(T) == 2 && kCols % kVec == 0 && (kChunks & (kChunks - 1)) == 0, "rows of 8, 16, 32, … elements of 16 bits");
  static constexpr int kInLine = kChunks >= 8 ? 1 : 8 / kChunks;  // rows in 128 bytes
  alignas(128) T at[kRows * kCols];

  MGM_HD static constexpr int place(int row, int chunk) {
    return (row * kChunks + (chunk ^ (row / kInLine % (kChunks < 8 ? kChunks : 8)))) * kVec;
  }
  MGM_HD T* chunk(int row, int chunk) { return at + place(row, chunk); }
  MGM_HD T const* chunk(int row, int chunk) const { return at + place(row, chunk); }
};

/// Brings tile after tile of a matrix to shared memory by asynchronous copies of a block's threads; what lies beyond the matrix is zero.
/// The matrix has dense rows that begin on 16 bytes; beyond its last column nothing is read, whatever the count of columns.
template <class T, class Tile, int kThreads>
class TileCopy {
 public:
  static constexpr int kAtOnce = kThreads / Tile::kChunks, kTimes = Tile::kRows / kAtOnce;
  static_assert(kThreads % Tile::kChunks == 0 && Tile::kRows % kAtOnce == 0, "each thread copies as many chunks as any other");

  /// The tile at (row, col) is first.
  template <class Dev>
  MGM_DEVICE TileCopy(View<T const, 2, Dev> matrix, Size row, Size col, int thread)
      : row_(thread / Tile::kChunks), chunk_(thread % Tile::kChunks), any_(matrix.data()), stride_(matrix.stride(0)),
        from_(matrix.data() + (row + row_) * stride_ + col + chunk_ * Tile::kVec), rows_(within(matrix.extent(0) - row - row_)),
        bytes_(within(matrix.extent(1) - col - chunk_ * Tile::kVec) * 2) {}
  /// Issues the copies of one tile. The caller commits.
  MGM_DEVICE void read(Tile& to) const {
    int const whole = bytes_ < 0 ? 0 : bytes_ < 16 ? bytes_ : 16;
    MGM_UNROLL for (int i = 0; i < kTimes; ++i) {
      int const bytes = i * kAtOnce < rows_ ? whole : 0;
      simt::copy_async<16>(to.chunk(row_ + i * kAtOnce, chunk_), bytes > 0 ? from_ + i * kAtOnce * stride_ : any_, bytes);
    }
  }
  /// The next tile is the one to the right, or the one below.
  MGM_DEVICE void go_right() { from_ += Tile::kCols, bytes_ -= 2 * Tile::kCols; }
  MGM_DEVICE void go_down() { from_ += Tile::kRows * stride_, rows_ -= Tile::kRows; }

 private:
  MGM_DEVICE static int within(Size left) { return static_cast<int>(left < (Size{1} << 29) ? left : Size{1} << 29); }
  int row_, chunk_;
  T const* any_;
  Size stride_;
  T const* from_;
  int rows_, bytes_;
};

/// The same for rows that lie anywhere: tile after tile to the right, of rows that a list names.
template <class T, class Tile, int kThreads>
class GatherCopy {
 public:
  static constexpr int kAtOnce = kThreads / Tile::kChunks, kTimes = Tile::kRows / kAtOnce;
  static_assert(kThreads % Tile::kChunks == 0 && Tile::kRows % kAtOnce == 0, "each thread copies as many chunks as any other");

  /// `row_of(i)` is the row of the matrix that row i of the tile comes from, or −1 for zeros.
  template <class Dev, class RowOf>
  MGM_DEVICE GatherCopy(View<T const, 2, Dev> matrix, int thread, RowOf row_of)
      : row_(thread / Tile::kChunks),
        chunk_(thread % Tile::kChunks),
        any_(matrix.data()),
        bytes_(static_cast<int>(matrix.extent(1) - chunk_ * Tile::kVec) * 2) {
    MGM_UNROLL for (int i = 0; i < kTimes; ++i) {
      Size const row = row_of(row_ + i * kAtOnce);
      from_[i] = row >= 0 ? matrix.row(row) + chunk_ * Tile::kVec : nullptr;
    }
  }
  MGM_DEVICE void read(Tile& to) const {
    int const whole = bytes_ < 0 ? 0 : bytes_ < 16 ? bytes_ : 16;
    MGM_UNROLL for (int i = 0; i < kTimes; ++i) {
      int const bytes = from_[i] != nullptr ? whole : 0;
      simt::copy_async<16>(to.chunk(row_ + i * kAtOnce, chunk_), bytes > 0 ? from_[i] + gone_ : any_, bytes);
    }
  }
  MGM_DEVICE void go_right() { gone_ += Tile::kCols, bytes_ -= 2 * Tile::kCols; }

 private:
  int row_, chunk_;
  T const* any_;
  T const* from_[kTimes];
  int gone_ = 0, bytes_;
};

}  // namespace mgm::inline v0::tile
