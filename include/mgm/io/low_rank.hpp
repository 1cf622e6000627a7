/// Products of low rank added to weights while they are loaded.
#pragma once
#include <vector>

#include <mgm/cpu/gemm.hpp>
#include <mgm/io/convert.hpp>

namespace mgm::inline v0::io {

/// w += scale·up·down.   w (N, K), up (N, R), down (R, K): tensors of files, stored in any shape of that many elements. Sums in float; the
/// same bits for any number of threads. Throws ShapeError, DtypeError (integers), FileError.
inline void add_low_rank(Executor const& run, TensorFile const& up_file, TensorInfo const& up, TensorFile const& down_file, TensorInfo const& down,
                         Size rank, float scale, View<float, 2, Cpu> w) {
  std::vector<float> left(static_cast<std::size_t>(w.extent(0) * rank)), right(static_cast<std::size_t>(rank * w.extent(1)));
  copy_converted(up_file, up, left.data(), static_cast<Size>(left.size()));
  copy_converted(down_file, down, right.data(), static_cast<Size>(right.size()));
  cpu::gemm_nn<float, float>(run, {left.data(), Extents{w.extent(0), rank}}, {right.data(), Extents{rank, w.extent(1)}},
                             Epilogue<float, Cpu>{.residual = w, .alpha = scale}, w);
}

}  // namespace mgm::inline v0::io
