/// Dense products by cuBLASLt: a second backend of `linear` and `matmul` on Cuda, and what our own forms are measured against. Host code
/// that needs CUDA's headers; a program that does not include it needs no cuBLAS. Link mgm::cublaslt.
///   Context<Cuda> ctx({.products = std::make_shared<vendor::CublasLt>(), .prefer = Prefer::vendor});
#pragma once
#include <cublasLt.h>

#include <map>

#include <mgm/mem/second_backend.hpp>
#include <mgm/vendor/library.hpp>

namespace mgm::inline v0::vendor {

namespace detail {
inline cudaDataType cublas_type(Dtype type) { return type == Dtype::f32 ? CUDA_R_32F : type == Dtype::bf16 ? CUDA_R_16BF : CUDA_R_16F; }
inline void check(cublasStatus_t status, char const* call) {
  require<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "cublaslt: ", call, " failed: ", cublasLtGetStatusString(status));
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

/// A handle on a device, and the algorithms found so far by shape. One thread at a time uses it. f32 is exact f32, without tf32.
class CublasLt final : public Products {
 public:
  /// `most`: bytes of working memory that an algorithm may take; 32 MiB is what cuBLAS recommends for Hopper.
  /// Throws DeviceError where cuBLAS cannot start.
  explicit CublasLt(int device = 0, Size most = Size{32} << 20) : device_(device), most_(most) {
    detail::OnDevice const scope("cublaslt", device_);
    detail::check(cublasLtCreate(&library_.handle), "cublasLtCreate");
  }

  std::optional<Size> workspace(ProductCall const& call) override {
    Algorithm const& found = algorithm(call);
    return found.exists ? std::optional(found.workspace) : std::nullopt;
  }
  void run(simt::Stream<Cuda> stream, ProductCall const& call, void* work) override {
    Algorithm const& found = algorithm(call);
    require<DeviceError>(found.exists, "cublaslt: no algorithm for ", call.m, "x", call.n, "x", call.k, "; take a form of our own");
    if (call.m == 0 || call.n == 0) return;
    detail::OnDevice const scope("cublaslt", device_);
    Product const p(call);
    float const beta = call.residual ? 1.0f : 0.0f;
    detail::check(cublasLtMatmul(library_.handle, p.product.handle, &call.alpha, call.w, p.w.handle, call.x, p.x.handle, &beta,
                                 call.residual ? call.residual : call.out, p.residual.handle, call.out, p.out.handle, &found.algorithm,
                                 work, static_cast<std::size_t>(found.workspace), stream.handle),
                  "cublasLtMatmul");
  }

 private:
  /// A call in the library's words. It thinks in columns: outᵀ (N, M) = wᵀᵀ (N, K) · xᵀ (K, M).
  struct Product {
    using Layout = detail::Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
    detail::Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product;
    Layout w, x, residual, out;

    explicit Product(ProductCall const& call) {
      detail::check(cublasLtMatmulDescCreate(&product.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
      set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
      if (call.bias) {
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
        set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, detail::cublas_type(call.type));
      }
      describe(w, call.type, call.k, call.n, call.w_stride), describe(x, call.type, call.k, call.m, call.x_stride);
      describe(residual, call.out_type, call.n, call.m, call.residual ? call.residual_stride : call.out_stride);
      describe(out, call.out_type, call.n, call.m, call.out_stride);
    }
    template <class V>
    void set(cublasLtMatmulDescAttributes_t what, V const& value) {
      detail::check(cublasLtMatmulDescSetAttribute(product.handle, what, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
    }
    static void describe(Layout& layout, Dtype type, Size rows, Size cols, Size stride) {
      detail::check(cublasLtMatrixLayoutCreate(&layout.handle, detail::cublas_type(type), static_cast<std::uint64_t>(rows),
                                               static_cast<std::uint64_t>(cols), std::max(stride, rows)),
                    "cublasLtMatrixLayoutCreate");
    }
  };
  struct Algorithm {
    bool exists = false;
    cublasLtMatmulAlgo_t algorithm{};
    Size workspace = 0;
  };

  Algorithm const& algorithm(ProductCall const& call) {
    auto const alignment = detail::alignment_of({call.x, call.w, call.bias, call.residual, call.out});
    std::array<Size, 12> const key{call.m,
                                   call.n,
                                   call.k,
                                   call.x_stride,
                                   call.w_stride,
                                   call.out_stride,
                                   call.residual_stride,
                                   Size(call.type),
                                   Size(call.out_type),
                                   call.bias != nullptr,
                                   call.residual != nullptr,
                                   alignment};
    auto const [at, is_new] = algorithms_.try_emplace(key);
    if (!is_new || call.m == 0 || call.n == 0) return at->second.exists = at->second.exists || call.m == 0 || call.n == 0, at->second;
    detail::OnDevice const scope("cublaslt", device_);
    Product const p(call);
    detail::Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> wish;
    detail::check(cublasLtMatmulPreferenceCreate(&wish.handle), "cublasLtMatmulPreferenceCreate");
    auto const ask = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      detail::check(cublasLtMatmulPreferenceSetAttribute(wish.handle, what, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
    };
    ask(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(most_));
    for (auto const what : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      ask(what, static_cast<std::uint32_t>(alignment));
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    cublasStatus_t const status = cublasLtMatmulAlgoGetHeuristic(library_.handle, p.product.handle, p.w.handle, p.x.handle,
                                                                 p.residual.handle, p.out.handle, wish.handle, 1, &best, &count);
    bool const unknown = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;  // it has no such mix of types
    if (!unknown) detail::check(status, "cublasLtMatmulAlgoGetHeuristic");
    if (status == CUBLAS_STATUS_SUCCESS && count > 0) at->second = {true, best.algo, static_cast<Size>(best.workspaceSize)};
    return at->second;
  }

  int device_;
  Size most_;
  detail::Owned<cublasLtHandle_t, cublasLtDestroy> library_;
  std::map<std::array<Size, 12>, Algorithm> algorithms_;
};

}  // namespace mgm::inline v0::vendor
