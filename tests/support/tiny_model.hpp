// A MiniGemini of the smallest shapes with random weights, filled by hand as an embedding engine would, and a byte vocabulary for it.
#pragma once
#include <cmath>
#include <random>

#include <mgm/io/atomic_file.hpp>
#include <mgm/mgm.hpp>

namespace support {

/// Weights of standard deviation 0.6/√fan-in, norm gains near 1: every parameter has an influence.
/// On devices whose memory the host writes: Cpu and Simt.
template <class T, class Module, class Dev>
void randomise(mgm::Context<Dev>& ctx, Module& module, unsigned seed) {
  std::mt19937 random(seed);
  mgm::visit_parameters(module, "", [&]<class P>(std::string const& name, P& p) {
    auto value = ctx.template lasting<T>(p.shape());
    bool const gain = P::kRank == 1 && (name.find("norm") != name.npos || name.ends_with("gamma")) && name.ends_with("weight");
    float const scale = P::kRank == 1 ? 0.1f : 0.6f / std::sqrt(static_cast<float>(p.shape()[1]));
    for (mgm::Size i = 0; i < value.count(); ++i) {
      float const u = static_cast<float>(random()) / 4294967296.0f - 0.5f;
      value.data()[i] = T((gain ? 1.0f : 0.0f) + 3.5f * scale * u);
    }
    p.assign(std::move(value));
  });
}

/// A SentencePiece vocabulary made in code: <unk>, <s>, </s>, the 256 bytes, the space mark. The folder is the caller's, already there.
inline std::shared_ptr<mgm::io::Tokenizer const> byte_vocabulary(std::string const& folder) {
  auto const field = [](int number, std::string const& bytes) {  // length-delimited, shorter than 128 bytes
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
  };
  auto const number = [](int n, int value) { return std::string{static_cast<char>(n << 3), static_cast<char>(value)}; };
  auto const piece = [&](std::string const& text, int type) {
    return field(1, field(1, text) + std::string("\x15\0\0\0\0", 5) + number(3, type));
  };
  std::string model = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3);
  for (int b = 0; b < 256; ++b) {
    char const* const digits = "0123456789ABCDEF";
    model += piece(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", 6);
  }
  model += piece("\xE2\x96\x81", 1);
  std::string const byte_fallback{'\x98', '\x02', '\x01'};  // field 35 of the trainer's settings
  model += field(2, number(3, 2) + byte_fallback) + field(3, number(3, 1) + number(4, 0) + number(5, 1));
  mgm::io::write_file(folder + "/tokenizer.model", model);
  mgm::io::write_file(
      folder + "/tokenizer_config.json",
      R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": false})");
  return std::make_shared<mgm::io::Tokenizer const>(mgm::io::Tokenizer::open(folder));
}

template <class T = float, class Dev>
mgm::models::MiniGemini<T, Dev> tiny_model(mgm::Context<Dev>& ctx, mgm::Size grid = 1, unsigned seed = 5) {
  using mgm::Size;
  mgm::models::MiniGemini<T, Dev> model{
      .vision_tower = {ctx, {.image = 16, .patch = 4, .width = 16, .depth = 2, .heads = 2, .ffn = 32}},
      .vision_tower_aux = {ctx, {.depths = {1, 1, 1, 1}, .widths = {4, 6, 8, 10}}},
      .mining = {ctx, {.query = 16, .detail = 28}},
      .projector = {ctx, {.in = 16, .out = 24}},
      .language_model = {ctx, {.vocab = 260, .width = 24, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 40}},
      .vision = {.image_size_aux = 32 * grid, .grid = grid, .global = grid > 1},
      .language = {.prompt_template = mgm::models::Template::vicuna_v1, .max_positions = 2048},
  };
  randomise<T>(ctx, model, seed);
  return model;
}

inline mgm::io::Image test_picture(int width, int height, unsigned seed = 1) {
  mgm::io::Image picture{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height))};
  std::mt19937 random(seed);
  for (auto& v : picture.rgb) v = static_cast<std::uint8_t>(random());
  return picture;
}

}  // namespace support
