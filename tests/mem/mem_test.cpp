// Arena, tensors, contexts, parameters.
#include <gtest/gtest.h>


#include <mgm/mem/context.hpp>
#include <mgm/mem/parameter.hpp>

#include "support/counting_allocator.hpp"

namespace mem_test {
using namespace mgm;

TEST(Arena, ASecondRoundAllocatesNothing) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  {
    Context<Cpu> ctx({.threads = 1, .allocator = memory});
    auto const round = [&] {
      auto a = ctx.empty<float>(Extents{100, 100});
      auto b = ctx.empty<bf16>(Extents{50, 60, 7});
      a.data()[9999] = 1, b.data()[20999] = bf16(1.0f);
    };
    round();
    Size const calls = memory->calls;
    for (int i = 0; i < 10; ++i) round();
    EXPECT_EQ(memory->calls, calls);
    ctx.trim();
    EXPECT_EQ(memory->alive, 0);
  }
  EXPECT_EQ(memory->alive, 0);
}
TEST(Arena, ATensorMayOutliveItsContext) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Tensor<float, 1, Cpu> kept;
  {
    Context<Cpu> ctx({.threads = 1, .allocator = memory});
    kept = ctx.empty<float>(Extents{1000});
  }
  kept.data()[999] = 1;
  kept = {};
  EXPECT_EQ(memory->alive, 0);
}
TEST(Arena, EveryFailedAllocationLeavesNothingBehind) {
  for (Size n = 0; n < 6; ++n) {
    auto const memory = std::make_shared<support::CountingAllocator>();
    memory->refuse(n + 1);
    {
      Context<Cpu> ctx({.threads = 1, .allocator = memory});
      try {
        auto a = ctx.empty<float>(Extents{100});
        auto b = ctx.lasting<float>(Extents{5000});
        auto c = ctx.empty<float>(Extents{100000});
        EXPECT_GE(n, 3);
      } catch (MemoryError const&) {
        EXPECT_LT(n, 3);
      }
    }
    EXPECT_EQ(memory->alive, 0);
  }
}
TEST(Context, RefusesShapesThatNoMemoryHolds) {
  Context<Cpu> ctx({.threads = 1});
  EXPECT_THROW((void)ctx.empty<float>(Extents{Size{1} << 40, Size{1} << 40}), ShapeError);
  EXPECT_THROW((void)ctx.empty<float>(Extents{-1}), ShapeError);
  EXPECT_THROW((void)ctx.lasting<float>(Extents{Size{1} << 58}), MemoryError);
  EXPECT_EQ(ctx.empty<float>(Extents{0, 5}).count(), 0);
}
TEST(Context, RefusesWhatTheMachineLacks) {
  EXPECT_THROW(Context<Cpu>({.threads = -1}), ArgumentError);
  EXPECT_THROW(Context<Cpu>({.threads = 1 << 20}), ArgumentError);
  EXPECT_NO_THROW(Context<Cpu>({.threads = 1, .isa = Isa::portable}));
  if (best_isa() != Isa::avx512_bf16) {
    EXPECT_THROW(Context<Cpu>({.isa = Isa::avx512_bf16}), DeviceError);
  }
}
TEST(Tensor, BecomesReadOnlyAndShared) {
  Context<Cpu> ctx({.threads = 1});
  auto writing = ctx.empty<float>(Extents{3});
  writing.data()[0] = 7;
  Tensor<float const, 1, Cpu> const reading = std::move(writing), copy = reading;
  EXPECT_EQ(copy(0), 7);
  EXPECT_EQ(copy.data(), reading.data());
}
TEST(Parameter, TakesItsShapeAlone) {
  Context<Cpu> ctx({.threads = 1});
  Parameter<float, 2, Cpu> p(Extents{2, 3});
  EXPECT_FALSE(p.loaded());
  EXPECT_THROW(p.assign(ctx.lasting<float>(Extents{3, 2})), ShapeError);
  EXPECT_NO_THROW(p.assign(ctx.lasting<float>(Extents{2, 3})));
  EXPECT_TRUE(p.loaded());
}
struct Leafy {
  Parameter<float, 1, Cpu> a{Extents{1}}, b{Extents{2}};
  void parameters(auto&& visit) { visit("a", a), visit("", b); }
};
struct Tree {
  std::vector<Leafy> leaves = std::vector<Leafy>(2);
  void parameters(auto&& visit) { visit("layers", leaves); }
};
TEST(Parameter, NamesFollowTheStructure) {
  Tree tree;
  std::string names;
  visit_parameters(tree, "", [&](std::string const& name, auto&) { names += name + ";"; });
  EXPECT_EQ(names, "layers.0.a;layers.0;layers.1.a;layers.1;");
}
TEST(Monitor, IsToldAndMayStop) {
  struct Watch : Monitor {
    void progress(Stage stage, Size done, Size total) noexcept override {
      seen += text(name(stage), " ", done, "/", total, " ");
      if (done == 1) cancel();
    }
    std::string seen;
  } watch;
  Context<Cpu> ctx({.threads = 1, .monitor = &watch});
  ctx.begin(Stage::encode, 2);
  EXPECT_THROW(ctx.step(), Cancelled);
  EXPECT_EQ(watch.seen, "encode 0/2 encode 1/2 ");
}
}  // namespace mem_test
