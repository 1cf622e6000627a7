// The layer against the published formula in double: every key and value projected on the concatenated map.
#include <mgm/nn/patch_info_mining.hpp>

#include "support/reference_vision.hpp"

namespace patch_info_mining_test {

using namespace mgm;
using support::Data;

template <class T>
struct Case {
  Size query, detail = 0;
  nn::MiningGeometry geometry;
  std::vector<Data<T, 3>> maps;
  std::vector<View<T const, 3>> views;
  Data<T, 3> coarse;
  ref::MiningWeights weights;
  std::vector<std::pair<std::string, std::vector<T>>> parameters;

  Case(nn::MiningGeometry g, Size width, std::vector<std::pair<Size, Size>> const& sides_and_channels) : query(width), geometry(g) {
    unsigned seed = 1;
    for (auto const& [n, c] : sides_and_channels) maps.push_back(support::normal<T>(Extents{n, n, c}, seed++)), detail += c;
    for (auto const& m : maps) views.push_back(m.view());
    coarse = support::normal<T>(Extents{g.views(), g.side * g.side, width}, 50);
    auto const vector = [&](std::string const& name, Size n, double mean, double deviation, std::vector<double>& to) {
      auto const d = support::normal<T>(Extents{n}, seed++, mean, deviation);
      to = d.doubles(), parameters.emplace_back(name, d.v);
    };
    auto const matrix = [&](std::string const& name, Size out, Size in, double gain, ref::Array& to) {
      auto const d = support::normal<T>(Extents{out, in}, seed++, 0, gain / std::sqrt(double(in)));
      to = d.array(), parameters.emplace_back(name, d.v);
    };
    auto const norm = [&](std::string const& name, Size n, std::vector<double>& gain, std::vector<double>& shift) {
      vector(name + ".0.weight", n, 1, 0.3, gain), vector(name + ".0.bias", n, 0, 0.3, shift);
    };
    auto const linear = [&](std::string const& name, Size in, double gain, ref::Array& w, std::vector<double>& bias) {
      matrix(name + ".1.weight", width, in, gain, w), vector(name + ".1.bias", width, 0, 1, bias);
    };
    norm("vlm_uni_query_projector", width, weights.query_gain, weights.query_shift);
    norm("vlm_uni_aux_projector", detail, weights.key_gain, weights.key_shift);
    norm("vlm_uni_val_projector", detail, weights.value_gain, weights.value_shift);
    linear("vlm_uni_query_projector", width, 2, weights.query, weights.query_bias);
    linear("vlm_uni_aux_projector", detail, 2, weights.key, weights.key_bias);
    linear("vlm_uni_val_projector", detail, 1, weights.value, weights.value_bias);
  }

  nn::PatchInfoMining<T> layer(Context<Cpu>& ctx) const {
    nn::PatchInfoMining<T> layer(ctx, {.query = query, .detail = detail});
    std::size_t found = 0;
    visit_parameters(layer, "", [&](std::string const& name, auto& parameter) {
      for (auto const& [key, values] : parameters)
        if (key == name) {
          auto tensor = ctx.template lasting<T>(parameter.shape());
          ASSERT_EQ(Size(values.size()), tensor.count()) << name;
          std::copy(values.begin(), values.end(), tensor.data());
          parameter.assign(std::move(tensor)), ++found;
        }
    });
    EXPECT_EQ(found, parameters.size());
    return layer;
  }
  View<T const, 2> rows() const { return coarse.view().reshape(Extents{geometry.tokens(), query}); }
};

struct Result {
  Data<float, 2> tokens, probabilities;
};
template <class T>
Result run(Case<T> const& c, Context<Cpu>& ctx) {
  auto const layer = c.layer(ctx);
  Result r{support::filled<float>(Extents{c.geometry.tokens(), c.query}, NAN),
           support::filled<float>(Extents{c.geometry.tokens(), c.geometry.candidates(c.maps[0].extents[0])}, NAN)};
  auto const out = layer(ctx, c.rows(), c.views, c.geometry, r.probabilities.view());
  for (Size i = 0; i < out.count(); ++i) r.tokens.v[std::size_t(i)] = float(out.data()[i]);
  return r;
}

/// `tolerance`: relative to the tokens' size, what T loses between the operations.
template <class T>
void check(Case<T> const& c, double tolerance, std::string const& what) {
  ref::Array probabilities;
  auto const want = ref::mined_views(c.weights, c.coarse.array(), [&] {
    std::vector<ref::Array> maps;
    for (auto const& m : c.maps) maps.push_back(m.array());
    return maps;
  }(), c.geometry.grid, c.geometry.global, &probabilities);
  double size = 0;
  for (double const v : want.v) size = std::max(size, std::abs(v));
  for (Isa isa : support::isas()) {
    Context<Cpu> ctx({.threads = 2, .isa = isa});
    auto const got = run(c, ctx);
    std::string const name = what + " " + support::type_name<T>() + " " + std::string(mgm::name(isa));
    support::expect_near(got.tokens, want.v, tolerance * size, name);
    support::expect_near(got.probabilities, probabilities.v, tolerance * 4, name + " probabilities");
  }
}

using Sides = std::vector<std::pair<Size, Size>>;

TEST(PatchInfoMining, Standard) {
  Sides const maps{{24, 4}, {12, 6}, {6, 8}, {3, 10}};
  check(Case<float>({.side = 3}, 12, maps), 4e-6, "standard");
  check(Case<half>({.side = 3}, 12, maps), 4e-3, "standard");
  check(Case<bf16>({.side = 3}, 12, maps), 3e-2, "standard");
}

TEST(PatchInfoMining, CropsReadAcrossTheirBordersAndTheGlobalViewComesFirst) {
  Sides const maps{{32, 4}, {16, 6}, {8, 8}, {4, 10}};
  check(Case<float>({.side = 2, .grid = 2, .global = true}, 12, maps), 4e-6, "HD");
  check(Case<float>({.side = 2, .grid = 2, .global = false}, 12, maps), 4e-6, "HD without a global view");
  check(Case<bf16>({.side = 2, .grid = 2, .global = true}, 12, maps), 3e-2, "HD");
}

TEST(PatchInfoMining, OtherGridsAndFlooredMaps) {
  check(Case<float>({.side = 2, .grid = 3, .global = true}, 8, Sides{{24, 5}, {12, 3}, {6, 9}, {3, 2}}), 4e-6, "grid 3");
  check(Case<float>({.side = 1, .grid = 4, .global = true}, 8, Sides{{16, 5}, {8, 3}, {4, 9}, {2, 2}}), 4e-6, "grid 4");
  check(Case<float>({.side = 3, .grid = 2, .global = true}, 8, Sides{{18, 5}, {9, 3}, {4, 9}, {2, 2}}), 4e-6, "sides 18, 9, 4, 2");
  check(Case<float>({.side = 5, .grid = 1, .global = true}, 8, Sides{{15, 5}, {7, 3}, {3, 9}, {1, 2}}), 4e-6, "sides 15, 7, 3, 1");
}

TEST(PatchInfoMining, KeyBiasesHaveNoInfluence) {
  Case<float> a({.side = 2, .grid = 2, .global = true}, 8, Sides{{16, 5}, {8, 3}}), b = a;
  for (std::size_t i = 0; i < b.views.size(); ++i) b.views[i] = b.maps[i].view();
  for (auto& [name, values] : b.parameters)
    if (name == "vlm_uni_aux_projector.0.bias" || name == "vlm_uni_aux_projector.1.bias")
      for (float& v : values) v += 3;
  Context<Cpu> ctx;
  support::expect_same(run(a, ctx).tokens, run(b, ctx).tokens, "key biases");
}

TEST(PatchInfoMining, RefusesSidesThatDoNotDivide) {
  Case<float> c({.side = 3}, 8, Sides{{12, 5}, {6, 3}});
  Context<Cpu> ctx;
  auto const layer = c.layer(ctx);
  auto geometry = c.geometry;
  geometry.side = 5;
  EXPECT_THROW((void)layer(ctx, c.rows(), c.views, geometry), ConfigError);
  EXPECT_THROW((void)layer(ctx, c.rows().slice(0, 0, 4), c.views, c.geometry), ShapeError);
  EXPECT_THROW((void)layer(ctx, c.rows(), std::span(c.views).first(1), c.geometry), ShapeError);
  EXPECT_THROW((void)layer(ctx, c.rows(), {}, c.geometry), ShapeError);
}

}  // namespace patch_info_mining_test
