/// Ordinary convolutions by cuDNN: a second backend of nn::Conv2d on Cuda. Host code that needs CUDA's headers; a program that does not
/// include it needs no cuDNN. Link mgm::cudnn.
///   Context<Cuda> ctx({.convolutions = std::make_shared<vendor::Cudnn>(), .prefer = Prefer::vendor});
/// A call is a graph of cuDNN's (version 9): the convolution, then the sums with bias and residual in float, rounded once. The library
/// proposes engines for the device in the order of its own measurements; the first is taken that has what we promise of a convolution: the
/// same bits in each run, products of the elements as they are — f32 without tf32 — and sums in float, so no transforms (Winograd's,
/// Fourier's) either.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include <mgm/mem/second_backend.hpp>
#include <mgm/vendor/cudnn_descriptor.hpp>

namespace mgm::inline v0::vendor {

/// Whom a plan is made for: a handle's device, or one that only its properties stand for (a CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR); the
/// latter needs no device, and makes plans that are not run here.
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  cudnnBackendDescriptor_t properties = nullptr;
};

/// What the tensors of a graph are called.
enum class CudnnTensor : std::int64_t { map = 1, w, bias, residual, out, sum, with_residual };

/// A way to run a call on a device.
class CudnnPlan {
 public:
  /// Nothing where cuDNN has no engine for it that keeps our promises within `most` bytes of working memory.
  static std::optional<CudnnPlan> make(CudnnTarget target, ConvolutionCall const& call, Size alignment, Size most) {
    if (!is_covered(call.rows, call.window.top, call.window.out_rows, call.window) ||
        !is_covered(call.cols, call.window.left, call.window.out_cols, call.window))
      return {};
    auto const graph = std::make_shared<Graph>(target, call, alignment);
    for (auto const mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
      for (CudnnDescriptor& engine : engines(target, graph->whole, mode))
        if (is_exact(engine, call.type))
          if (CudnnPlan plan(graph, std::move(engine)); plan.finish(target, most)) return plan;
    return {};
  }
  [[nodiscard]] Size workspace() const { return workspace_; }
  /// Enqueues on the handle's stream.
  void run(cudnnHandle_t handle, ConvolutionCall const& call, void* work) const {
    std::vector<CudnnTensor> names{CudnnTensor::map, CudnnTensor::w, CudnnTensor::out};
    std::vector<void const*> data{call.map, call.w, call.out};
    if (call.bias) names.push_back(CudnnTensor::bias), data.push_back(call.bias);
    if (call.residual) names.push_back(CudnnTensor::residual), data.push_back(call.residual);
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, names.data(), names.size());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, data.data(), data.size());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, {work}).finish();
    detail::check(cudnnBackendExecute(handle, plan_.handle(), pack.handle()), "cudnnBackendExecute");
  }

 private:
  /// Zeros behind a side of `size` pixels that the last window still covers.
  static Size behind(Size size, Size before, Size out, Window const& w) {
    return std::max<Size>((out - 1) * w.stride + w.side - before - size, 0);
  }
  /// Whether `out` windows are as many as fit, which is what the library counts.
  static bool is_covered(Size size, Size before, Size out, Window const& w) {
    Size const left = size + before + behind(size, before, out, w) - w.side;
    return out >= 1 && left >= 0 && left / w.stride + 1 == out;
  }
  /// The call as a graph: convolution, then what there is of bias and residual.
  struct Graph {
    std::vector<CudnnDescriptor> tensors, operations;
    CudnnDescriptor window{CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR}, add{CUDNN_BACKEND_POINTWISE_DESCRIPTOR},
        whole{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};

    Graph(CudnnTarget target, ConvolutionCall const& c, Size alignment) {
      using enum CudnnTensor;
      auto const type = detail::cudnn_type(c.type);
      Size const n = c.outputs, rows = c.window.out_rows, cols = c.window.out_cols, side = c.window.side, row = side * c.channels;
      auto const pixels = [&](CudnnTensor name, cudnnDataType_t of, Size stride, bool on_the_way) {  // (1, n, out_rows, out_cols)
        return tensor(name, of, {1, n, rows, cols}, {rows * cols * stride, 1, cols * stride, stride}, on_the_way ? 16 : alignment,
                      on_the_way);
      };
      auto const map_at =
          tensor(map, type, {1, c.channels, c.rows, c.cols}, {c.rows * c.row_stride, 1, c.row_stride, c.col_stride}, alignment, false);
      auto const w_at = tensor(w, type, {n, c.channels, side, side}, {side * row, 1, row, c.channels}, alignment, false);
      auto const out_at = pixels(out, type, c.out_stride, false);

      Size const step = c.window.stride, below = behind(c.rows, c.window.top, rows, c.window),
                 right = behind(c.cols, c.window.left, cols, c.window);
      window.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
      window.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {CUDNN_CROSS_CORRELATION});
      window.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, {std::int64_t{2}});
      window.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, {std::int64_t{1}, std::int64_t{1}});
      window.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, {step, step});
      window.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, {Size{c.window.top}, Size{c.window.left}});
      window.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, {below, right}).finish();
      add.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {CUDNN_POINTWISE_ADD});
      add.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}).finish();

      bool const more = c.bias || c.residual;
      auto last = more ? pixels(sum, CUDNN_DATA_FLOAT, n, true) : out_at;
      CudnnDescriptor convolve(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, {window.handle()});
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_TYPE_BACKEND_DESCRIPTOR, {map_at});
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_TYPE_BACKEND_DESCRIPTOR, {w_at});
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_TYPE_BACKEND_DESCRIPTOR, {last});
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, {1.0f});
      convolve.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, {0.0f}).finish();
      operations.push_back(std::move(convolve));
      auto const plus = [&](cudnnBackendDescriptor_t summand, cudnnBackendDescriptor_t to) {
        CudnnDescriptor sum_of(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
        sum_of.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, {add.handle()});
        sum_of.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, {last});
        sum_of.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, {summand});
        sum_of.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, {to}).finish();
        operations.push_back(std::move(sum_of)), last = to;
      };
      if (c.residual)
        plus(pixels(residual, type, c.residual_stride, false), c.bias ? pixels(with_residual, CUDNN_DATA_FLOAT, n, true) : out_at);
      if (c.bias) plus(tensor(bias, type, {1, n, 1, 1}, {n, 1, n, n}, alignment, false), out_at);

      std::vector<cudnnBackendDescriptor_t> all;
      for (auto const& operation : operations) all.push_back(operation.handle());
      if (target.handle) whole.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, {target.handle});
      whole.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, all.data(), all.size()).finish();
    }
    cudnnBackendDescriptor_t tensor(CudnnTensor name, cudnnDataType_t type, std::array<Size, 4> extents, std::array<Size, 4> strides,
                                    Size alignment, bool on_the_way) {
      CudnnDescriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
      t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type});
      t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, extents.data(), 4);
      t.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides.data(), 4);
      t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {name});
      t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {alignment});
      t.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {on_the_way}).finish();
      tensors.push_back(std::move(t));
      return tensors.back().handle();
    }
  };

  /// The engines that the library proposes, best first.
  static std::vector<CudnnDescriptor> engines(CudnnTarget target, CudnnDescriptor const& graph, cudnnBackendHeurMode_t mode) {
    constexpr std::size_t kMost = 32;
    CudnnDescriptor asked(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    asked.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, {graph.handle()});
    asked.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, {mode});
    if (target.properties) asked.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, {target.properties});
    if (!asked.try_finish()) return {};
    std::vector<CudnnDescriptor> found;
    cudnnBackendDescriptor_t handles[kMost];
    for (auto& handle : handles) handle = found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).handle();
    std::int64_t const count = asked.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles);
    found.erase(found.begin() + std::min<std::int64_t>(count, kMost), found.end());
    return found;
  }
  /// Whether the engine computes what we say of a convolution.
  static bool is_exact(CudnnDescriptor const& config, Dtype type) {
    CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t handle[] = {engine.handle()};
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    if (config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, handle) != 1) return false;
    std::int64_t const count = engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes);
    for (std::int64_t i = 0; i < count; ++i) {
      if (notes[i] == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP) continue;
      if (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && type != Dtype::f32) continue;
      return false;  // fewer bits of inputs or sums, other bits in each run, transforms; of f32, tensor cores, which take tf32
    }
    return true;
  }
  CudnnPlan(std::shared_ptr<Graph const> graph, CudnnDescriptor engine) : graph_(std::move(graph)), engine_(std::move(engine)) {}
  /// Whether the engine runs the graph on the target within `most` bytes.
  bool finish(CudnnTarget target, Size most) {
    if (target.handle) plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, {target.handle});
    if (target.properties) plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, {target.properties});
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, {engine_.handle()});
    if (!plan_.try_finish()) return false;
    std::int64_t bytes[1] = {};
    (void)plan_.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, bytes);
    workspace_ = bytes[0];
    return workspace_ <= most;
  }

  std::shared_ptr<Graph const> graph_;  // what a plan is made of lives as long as it
  CudnnDescriptor engine_;
  CudnnDescriptor plan_{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR};
  Size workspace_ = 0;
};

/// A handle on a device, and the plans made so far by shape. One thread at a time uses it.
class Cudnn final : public Convolutions {
 public:
  /// `most`: bytes of working memory that an engine may take. Throws DeviceError where cuDNN cannot start.
  explicit Cudnn(int device = 0, Size most = Size{256} << 20) : device_(device), most_(most) {
    detail::OnDevice const scope("cudnn", device_);
    detail::check(cudnnCreate(&handle_), "cudnnCreate");
  }
  Cudnn(Cudnn const&) = delete;
  Cudnn& operator=(Cudnn const&) = delete;
  ~Cudnn() override { cudnnDestroy(handle_); }

  std::optional<Size> workspace(ConvolutionCall const& call) override {
    auto const& found = plan(call);
    return found ? std::optional(found->workspace()) : std::nullopt;
  }
  void run(simt::Stream<Cuda> stream, ConvolutionCall const& call, void* work) override {
    auto const& found = plan(call);
    require<DeviceError>(found.has_value(), "cudnn: no engine for a window of ", call.window.side, " over ", call.rows, "x", call.cols, "x",
                         call.channels, "; take a form of our own");
    detail::OnDevice const scope("cudnn", device_);
    detail::check(cudnnSetStream(handle_, stream.handle), "cudnnSetStream");
    found->run(handle_, call, work);
  }

 private:
  std::optional<CudnnPlan> const& plan(ConvolutionCall const& c) {
    Size const alignment = std::min<Size>(detail::alignment_of({c.map, c.w, c.bias, c.residual, c.out}), 16);
    std::array<Size, 18> const key{Size(c.type),
                                   c.rows,
                                   c.cols,
                                   c.channels,
                                   c.outputs,
                                   c.row_stride,
                                   c.col_stride,
                                   c.out_stride,
                                   c.residual_stride,
                                   c.window.side,
                                   c.window.stride,
                                   c.window.top,
                                   c.window.left,
                                   c.window.out_rows,
                                   c.window.out_cols,
                                   c.bias != nullptr,
                                   c.residual != nullptr,
                                   alignment};
    auto at = plans_.find(key);
    if (at == plans_.end()) {
      detail::OnDevice const scope("cudnn", device_);
      at = plans_.emplace(key, CudnnPlan::make({.handle = handle_}, c, alignment, most_)).first;
    }
    return at->second;
  }

  int device_;
  Size most_;
  cudnnHandle_t handle_ = nullptr;
  std::map<std::array<Size, 18>, std::optional<CudnnPlan>> plans_;
};

}  // namespace mgm::inline v0::vendor
