/// CUDA's host side, on a machine without a GPU: the calls that our objects make, each made to fail, against a runtime library of our own.
#include <functional>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <mgm/mem/replay.hpp>
#include <mgm/models/decode_steps.hpp>
#include <mgm/models/decoder.hpp>
#include <mgm/nn/conv2d.hpp>
#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/elementwise.hpp>

#include "fake_cudart.hpp"

namespace runtime_test {

using namespace mgm;
using fake::cudart;

class Runtime : public testing::Test {
 protected:
  Runtime() { fake::reset(); }
};
void expect_refused(std::function<void()> const& work, std::vector<std::string> const& parts) {
  try {
    work();
    ADD_FAILURE() << "accepted; expected: " << parts[0];
  } catch (Error const& error) {
    for (auto const& part : parts) EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nlacks: " << part;
  }
}
void open_context() { Context<Cuda> const ctx; }

/// Launches of `work`: a product, a norm, and one more norm that is rehearsed and replayed.
constexpr int kLaunches = 4;
/// Weights up, a product and a norm, a norm recorded and replayed, the answer down: five kinds of calls.
void work() {
  Context<Cuda> ctx;
  nn::Linear<float, Cuda> layer(ctx, {.in = 3, .out = 4, .has_bias = false});
  std::vector<float> const ones(12, 1.0f);
  layer.weight.assign(ctx.on_device(View<float const, 2, Cpu>(ones.data(), {4, 3})));
  auto const gain = ctx.on_device(View<float const, 1, Cpu>(ones.data(), {4}));
  auto y = layer(ctx, ctx.on_device(View<float const, 2, Cpu>(ones.data(), {1, 3})));  // (1, 4)
  ops::rms_norm<float>(ctx, y, gain, 1e-5f, 0, y.view());
  auto const arena = std::make_shared<RehearsedArena>(ctx.allocator());
  auto const graph = run_and_record(ctx, arena, [&] {
    auto z = ctx.empty_like<float>(y.view());  // (1, 4)
    ops::rms_norm<float>(ctx, y, gain, 1e-5f, 0, z.view());
  });
  ctx.replay(graph);
  EXPECT_EQ(ctx.on_host(y.view()).extent(1), 4);
  ctx.synchronise();
}
/// What work must not leave, whether it failed or not.
void expect_nothing_left(std::string const& when) {
  EXPECT_TRUE(cudart().blocks.empty() && cudart().streams.empty()) << when;
  EXPECT_TRUE(cudart().graphs.empty() && cudart().execs.empty()) << when;
  EXPECT_EQ(cudart().recording, nullptr) << when;
}

TEST_F(Runtime, SaysWhyThereIsNoDevice) {
  std::string why;
  cudart().driver = 0;
  EXPECT_EQ(simt::device_count(&why), 0);
  EXPECT_NE(why.find("no NVIDIA driver is installed"), std::string::npos) << why;
  expect_refused(open_context, {"cuda: no device: no NVIDIA driver is installed"});
  cudart().driver = 12020;
  expect_refused(open_context, {"no device", "the driver serves CUDA 12.2", "built with CUDA " + std::to_string(CUDART_VERSION / 1000)});
  cudart().driver = CUDART_VERSION, cudart().devices = 0;
  expect_refused(open_context, {"no device", "shows no device", "CUDA_VISIBLE_DEVICES"});
  cudart().devices = 2;
  EXPECT_EQ(simt::device_count(), 2);
  expect_refused([] { Context<Cuda> const ctx({.device = 2}); }, {"device 2 was asked for; there are 2"});
  expect_refused([] { Context<Cuda> const ctx({.device = -1}); }, {"device -1 was asked for"});
}

TEST_F(Runtime, RefusesADeviceThatItHasNoCodeFor) {
  cudart().arch = 75, cudart().has_code = false;
  expect_refused(open_context, {"Fake GPU has compute capability 75", "holds code for 80"});
  EXPECT_EQ(cudart().last, cudaSuccess);
}

TEST_F(Runtime, WorksAndLeavesNothing) {
  work();
  EXPECT_EQ(cudart().launches, kLaunches);
  EXPECT_EQ(cudart().used.size(), 1u) << "one stream";
  expect_nothing_left("after work");
}

TEST_F(Runtime, ABrokenRecordingLeavesTheStreamRunning) {
  Context<Cuda> ctx;
  auto x = ctx.empty<float>(Extents{Size{2}, Size{2}});
  expect_refused([&] { (void)ctx.record([&] { ctx.synchronise(); }); }, {"cuda: synchronise: not while launches are recorded"});
  expect_refused([&] { (void)ctx.record([&] { (void)ctx.on_host(x.view()); }); }, {"cuda: copy to host: not while"});
  expect_refused([&] { (void)ctx.record([&] { (void)ctx.lasting<float>(Extents{Size{1} << 14}); }); }, {"cuda: memory: not while"});
  expect_refused([&] { (void)ctx.record([&] { (void)ctx.record([] {}); }); }, {"cuda: record: not while"});
  expect_refused([&] { (void)ctx.record([] { throw MemoryError("the user's own"); }); }, {"the user's own"});
  expect_refused([&] { (void)ctx.record([&] { (void)cudaStreamSynchronize(ctx.stream().handle), cudart().last = cudaSuccess; }); },
                 {"cuda: record: cudaStreamEndCapture failed"});
  EXPECT_EQ(cudart().recording, nullptr);
  EXPECT_EQ(cudart().launches, 0);
  ops::fill<float>(ctx, 0, x.view());
  EXPECT_EQ(cudart().launches, 1);
}

TEST_F(Runtime, AStepIsOneLaunchOnTheCallersStreamAndAllocatesNothing) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
  {
    Context<Cuda> ctx({.stream = stream});
    models::Decoder<float, Cuda> lm(ctx, {.vocab = 16, .width = 8, .depth = 2, .heads = 1, .ffn = 8});
    visit_parameters(lm, "", [&](std::string const&, auto& p) { p.assign(ctx.lasting<float>(p.shape())); });
    nn::KvCache<float, Cuda> const cache(ctx, lm.cache_config(300));
    models::DecodeSteps<models::Decoder<float, Cuda>, float, Cuda> steps(ctx, lm, cache, 16);
    steps.begin(ctx, ctx.empty<float>(Extents{Size{1}, Size{16}}), {}, 250);
    int before = cudart().launches;
    steps.next(ctx, lm, cache, 250);
    int const launches = cudart().launches - before;  // of the rehearsal
    EXPECT_GT(launches, 20);
    EXPECT_EQ(cudart().replays, 0);
    EXPECT_EQ(steps.drawn(ctx).token, 0);             // kernels do nothing here
    auto const blocks = cudart().blocks.size();
    for (Size position = 251; position < 256; ++position) {
      before = cudart().launches;
      int const calls = cudart().calls, waits = cudart().synchronisations;
      steps.next(ctx, lm, cache, position);
      EXPECT_EQ(cudart().calls, calls + 1);
      EXPECT_EQ(cudart().launches, before + launches);
      (void)steps.drawn(ctx);
      EXPECT_EQ(cudart().calls, calls + 3) << "a copy, and a wait for this stream";
      EXPECT_EQ(cudart().synchronisations, waits + 1);
    }
    EXPECT_EQ(cudart().replays, 5);
    EXPECT_EQ(cudart().blocks.size(), blocks);
    steps.next(ctx, lm, cache, 256);
    EXPECT_EQ(steps.graphs(), 2u);
    EXPECT_EQ(cudart().replays, 5);
  }
  EXPECT_EQ(cudart().used, std::set<cudaStream_t>{stream});
  (void)cudaStreamDestroy(stream);
  expect_nothing_left("after the steps");
}

TEST_F(Runtime, MemoryThatCannotBeHadIsSaidWithNumbers) {
  Context<Cuda> ctx;
  cudart().free_bytes = 65536;
  expect_refused([&] { (void)ctx.lasting<float>(Extents{Size{1} << 20}); }, {"cuda: memory: 4194304 bytes could not be had", "65536 of 1048576 bytes of Fake GPU are free"});
  EXPECT_EQ(cudart().last, cudaSuccess);
  EXPECT_NE(ctx.lasting<float>(Extents{Size{16}}).data(), nullptr);  // as before
}

TEST_F(Runtime, AnErrorFromBeforeIsNotOurs) {
  Context<Cuda> ctx;
  auto x = ctx.empty<float>(Extents{Size{2}, Size{2}});
  cudart().last = cudaErrorInvalidValue;  // of the host program's
  expect_refused([&] { ops::fill<float>(ctx, 0, x.view()); }, {"was pending before this call", "cudaErrorInvalidValue", "read it with cudaGetLastError"});
  expect_refused([&] { ctx.synchronise(); }, {"was pending before this call"});
  EXPECT_EQ(cudart().last, cudaErrorInvalidValue) << "it stays there for its owner";
  EXPECT_EQ(cudart().launches, 0);
  cudart().last = cudaSuccess;
  ops::fill<float>(ctx, 0, x.view());
}

TEST_F(Runtime, ABrokenDeviceIsSaidToBeBroken) {
  Context<Cuda> ctx;
  cudart().fail_at = cudart().calls + 1, cudart().failure = cudaErrorIllegalAddress, cudart().sticky = true;
  expect_refused([&] { ctx.synchronise(); }, {"cudaStreamSynchronize failed", "cudaErrorIllegalAddress", "this process cannot use it any more"});
  expect_refused([&] { ctx.synchronise(); }, {"was pending before this call", "cannot use the device any more"});
}

TEST_F(Runtime, AUsersStreamStaysTheUsers) {
  cudart().devices = 2;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
  { Context<Cuda> const ctx({.stream = stream}); }
  EXPECT_EQ(cudart().streams.count(stream), 1u);
  expect_refused([&] { Context<Cuda> const ctx({.device = 1, .stream = stream}); }, {"the stream belongs to device 0, the context to device 1"});
  (void)cudaStreamDestroy(stream);
}

TEST_F(Runtime, TheThreadsDeviceIsAsBefore) {
  cudart().devices = 2;
  Context<Cuda> ctx({.device = 1});
  EXPECT_EQ(cudart().current, 0);
  auto x = ctx.empty<float>(Extents{Size{2}, Size{2}});
  ops::fill<float>(ctx, 0, x.view());
  EXPECT_EQ(cudart().launches, 1);
  EXPECT_EQ(cudart().current, 0);
}

TEST_F(Runtime, AStreamOfAnotherDeviceThanTheOutputIsRefused) {
  cudart().devices = 2;
  Context<Cuda> here({.device = 1});
  Context<Cuda> const there({.device = 0});
  auto x = here.empty<float>(Extents{Size{2}, Size{2}});
  expect_refused([&] { kernels::fill<float, Cuda>(there.stream(), 0, x.view()); },
                 {"fill: stream: it belongs to device 0, the output lies on device 1"});
  EXPECT_EQ(cudart().launches, 0);
  kernels::fill<float, Cuda>(here.stream(), 0, x.view());
}

/// A library that has every form, or none, and keeps what it is asked to do.
template <class Call>
struct Library final : SecondBackend<Call> {
  bool has = true;
  std::vector<Call> calls;
  std::optional<Size> workspace(Call const&) override { return has ? std::optional<Size>(1000) : std::nullopt; }
  void run(simt::Stream<Cuda> stream, Call const& call, void* work) override {
    EXPECT_TRUE(stream.handle != nullptr && work != nullptr && reinterpret_cast<std::uintptr_t>(work) % 16 == 0);
    calls.push_back(call);
  }
};

TEST_F(Runtime, ALibrarysProductIsTakenWhereItIsPreferredAndThere) {
  auto const library = std::make_shared<Library<ProductCall>>();
  auto const launches = [&](Prefer prefer, Epilogue<float, Cuda> e) {
    Context<Cuda> ctx({.products = library, .prefer = prefer});
    auto const x = ctx.empty<float>(Extents{Size{5}, Size{8}}), w = ctx.empty<float>(Extents{Size{3}, Size{8}});
    auto out = ctx.empty<float>(Extents{Size{5}, Size{3}});
    int const before = cudart().launches;
    ops::linear<float, float, Cuda>(ctx, x, w, e, out.view());
    return cudart().launches - before;
  };
  EXPECT_EQ(launches(Prefer::table, {}), 1) << "nothing has been measured: ours";
  EXPECT_EQ(launches(Prefer::ours, {}), 1);
  EXPECT_TRUE(library->calls.empty());
  EXPECT_EQ(launches(Prefer::vendor, {.alpha = 2}), 0);
  ASSERT_EQ(library->calls.size(), 1u);
  ProductCall const& call = library->calls[0];
  EXPECT_TRUE(call.type == Dtype::f32 && call.m == 5 && call.n == 3 && call.k == 8 && call.x_stride == 8 && call.out_stride == 3 &&
              call.alpha == 2);
  EXPECT_EQ(launches(Prefer::vendor, {.activation = Activation::gelu}), 1) << "no library has exact GELU";
  library->has = false;
  EXPECT_EQ(launches(Prefer::vendor, {}), 1);
  EXPECT_EQ(library->calls.size(), 1u);

  library->has = true;
  Context<Cuda> ctx({.products = library, .prefer = Prefer::vendor});
  float numbers[16] = {};
  View<float const, 2, Cuda> const host(numbers, {4, 4});
  auto out = ctx.empty<float>(Extents{Size{4}, Size{4}});
  expect_refused([&] { ops::linear<float, float, Cuda>(ctx, host, host, {}, out.view()); },
                 {"gemm: x: the pointer is to the host's own memory"});
}

TEST_F(Runtime, ALibrarysConvolutionIsTakenWhereItIsPreferredAndThere) {
  auto const library = std::make_shared<Library<ConvolutionCall>>();
  auto const launches = [&](Prefer prefer, Window const& window) {
    Context<Cuda> ctx({.convolutions = library, .prefer = prefer});
    nn::Conv2d<float, Cuda> layer(ctx, {.in = 2, .out = 3, .side = window.side});
    layer.parameters([&](auto&&, auto& p) { p.assign(ctx.empty<float>(p.shape())); });
    auto const x = ctx.empty<float>(Extents{Size{4}, Size{6}, Size{2}});
    int const before = cudart().launches;
    (void)layer(ctx, x, window);
    return cudart().launches - before;
  };
  EXPECT_GE(launches(Prefer::table, Window::same(3, 4, 6)), 1) << "nothing has been measured: ours";
  EXPECT_TRUE(library->calls.empty());
  EXPECT_EQ(launches(Prefer::vendor, Window::halved(4, 6)), 0);
  ASSERT_EQ(library->calls.size(), 1u);
  ConvolutionCall const& call = library->calls[0];
  EXPECT_TRUE(call.rows == 4 && call.cols == 6 && call.channels == 2 && call.outputs == 3 && call.row_stride == 12 && call.col_stride == 2);
  EXPECT_TRUE(call.window.stride == 2 && call.bias != nullptr && call.residual == nullptr);
  EXPECT_GE(launches(Prefer::vendor, Window::resampled(3, 8, 12)), 1) << "no library resamples on the way";
  library->has = false;
  EXPECT_GE(launches(Prefer::vendor, Window::same(3, 4, 6)), 1);
  EXPECT_EQ(library->calls.size(), 1u);
}

TEST_F(Runtime, TheHostsMemoryIsRefusedByName) {
  Context<Cuda> const ctx;
  float numbers[4] = {};
  View<float, 2, Cuda> const host(numbers, {2, 2});
  expect_refused([&] { kernels::fill<float, Cuda>(ctx.stream(), 0, host); }, {"fill: out: the pointer is to the host's own memory"});
  EXPECT_EQ(cudart().launches, 0);
}

TEST_F(Runtime, PinnedMemoryHasBeenReadWhenTheCopyReturns) {
  Context<Cuda> ctx;
  float numbers[4] = {};
  auto const upload = [&] { (void)ctx.on_device(View<float const, 1, Cpu>(numbers, {4})); };
  upload();
  EXPECT_EQ(cudart().synchronisations, 0);  // pageable memory has been read anyhow
  cudart().pinned.insert(numbers);
  upload();
  EXPECT_EQ(cudart().synchronisations, 1);
}

TEST_F(Runtime, AForkedChildIsToldSo) {
  Context<Cuda> ctx;
  pid_t const child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      ctx.synchronise();
    } catch (DeviceError const& error) {
      status = std::string(error.what()).find("forked") != std::string::npos ? 0 : 2;
    }
    ::_exit(status);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

/// Every call in turn fails with each of six errors: an exception of ours, nothing leaked, no error left behind, and the next run works.
TEST_F(Runtime, EveryCallMayFail) {
  work();
  int const calls = cudart().calls;
  ASSERT_GT(calls, 30);
  int refused = 0;
  for (cudaError_t const failure : {cudaErrorUnknown, cudaErrorMemoryAllocation, cudaErrorInvalidValue, cudaErrorNotSupported, cudaErrorInitializationError,
                                    cudaErrorSystemNotReady})
    for (int n = 1; n <= calls; ++n) {
      fake::reset();
      cudart().fail_at = n, cudart().failure = failure;
      try {
        work();
      } catch (Error const& error) {
        ++refused;
        EXPECT_TRUE(error.code() == Code::device || error.code() == Code::memory) << error.what();
      }
      EXPECT_EQ(cudart().last, cudaSuccess) << "call " << n << ", " << cudart().failed;
      expect_nothing_left(text("call ", n, ", ", cudart().failed));
      fake::reset();
      work();
      ASSERT_EQ(cudart().launches, kLaunches);
    }
  EXPECT_GT(refused, 5 * calls / 2) << "of " << 6 * calls << " failures only so many were told";
  std::printf("%d failures of %d calls, %d told\n", 6 * calls, calls, refused);
}

}  // namespace runtime_test
