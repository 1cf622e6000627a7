/// cuDNN's convolutions: the plans that it makes for GPUs which are not here, what it says where it cannot start, and on a GPU its results
/// against plain loops in double.
#include <array>

#include <mgm/ops/conv_form.hpp>
#include <mgm/vendor/cudnn_conv.cuh>

#include "vendor/on_gpu.hpp"

namespace cudnn_test {

using namespace mgm;

/// A GPU as cuDNN writes down what matters of one: compute capability times a hundred, multiprocessors, a block's shared memory.
vendor::CudnnDescriptor properties(int capability, int multiprocessors, int shared) {
  std::string const json =
      text(R"({"cudaDeviceId":0,"deviceName":"","deviceVer":)", capability, R"(,"driverVer":13000,"multiProcessorCount":)", multiprocessors,
           R"(,"maxSharedMemoryPerBlockOptin":)", shared,
           R"(,"maxSharedMemoryPerBlock":49152,"reservedSharedMemoryPerBlock":1024,"regsPerBlock":65536,"maxRegistersPerSM":65536,)"
           R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"maxCtasPerSM":32,"warpSize":32,"maxGridSize":[2147483647,65535,65535],)"
           R"("maxBlockSize":[1024,1024,64],"totalGlobalMem":80000000000,"l2CacheSize":41943040,"smClockRateKHz":1410000,)"
           R"("memClockRateKHz":1593000,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1})");
  vendor::CudnnDescriptor out(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  out.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, json.data(), json.size()).finish();
  return out;
}
ConvolutionCall call_of(Dtype type, Window const& window, Size rows, Size cols, Size in, Size out, bool bias, bool residual) {
  static char const somewhere = 0;  // plans read no data
  return {.type = type,
          .rows = rows,
          .cols = cols,
          .channels = in,
          .outputs = out,
          .row_stride = cols * in,
          .col_stride = in,
          .out_stride = out,
          .residual_stride = out,
          .window = window,
          .map = &somewhere,
          .w = &somewhere,
          .bias = bias ? &somewhere : nullptr,
          .residual = residual ? &somewhere : nullptr,
          .out = const_cast<char*>(&somewhere)};
}

TEST(CudnnPlans, AreMadeForGpusThatAreNotHere) {
  vendor::CudnnDescriptor const ampere = properties(800, 108, 166912), hopper = properties(900, 132, 232448);
  for (auto const* const gpu : {&ampere, &hopper})
    for (Dtype const type : {Dtype::f32, Dtype::bf16, Dtype::f16})
      for (Window const& window : {Window::same(3, 32, 32), Window::same(1, 32, 32), Window::halved(32, 32), Window::halved_below(32, 32)})
        for (bool const residual : {false, true}) {
          if (residual && window.stride == 2) continue;  // no network adds to one
          auto const plan = vendor::CudnnPlan::make({.properties = gpu->handle()}, call_of(type, window, 32, 32, 64, 128, true, residual),
                                                    16, Size{256} << 20);
          bool const uneven = window.top == 0 && window.side == 3;  // zeros on two sides only: some engines have it, none need to
          EXPECT_TRUE(plan || uneven) << name(type) << ", side " << window.side << ", stride " << window.stride
                                      << (residual ? ", residual" : "");
          EXPECT_GE(plan ? plan->workspace() : 0, 0);
        }
}
TEST(CudnnPlans, AreNoneWhereTheWorkingMemoryIsTooSmallOrWindowsAreNotCountedAlike) {
  vendor::CudnnDescriptor const ampere = properties(800, 108, 166912);
  auto const plan = [&](ConvolutionCall const& call, Size most) {
    return vendor::CudnnPlan::make({.properties = ampere.handle()}, call, 16, most);
  };
  EXPECT_FALSE(plan(call_of(Dtype::bf16, Window::same(3, 32, 32), 32, 32, 64, 64, true, false), -1));
  Window fewer = Window::same(3, 32, 32);
  fewer.out_rows = 8;  // the library would count 30
  EXPECT_FALSE(plan(call_of(Dtype::bf16, fewer, 32, 32, 64, 64, true, false), Size{256} << 20));
}
TEST(CudnnDescriptors, RefuseInOneLine) {
  try {
    vendor::CudnnDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR).finish();  // not told what it is
    FAIL();
  } catch (DeviceError const& error) {
    std::string const what = error.what();
    EXPECT_EQ(what.rfind("cudnn: cudnnBackendFinalize failed: CUDNN_STATUS_", 0), 0u) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos);
  }
}
TEST(Cudnn, SaysWhyItCannotStart) {
  std::string why;
  if (simt::device_count(&why) > 0) GTEST_SKIP() << "there is a device";
  try {
    vendor::Cudnn const library;
    FAIL();
  } catch (DeviceError const& error) {
    EXPECT_EQ(std::string(error.what()), "cudnn: no device: " + why);
  }
}

template <class T>
class CudnnOnCuda : public testing::Test {};
using Types = testing::Types<float, bf16, mgm::half>;
TYPED_TEST_SUITE(CudnnOnCuda, Types);

// rows, columns, channels, outputs: least, primes, ragged, whole tiles and one more
constexpr std::array<Size, 4> kShapes[] = {{1, 1, 1, 1},   {2, 3, 5, 7},     {5, 4, 8, 8},     {7, 7, 3, 11},  {8, 8, 16, 16},
                                           {9, 8, 17, 32}, {16, 16, 32, 64}, {17, 15, 64, 65}, {31, 33, 8, 24}};

TYPED_TEST(CudnnOnCuda, MatchesDouble) {
  using T = TypeParam;
  MGM_SKIP_WITHOUT_GPU();
  Context<Cuda> ctx({.convolutions = std::make_shared<vendor::Cudnn>(), .prefer = Prefer::vendor});
  int made = 0;
  for (auto const& [rows, cols, in, outputs] : kShapes)
    for (Window const& window : {Window::same(3, rows, cols), Window::same(1, rows, cols), Window::halved(rows, cols)})
      for (int kind = 0; kind < 4; ++kind) {
        bool const exact = kind < 2, residual = kind % 2 == 1;
        support::Numbers numbers(std::uint64_t(rows * 1000 + cols * 10 + kind));
        Size const pixels = window.out_rows * window.out_cols, side = window.side;
        auto const map = vendor_test::numbers<T>(numbers, rows * cols * in, exact),
                   w = vendor_test::numbers<T>(numbers, outputs * side * side * in, exact),
                   bias = vendor_test::numbers<T>(numbers, outputs, exact), old = vendor_test::numbers<T>(numbers, pixels * outputs, exact);
        auto const dmap = ctx.on_device(vendor_test::view(map, Extents{rows, cols, in}));
        auto const dw = ctx.on_device(vendor_test::view(w, Extents{outputs, side * side * in}));
        auto const dbias = ctx.on_device(vendor_test::view(bias, Extents{outputs}));
        auto const dold = ctx.on_device(vendor_test::view(old, Extents{pixels, outputs}));
        auto out = ctx.template empty<T>(Extents{pixels, outputs});
        Epilogue<T, Cuda> e{};
        e.bias = dbias.view();
        if (residual) e.residual = dold.view();
        if (!ops::vendor_conv<T, T>(ctx, dmap, dw, window, e, out.view())) continue;
        ++made;
        auto const got = ctx.on_host(out.view());
        for (Size p = 0; p < pixels; ++p)
          for (Size n = 0; n < outputs; ++n) {
            vendor_test::Sum sum;
            for (Size tap = 0; tap < side * side; ++tap) {
              Size const y = p / window.out_cols * window.stride + tap / side - window.top,
                         x = p % window.out_cols * window.stride + tap % side - window.left;
              if (y < 0 || x < 0 || y >= rows || x >= cols) continue;
              for (Size c = 0; c < in; ++c)
                sum.add(double(float(map[std::size_t((y * cols + x) * in + c)])) *
                        double(float(w[std::size_t((n * side * side + tap) * in + c)])));
            }
            sum.add(double(float(bias[std::size_t(n)])));
            if (residual) sum.add(double(float(old[std::size_t(p * outputs + n)])));
            vendor_test::expect_sum<T>(float(got.view()(p, n)), sum, exact,
                                       text(rows, "x", cols, "x", in, " -> ", outputs, ", side ", side, " at ", p, ", ", n));
          }
      }
  EXPECT_GE(made, 24);
}

}  // namespace cudnn_test
