/// What ldmatrix hands to which lane, from the addresses that the lanes bring; written without mma_layout.hpp. And what it costs in banks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0::simt::host {

/// What a lane brings: the address of a row, and its registers.
struct RowOfMatrix {
  std::byte const* row;
  unsigned* out;
};

/// Hands out `count` matrices: element (i, j) of a matrix goes to lane 4·i + j/2, half j % 2; with `turned`, element (j, i) does.
inline void hand_out_matrices(RowOfMatrix const* const* lanes, int count, bool turned) {
  for (int matrix = 0; matrix < count; ++matrix) {
    std::uint16_t element[8][8];
    for (int i = 0; i < 8; ++i) std::memcpy(element[i], lanes[8 * matrix + i]->row, 16);
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; j += 2) {
        unsigned const low = turned ? element[j][i] : element[i][j], high = turned ? element[j + 1][i] : element[i][j + 1];
        lanes[4 * i + j / 2]->out[matrix] = low | high << 16;
      }
  }
}
/// Passes over the banks that the matrix with these eight rows takes beyond its one: rows that share a 16-byte column of 128, but not the
/// address.
inline int extra_passes(RowOfMatrix const* const* lanes) {
  int most = 1;
  for (int i = 0; i < 8; ++i) {
    auto const mine = reinterpret_cast<std::uintptr_t>(lanes[i]->row);
    int same = 1;
    for (int j = 0; j < i; ++j) {
      auto const other = reinterpret_cast<std::uintptr_t>(lanes[j]->row);
      same += mine / 16 % 8 == other / 16 % 8 && mine != other ? 1 : 0;
    }
    most = same > most ? same : most;
  }
  return most - 1;
}

}  // namespace mgm::inline v0::simt::host
