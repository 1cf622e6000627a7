// One kernel alone, in a program that has tensors of its own: raw pointers, strides and a stream. No model, no layer, no Context.
// nvcc compiles this file for a GPU; g++ and clang compile the same lines for the Simt machine, where fibers run the kernel.
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include <mgm/kernels/attention/mining.cuh>
#include <mgm/kernels/attention/mining_statistics.cuh>
#if defined(__CUDACC__)
#  include <cuda_runtime.h>
#else
#  include <mgm/simt/machine.hpp>
#endif

using Dev = mgm::simt::KernelsFor;  // Cuda or Simt
using mgm::Extents, mgm::Size, mgm::View;

// The engine's own array: on a GPU in its memory, else on the heap.
template <class T>
class Array {
 public:
  explicit Array(std::vector<T> const& from) : count_(from.size()) {
#if defined(__CUDACC__)
    if (cudaMalloc(&data_, count_ * sizeof(T)) != cudaSuccess) std::fprintf(stderr, "no device memory\n");
    cudaMemcpy(data_, from.data(), count_ * sizeof(T), cudaMemcpyHostToDevice);
#else
    data_ = new T[count_];
    std::copy(from.begin(), from.end(), data_);
#endif
  }
  Array(Array const&) = delete;
  Array& operator=(Array const&) = delete;
#if defined(__CUDACC__)
  ~Array() { cudaFree(data_); }
#else
  ~Array() { delete[] data_; }
#endif
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> out(count_);
#if defined(__CUDACC__)
    cudaMemcpy(out.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost);
#else
    std::copy(data_, data_ + count_, out.begin());
#endif
    return out;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

std::vector<float> wave(Size count, float step) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::sin(step * static_cast<float>(i));
  return out;
}

int main() {
  constexpr Size kSide = 4, kTokens = kSide * kSide, kCells = 16, kM = 16, kFine = 24, kCoarse = 40, kF = kFine + kCoarse;
#if defined(__CUDACC__)
  if (int devices = 0; cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) return std::puts("skipped: no CUDA device"), 0;
  mgm::simt::Stream<Dev> const stream{};  // a cudaStream_t of yours goes in here
#else
  mgm::simt::Machine machine;
  auto const stream = machine.stream();
#endif
  // two stage maps: 16×16 pixels of 24 channels, and 8×8 of 40 that are never upsampled; taps say which pixels make a cell
  Array const fine(wave(kCells * kCells * kFine, 0.37f)), coarse(wave(kCells / 2 * kCells / 2 * kCoarse, 0.61f)), u(wave(kTokens * kF, 0.11f));
  Array const gain(std::vector<float>(kF, 1)), bias(std::vector<float>(kF, 0)), mean(std::vector<float>(kCells * kCells)),
      rstd(std::vector<float>(kCells * kCells)), z(std::vector<float>(kTokens * kF)), paid(std::vector<float>(kTokens * kM));
  Array const same(mgm::resize_taps(kCells, kCells)), half(mgm::resize_taps(kCells / 2, kCells));
  auto const taps = [](auto const& a) { return View<mgm::Tap const, 1, Dev>(a.data(), Extents{kCells}); };
  mgm::MiningStage<float, Dev> const stages[] = {
      {View<float const, 3, Dev>(fine.data(), Extents{kCells, kCells, kFine}), taps(same), taps(same)},
      {View<float const, 3, Dev>(coarse.data(), Extents{kCells / 2, kCells / 2, kCoarse}), taps(half), taps(half)}};
  auto const matrix = [](Array<float> const& a, Size rows, Size cols) { return View<float, 2, Dev>(a.data(), Extents{rows, cols}); };
  auto const vector = [](Array<float> const& a) { return View<float const, 1, Dev>(a.data(), Extents{kF}); };
  std::span<mgm::MiningStage<float, Dev> const> const maps(stages);

  mgm::kernels::mining_statistics<float, Dev>(stream, maps, 1e-5f, matrix(mean, kCells, kCells), matrix(rstd, kCells, kCells));
  mgm::kernels::mining<float, Dev>(stream, matrix(u, kTokens, kF), {kSide, kSide}, maps, matrix(mean, kCells, kCells),
                                   matrix(rstd, kCells, kCells), 0.1f, vector(gain), vector(bias), matrix(z, kTokens, kF),
                                   matrix(paid, kTokens, kM));
  auto const attention = paid.read(), mined = z.read();
  float sum = 0;
  for (Size j = 0; j < kM; ++j) sum += attention[static_cast<std::size_t>(j)];
  std::printf("token 0 took %.3f of its first cell, %.6f of all; z begins with %.4f\n", static_cast<double>(attention[0]), static_cast<double>(sum),
              static_cast<double>(mined[0]));
  return std::abs(sum - 1) < 1e-5f ? 0 : 1;
}
