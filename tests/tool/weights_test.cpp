/// What a generator is opened with: LoRA files, IP-Adapters, original checkpoints and folders of every kind, against diffusers' own dumps
/// (tests/data/sd_weights) or against the same generator in another form.
#include <cmath>
#include <map>

#include <mgm/io/read_image.hpp>
#include <mgm/io/safetensors_writer.hpp>

#include "support/broken_model.hpp"
#include "support/parity.hpp"

namespace weights_test {
using namespace support;
using mgm::Dtype, mgm::Size;

std::string const kGenerators = MGM_TEST_SOURCE "/tests/data/sd/", kWeights = MGM_TEST_SOURCE "/tests/data/sd_weights/";

/// The picture alone: its texts say how it was drawn.
std::vector<std::uint8_t> pixels(std::string const& png) { return mgm::io::read_image(png).rgb; }

/// Tensors to be written again under other names or types.
struct Tensors {
  struct One {
    Dtype dtype;
    std::vector<Size> shape;
    std::string bytes;
  };
  std::map<std::string, One> all;

  static Tensors read(std::string const& path) {
    Tensors out;
    auto const file = mgm::io::TensorFile::open(path);
    for (auto const& t : file->tensors()) {
      auto const bytes = file->bytes(t);
      out.all[t.name] = {t.dtype, t.shape, std::string(reinterpret_cast<char const*>(bytes.data), static_cast<std::size_t>(bytes.size))};
    }
    return out;
  }
  template <class Keep>
  void write(std::string const& path, Keep&& keep) const {
    std::vector<mgm::io::TensorToWrite> out;
    for (auto const& [name, t] : all)
      if (keep(name)) out.emplace_back(name, t.dtype, t.shape, t.bytes.data());
    mgm::io::write_safetensors(path, out);
  }
  void write(std::string const& path) const {
    write(path, [](std::string const&) { return true; });
  }
  template <class Rename>
  void rename(Rename&& rename) {
    std::map<std::string, One> out;
    for (auto& [name, t] : all) out[rename(name)] = std::move(t);
    all = std::move(out);
  }
  /// f16 as f32: exact.
  void widen() {
    for (auto& [name, t] : all) {
      if (t.dtype != Dtype::f16) continue;
      std::string wide(2 * t.bytes.size(), '\0');
      for (std::size_t i = 0; i < t.bytes.size() / 2; ++i) {
        mgm::half h;
        std::memcpy(&h, t.bytes.data() + 2 * i, 2);
        float const f = static_cast<float>(h);
        std::memcpy(wide.data() + 4 * i, &f, 4);
      }
      t.dtype = Dtype::f32, t.bytes = std::move(wide);
    }
  }
};

/// The numbers of an original checkpoint's tensor, from its name: as tests/reference/sd_make_weights.py makes them.
std::string pseudo_weights(std::string const& name, std::vector<Size> const& shape) {
  std::uint32_t h = 2166136261u;
  for (char const c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  Size count = 1, fan_in = 1;
  for (std::size_t a = 0; a < shape.size(); ++a) count *= shape[a], fan_in *= a > 0 ? shape[a] : 1;
  bool const matrix = shape.size() > 1;
  double const gain = matrix ? std::sqrt(12.0 / static_cast<double>(fan_in)) : 0.2, middle = !matrix && name.ends_with("weight") ? 1 : 0;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint32_t x = h ^ (static_cast<std::uint32_t>(i) * 0x9E3779B1u);
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu, x = (x ^ (x >> 13)) * 0xC2B2AE35u, x ^= x >> 16;
    out[i] = static_cast<float>(gain * (static_cast<double>(x) / 4294967296.0 - 0.5) + middle);
  }
  return {reinterpret_cast<char const*>(out.data()), 4 * out.size()};
}

/// The original checkpoint that a list of names stands for.
Tensors original(std::string const& list) {
  Tensors out;
  std::ifstream in(kWeights + list + ".names");
  for (std::string name, extents; in >> name >> extents;) {
    std::vector<Size> shape;
    for (std::size_t at = 0; at < extents.size(); at = extents.find(',', at) == extents.npos ? extents.size() : extents.find(',', at) + 1)
      shape.push_back(std::stoll(extents.substr(at)));
    out.all[name] = {Dtype::f32, shape, pseudo_weights(name, shape)};
  }
  return out;
}

std::string place(std::string const& path) { return path.starts_with('@') ? kGenerators + path.substr(1) : kWeights + path; }

/// A short drawing, its picture's bytes.
Ran draw(std::string const& generator, std::string const& output, std::vector<std::string> const& more = {}) {
  std::vector<std::string> all{"draw",        generator, "--prompt",   "a red boat", "--steps",   "1",
                               "--scheduler", "ddim",    "--guidance", "1",          "--size",    "40x48",
                               "-o",          output,    "--progress", "never",      "--threads", "1"};
  all.insert(all.end(), more.begin(), more.end());
  return mgm_tool(all);
}
void expect_refusal(std::vector<std::string> const& more, std::string const& fragment, std::string const& generator = kGenerators + "sd",
                    int status = 1) {
  TempDir const scratch;
  expect_failure(draw(generator, scratch.path("o.png"), more), status, fragment, fragment);
  EXPECT_EQ(scratch.count(), 0u) << fragment;
}

/// Every case on a device, in f32.
void expect_every_case(std::string const& device) {
  TempDir const scratch;
  auto const folders = case_folders(kWeights);
  EXPECT_EQ(folders.size(), 7u);
  for (auto const& folder : folders) {
    ParityCase const wanted(folder);
    auto const& d = wanted.description;
    auto generator = d.at("generator").get<std::string>();
    bool const is_original = !generator.starts_with('@');
    if (is_original) original(generator).write(scratch.path(generator + ".safetensors"));
    std::vector<std::string> command{"draw", is_original ? scratch.path(generator + ".safetensors") : place(generator)};
    for (auto const& word : d.at("arguments")) command.push_back(word.get<std::string>());
    if (wanted.has("paths"))
      for (auto const& [option, path] : d.at("paths").items()) command.insert(command.end(), {option, place(path.get<std::string>())});
    if (wanted.has("loras"))
      for (auto const& lora : d.at("loras"))
        command.insert(command.end(), {"--lora", mgm::text(place(lora[0].get<std::string>()), ":", lora[1].get<double>())});
    command.insert(command.end(), {"-o", scratch.path("o.png"), "--dump", scratch.path("o.safetensors"), "--progress", "never", "--dtype",
                                   "f32", "--device", device});
    auto const ran = mgm_tool(command);
    ASSERT_EQ(ran.status, 0) << folder << ": " << ran.err;
    for (auto const& line : differences(wanted, scratch.path("o.safetensors"), true)) ADD_FAILURE() << folder << ": " << line;
    EXPECT_EQ(ran.err.starts_with("note: ") && ran.err.find("original checkpoint") != ran.err.npos, is_original) << ran.err;
  }
}
TEST(Weights, EveryCaseEqualsDiffusers) { expect_every_case("cpu"); }
TEST(Weights, EveryCaseEqualsDiffusersOnSimt) { expect_every_case("simt"); }

TEST(Weights, AFolderInAnotherFormDrawsTheSamePicture) {
  TempDir const scratch;
  auto const sd = kGenerators + "sd", same = scratch.path("same.png");
  expect_good(draw(sd, same), "sd");
  auto const picture = pixels(same);
  auto const expect_same = [&](std::string const& what, auto&& change) {
    std::string const folder = scratch.path(what);
    std::filesystem::copy(sd, folder, std::filesystem::copy_options::recursive);
    change(folder + "/");
    expect_good(draw(folder, scratch.path("o.png")), what);
    EXPECT_EQ(pixels(scratch.path("o.png")), picture) << what;
  };
  std::string const unet = "unet/diffusion_pytorch_model", vae = "vae/diffusion_pytorch_model", words = "text_encoder/model",
                    end = ".safetensors";
  expect_same("variant", [&](std::string const& at) {
    for (auto const& part : {unet, vae, words}) std::filesystem::rename(at + part + end, at + part + ".fp16" + end);
  });
  expect_same("f32", [&](std::string const& at) {
    for (auto const& part : {unet, vae, words}) {
      auto t = Tensors::read(at + part + end);
      t.widen(), t.write(at + part + end);
    }
  });
  for (std::string const index : {".safetensors.index.json", ".safetensors.index.fp16.json"})
    expect_same("shards" + std::to_string(index.size()), [&](std::string const& at) {
      auto const t = Tensors::read(at + unet + end);
      std::filesystem::remove(at + unet + end);
      mgm::io::Json map;
      for (int shard = 0; shard < 2; ++shard) {
        std::string const file = "diffusion_pytorch_model-0000" + std::to_string(shard + 1) + "-of-00002.safetensors";
        auto const here = [&](std::string const& name) { return static_cast<int>(name.size()) % 2 == shard; };
        t.write(at + "unet/" + file, here);
        for (auto const& [name, one] : t.all)
          if (here(name)) map["weight_map"][name] = file;
      }
      std::ofstream(at + unet + index) << map.dump();
    });
  expect_same("text encoder without text_model", [&](std::string const& at) {
    auto t = Tensors::read(at + words + end);
    t.rename([](std::string const& name) { return name.starts_with("text_model.") ? name.substr(11) : "text_model." + name; });
    t.write(at + words + end);
  });
  expect_same("autoencoder of another year", [&](std::string const& at) {
    auto t = Tensors::read(at + vae + end);
    bool const old = t.all.contains("decoder.mid_block.attentions.0.query.weight");
    t.rename([&](std::string name) {
      std::pair<std::string, std::string> const names[] = {
          {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
      for (auto const& [now, then] : names)
        if (auto const p = name.find(old ? then : now); p != name.npos) return name.replace(p, (old ? then : now).size(), old ? now : then);
      return name;
    });
    t.write(at + vae + end);
  });
  expect_same("keys that say the defaults", [&](std::string const& at) {
    auto const set = [&](std::string const& file, mgm::io::Json const& more) {
      auto json = mgm::io::read_json(at + file);
      for (auto const& [key, value] : more.items())
        if (!json.contains(key)) json[key] = value;
      std::ofstream(at + file) << json.dump();
    };
    set("unet/config.json",
        {{"transformer_layers_per_block", 1}, {"use_linear_projection", false}, {"upcast_attention", false}, {"norm_eps", 1e-5}});
    set("vae/config.json", {{"scaling_factor", 0.18215}, {"force_upcast", true}, {"use_quant_conv", true}, {"use_post_quant_conv", true}});
  });
}

TEST(Weights, AnOriginalCheckpointMayLackWhatNobodyReadsAndSaysWhatElseItLacks) {
  TempDir const scratch;
  auto const tokenizer = kGenerators + "sd/tokenizer", path = scratch.path("x.safetensors");
  auto t = original("sd1");
  t.write(path);
  expect_refusal({}, "--tokenizer", path);
  expect_refusal({"--tokenizer", scratch.path("nowhere")}, "expected a folder", path);
  expect_good(draw(kGenerators + "sd", scratch.path("ignored.png"), {"--tokenizer", tokenizer}), "a folder has its own");
  auto const without = [&](std::string const& gone, std::string const& fragment) {
    t.write(path, [&](std::string const& name) { return !name.starts_with(gone); });
    expect_refusal({"--tokenizer", tokenizer}, fragment, path);
  };
  without("model.diffusion_model.input_blocks.2.0.op.weight", "input_blocks.2.1.");
  without("model.diffusion_model.output_blocks.3.0.in_layers.2.bias", "model.diffusion_model.output_blocks.3.0.in_layers.2.bias");
  without("first_stage_model.", "first_stage_model");
  without("cond_stage_model.", "text encoder");
  without("model.diffusion_model.", "model.diffusion_model.input_blocks.0.0.weight");
}

TEST(Weights, LoraFilesThatDoNotFitAreRefusedByName) {
  TempDir const scratch;
  auto const path = scratch.path("x.safetensors");
  auto const t = Tensors::read(kWeights + "sd_kohya.safetensors");
  auto const edited = [&](auto&& edit) {
    auto copy = t;
    edit(copy.all), copy.write(path);
    return std::vector<std::string>{"--lora", path};
  };
  std::string const layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
  expect_refusal(edited([&](auto& all) { all["something.else"] = all.begin()->second; }), "something.else");
  expect_refusal(edited([&](auto& all) { all[layer + ".hada_w1_a"] = all.begin()->second; }), "hada_w1_a");
  expect_refusal(edited([&](auto& all) { all[layer + ".dora_scale"] = all.begin()->second; }), "DoRA");
  expect_refusal(edited([&](auto& all) { all.erase(layer + ".lora_up.weight"); }), "up half is missing");
  expect_refusal(
      edited([&](auto& all) { all[layer + ".lora_up.weight"] = all["lora_te_text_model_encoder_layers_1_mlp_fc1.lora_up.weight"]; }),
      "do not fit");
  expect_refusal(edited([&](auto& all) {
                   decltype(t.all) elsewhere;
                   for (std::string const half : {".lora_up.weight", ".lora_down.weight"}) elsewhere["lora_unet_elsewhere" + half] = all[layer + half];
                   all = elsewhere;
                 }),
                 "none of its 1 layers");
  expect_refusal({"--lora", scratch.path("nowhere.safetensors")}, "nowhere.safetensors");
  expect_refusal({"--lora", kWeights + "sd_kohya.safetensors:much"}, "much");

  auto const more = edited([&](auto& all) {
    for (std::string const half : {".lora_up.weight", ".lora_down.weight"}) all["lora_unet_elsewhere" + half] = all[layer + half];
  });
  auto const ran = draw(kGenerators + "sd", scratch.path("o.png"), more);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(ran.err.starts_with("note: ") && ran.err.find("1 of 15 layers") != ran.err.npos && ran.err.find("elsewhere") != ran.err.npos)
      << ran.err;
}

TEST(Weights, AdaptersThatDoNotFitAreRefusedByName) {
  TempDir const scratch;
  auto const picture = kGenerators + "init.png", sd = kGenerators + "sd", sdxl = kGenerators + "sdxl",
             linear = kWeights + "sd_linear/adapter.safetensors";
  expect_refusal({"--ip-adapter", linear, "--ip-image", picture}, "ip_adapter.1.to_k_ip.weight", sdxl);
  expect_refusal({"--ip-adapter", linear, "--ip-image", picture, "--ip-encoder", kWeights + "sdxl_plus/image_encoder"},
                 "the image encoder");
  expect_refusal({"--ip-adapter", linear, "--ip-image", picture, "--ip-encoder", scratch.path("nowhere")}, "--ip-encoder");
  expect_refusal({"--ip-adapter", kWeights + "sd_kohya.safetensors", "--ip-image", picture}, "image_proj");
  expect_refusal({"--ip-adapter", linear}, "--ip-image", sd, 2);
  expect_refusal({"--ip-image", picture}, "--ip-adapter", sd, 2);

  auto const with = [&](std::string const& scale) {
    expect_good(draw(sd, scratch.path("o.png"), {"--ip-adapter", linear, "--ip-image", picture, "--ip-scale", scale}), scale);
    return pixels(scratch.path("o.png"));
  };
  expect_good(draw(sd, scratch.path("plain.png")), "plain");
  EXPECT_EQ(with("0"), pixels(scratch.path("plain.png")));
  EXPECT_NE(with("1"), pixels(scratch.path("plain.png")));
}

}  // namespace weights_test
