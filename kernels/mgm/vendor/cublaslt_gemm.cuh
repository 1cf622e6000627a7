/// Dense products by cuBLASLt: the second backend of `gemm` on Cuda, and what our own forms are measured against. Optional: a program that
/// does not include this file needs no cuBLAS. Compiled by nvcc alone, linked with CUDA::cublasLt.
#pragma once
#include <cublasLt.h>

#include <map>
#include <tuple>

#include <mgm/core/epilogue.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::vendor {

namespace detail {
template <class T>
inline constexpr cudaDataType kCublasType = std::same_as<T, float>  ? CUDA_R_32F
                                            : std::same_as<T, bf16> ? CUDA_R_16BF
                                                                    : CUDA_R_16F;

inline void check(cublasStatus_t status, char const* call) {
  require<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "cublasLt: ", call, " failed: ", cublasLtGetStatusString(status));
}
/// One of the library's descriptors, destroyed with this.
template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Owned {
  Handle handle{};
  Owned() = default;
  Owned(Owned const&) = delete;
  Owned& operator=(Owned const&) = delete;
  ~Owned() {
    if (handle) kDestroy(handle);
  }
};
}  // namespace detail

/// A handle with a workspace of the caller's, and the algorithms found so far by shape. One thread at a time uses it.
class CublasLt {
 public:
  /// `workspace`: device memory that every product may use; 32 MiB is what cuBLAS recommends for Hopper.
  CublasLt(void* workspace, Size bytes) : workspace_(workspace), bytes_(bytes) {
    detail::check(cublasLtCreate(&library_.handle), "cublasLtCreate");
  }

  /// Whether the library has this epilogue: alpha, a bias, a residual; nothing that is applied to the sum besides.
  template <Real T>
  [[nodiscard]] static bool takes(Epilogue<T, Cuda> const& e) {
    return e.activation == Activation::none && !e.scale.data() && !e.factor.data();
  }
  /// out = alpha·x·wᵀ + bias + residual, sums in float; f32 without tf32.
  /// x (M, K), w (N, K), out (M, N) of T or float, last axes dense. Enqueues and returns. Throws ShapeError, ArgumentError, DeviceError.
  template <Real T, class TOut>
  void gemm(simt::Stream<Cuda> stream, In<T, 2, Cuda> x, In<T, 2, Cuda> w, Epilogue<T, Cuda> const& e, Out<TOut, 2, Cuda> out) {
    Size const m = out.extent(0), n = out.extent(1), k = x.extent(1);
    check_shape("cublaslt: x", x, m, any), check_shape("cublaslt: w", w, n, k);
    require<ArgumentError>(takes(e), "cublaslt: the library has no such epilogue; take a form of our own");
    require<ArgumentError>(x.stride(1) == 1 && w.stride(1) == 1 && out.stride(1) == 1, "cublaslt: rows must be dense");
    require<ArgumentError>(!e.residual.data() || std::same_as<T, TOut>, "cublaslt: the residual and the output must have one type");
    if (out.count() == 0) return;
    // the library thinks in columns: outᵀ (N, M) = wᵀᵀ (N, K) · xᵀ (K, M)
    detail::Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product;
    detail::check(cublasLtMatmulDescCreate(&product.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    auto const set = [&](cublasLtMatmulDescAttributes_t what, auto const& value) {
      detail::check(cublasLtMatmulDescSetAttribute(product.handle, what, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (e.bias.data()) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, e.bias.data());
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, detail::kCublasType<T>);
    }
    using Layout = detail::Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
    auto const describe = [&](Layout& layout, cudaDataType type, Size rows, Size cols, Size stride) {
      detail::check(
          cublasLtMatrixLayoutCreate(&layout.handle, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), stride),
          "cublasLtMatrixLayoutCreate");
    };
    Layout a, b, c, d;
    describe(a, detail::kCublasType<T>, k, n, w.stride(0)), describe(b, detail::kCublasType<T>, k, m, x.stride(0));
    describe(d, detail::kCublasType<TOut>, n, m, out.stride(0));
    describe(c, detail::kCublasType<TOut>, n, m, e.residual.data() ? e.residual.stride(0) : out.stride(0));
    auto const key = std::tuple{m,
                                n,
                                k,
                                x.stride(0),
                                w.stride(0),
                                out.stride(0),
                                int{sizeof(T)},
                                int{sizeof(TOut)},
                                std::same_as<T, bf16>,
                                e.bias.data() != nullptr};
    auto found = algorithms_.find(key);
    if (found == algorithms_.end()) {
      detail::Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> wish;
      detail::check(cublasLtMatmulPreferenceCreate(&wish.handle), "cublasLtMatmulPreferenceCreate");
      auto const bytes = static_cast<std::size_t>(bytes_);
      detail::check(cublasLtMatmulPreferenceSetAttribute(wish.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
                    "cublasLtMatmulPreferenceSetAttribute");
      cublasLtMatmulHeuristicResult_t best{};
      int count = 0;
      detail::check(cublasLtMatmulAlgoGetHeuristic(library_.handle, product.handle, a.handle, b.handle, c.handle, d.handle, wish.handle, 1,
                                                   &best, &count),
                    "cublasLtMatmulAlgoGetHeuristic");
      require<DeviceError>(count > 0, "cublaslt: no algorithm for ", m, "x", n, "x", k, "; take a form of our own");
      found = algorithms_.emplace(key, best.algo).first;
    }
    float const alpha = e.alpha, beta = e.residual.data() ? 1.0f : 0.0f;
    void const* const old = e.residual.data() ? static_cast<void const*>(e.residual.data()) : out.data();
    detail::check(cublasLtMatmul(library_.handle, product.handle, &alpha, w.data(), a.handle, x.data(), b.handle, &beta, old, c.handle,
                                 out.data(), d.handle, &found->second, workspace_, static_cast<std::size_t>(bytes_), stream.handle),
                  "cublasLtMatmul");
  }

 private:
  detail::Owned<cublasLtHandle_t, cublasLtDestroy> library_;
  void* workspace_;
  Size bytes_;
  std::map<std::tuple<Size, Size, Size, Size, Size, Size, int, int, bool, bool>, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace mgm::inline v0::vendor
