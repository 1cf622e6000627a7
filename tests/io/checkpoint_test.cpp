#include <mgm/io/checkpoint.hpp>

#include <gtest/gtest.h>

#include <mgm/io/load_report.hpp>
#include <mgm/io/safetensors_writer.hpp>
#include <support/files.hpp>

namespace checkpoint_test {
using namespace mgm;
using io::Checkpoint;
using support::expect_refused, support::TempDir;

float const kData[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/// Writes a shard whose tensors, of the names given, have two floats each.
void shard(TempDir const& dir, std::string const& file, std::vector<std::string> const& names) {
  std::vector<io::TensorToWrite> tensors;
  for (auto const& name : names) tensors.push_back({name, Dtype::f32, {2}, kData + tensors.size()});
  std::filesystem::create_directories(std::filesystem::path(dir.path(file)).parent_path());
  io::write_safetensors(dir.path(file), tensors);
}
void index(TempDir const& dir, std::string const& map, std::string const& metadata = R"({"total_size":24})") {
  dir.write("model.safetensors.index.json", R"({"metadata":)" + metadata + R"(,"weight_map":)" + map + "}");
}
/// Two shards: a, b in the first, c in the second.
void good(TempDir const& dir) {
  shard(dir, "model-1.safetensors", {"a", "b"});
  shard(dir, "model-2.safetensors", {"c"});
  index(dir, R"({"a":"model-1.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"})");
}

TEST(Checkpoint, ShardsAreOneMap) {
  TempDir dir;
  good(dir);
  auto const checkpoint = Checkpoint::open(dir.path());
  EXPECT_EQ(checkpoint.entries().size(), 3u);
  EXPECT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.format(), "safetensors");
  EXPECT_EQ(checkpoint.bytes(), 24);
  EXPECT_TRUE(checkpoint.notes().empty());
  auto const& b = checkpoint.at("b");
  EXPECT_EQ(0, std::memcmp(b.file->bytes(*b.info).data, kData + 1, 8));
  EXPECT_EQ(checkpoint.find("d"), nullptr);
  expect_refused([&] { (void)checkpoint.at("d"); }, Code::file, "tensor 'd' is missing");
  EXPECT_EQ(Checkpoint::open(dir.path("model.safetensors.index.json")).entries().size(), 3u);
  EXPECT_EQ(Checkpoint::open(dir.path("model-2.safetensors")).entries().size(), 1u);
}

TEST(Checkpoint, FilesAreLookedForInOrder) {
  TempDir dir;
  expect_refused(
      [&] { (void)Checkpoint::open(dir.path()); }, Code::file,
      "no weights: expected one of model.safetensors.index.json, model.safetensors, pytorch_model.bin.index.json, pytorch_model.bin");
  expect_refused([&] { (void)Checkpoint::open(dir.path("nowhere")); }, Code::file, "No such file or directory");
  shard(dir, "pytorch_model.bin", {"in_bin"});  // content decides
  EXPECT_EQ(Checkpoint::open(dir.path()).format(), "safetensors");
  shard(dir, "model.safetensors", {"single"});
  EXPECT_NE(Checkpoint::open(dir.path()).find("single"), nullptr);
  good(dir);
  EXPECT_NE(Checkpoint::open(dir.path()).find("c"), nullptr);
  shard(dir, "mm_projector.bin", {"p"});
  EXPECT_NE(Checkpoint::open(dir.path(), {"mm_projector.bin"}).find("p"), nullptr);
  expect_refused([&] { (void)Checkpoint::open(dir.path(), io::open_clip_files()); }, Code::file,
                 "expected one of open_clip_model.safetensors");
  std::filesystem::create_symlink(dir.path("gone"), dir.path("linked.safetensors"));
  expect_refused([&] { (void)Checkpoint::open(dir.path(), {"linked.safetensors"}); }, Code::file, "No such file or directory");
  std::filesystem::create_directory(dir.path("folder.safetensors"));
  expect_refused([&] { (void)Checkpoint::open(dir.path(), {"folder.safetensors"}); }, Code::file, "found a directory");
}

TEST(Checkpoint, SymbolicLinksAreFollowed) {
  TempDir dir;
  shard(dir, "blobs/123", {"a"});
  std::filesystem::create_directory(dir.path("snapshot"));
  std::filesystem::create_symlink("../blobs/123", dir.path("snapshot/model.safetensors"));
  EXPECT_NE(Checkpoint::open(dir.path("snapshot")).find("a"), nullptr);
}

TEST(Checkpoint, BadIndexesAreRefused) {
  struct Case {
    char const* name;
    std::string index;
    char const* fragment;
    Code code = Code::file;
  };
  std::string const a = R"("a":"model-1.safetensors","b":"model-1.safetensors")", c = R"("c":"model-2.safetensors")";
  auto const map = [](std::string const& m) { return R"({"weight_map":{)" + m + "}}"; };
  Case const cases[] = {
      {"empty", "", "not JSON"},
      {"not JSON", "{", "not JSON"},
      {"an array", "[]", "expected an object"},
      {"a text", "\"x\"", "expected an object"},
      {"no map", R"({"metadata":{}})", "'weight_map', found nothing"},
      {"map is null", R"({"weight_map":null})", "'weight_map', found nothing"},
      {"map is an array", R"({"weight_map":["a"]})", "found an array of 1"},
      {"file is a number", map(a + R"(,"c":2)"), "tensor 'c': expected the name of a file, found 2"},
      {"file is null", map(R"("c":null)"), "found null"},
      {"file is an object", map(R"("c":{})"), "found an object"},
      {"absolute", map(a + R"(,"c":"/etc/passwd")"), "inside the folder, found '/etc/passwd'"},
      {"..", map(a + R"(,"c":"../model-2.safetensors")"), "found '../model-2.safetensors'"},
      {".. inside", map(a + R"(,"c":"x/../../model-2.safetensors")"), "inside the folder"},
      {"backslash", map(R"("c":"..\\model-2.safetensors")"), "inside the folder"},
      {"empty name", map(R"("c":"")"), "inside the folder, found ''"},
      {"NUL in the name", map("\"c\":\"a\\u0000b\""), "inside the folder"},
      {"the folder itself", map(R"("c":".")"), "found a directory"},
      {"shards missing", map(a + R"(,"c":"m3","d":"m4")"), "2 of 3 shards are missing: m3, m4"},
      {"tensor missing", map(a + "," + c + R"(,"x":"model-2.safetensors","y":"model-1.safetensors")"),
       "2 tensors are not in the shard that the index names: 'x' (model-2.safetensors), 'y' (model-1.safetensors)"},
      {"wrong shard", map(R"("a":"model-2.safetensors","b":"model-1.safetensors",)" + c),
       "tensor 'a' is in two shards: the index says model-2.safetensors"},
      {"tensor twice", map(a + "," + c + R"(,"c":"model-1.safetensors")"), "key 'c' occurs twice"},
      {"map twice", R"({"weight_map":{},"weight_map":{}})", "key 'weight_map' occurs twice"},
      {"deep", std::string(100'000, '['), "nested deeper", Code::limit},
      {"git-LFS", "version https://git-lfs.github.com/spec/v1\n", "a git-LFS pointer"},
      {"HTML", "<html>", "an HTML or XML page"},
  };
  for (auto const& bad : cases) {
    TempDir dir;
    good(dir);
    EXPECT_EQ(Checkpoint::open(dir.path()).entries().size(), 3u);  // the twin
    dir.write("model.safetensors.index.json", bad.index);
    expect_refused([&] { (void)Checkpoint::open(dir.path()); }, bad.code, bad.fragment, bad.name);
  }
}

TEST(Checkpoint, OddThingsAreNoted) {
  TempDir dir;
  good(dir);
  index(dir, R"({"a":"model-1.safetensors","c":"model-2.safetensors"})", R"({"total_size":1})");
  shard(dir, "model-3.safetensors", {"d"});
  auto const checkpoint = Checkpoint::open(dir.path());
  ASSERT_EQ(checkpoint.notes().size(), 3u);
  EXPECT_NE(checkpoint.notes()[0].find("1 tensors of the shards are not in the index: b"), std::string::npos);
  EXPECT_NE(checkpoint.notes()[1].find("total_size 1, the tensors have 16 bytes"), std::string::npos);
  EXPECT_NE(checkpoint.notes()[2].find("files that the index does not name: model-3.safetensors"), std::string::npos);
  EXPECT_EQ(checkpoint.entries().size(), 2u);
}

TEST(Checkpoint, ManyMissingShardsAreCountedAndAShardIsNamed) {
  TempDir dir;
  std::string map;
  for (int i = 0; i < 300; ++i) map += text(i ? "," : "", "\"t", i, "\":\"shard-", 1000 + i, "\"");
  index(dir, "{" + map + "}");
  expect_refused([&] { (void)Checkpoint::open(dir.path()); }, Code::file, "300 of 300 shards are missing: shard-1000, shard-1001");
  expect_refused([&] { (void)Checkpoint::open(dir.path()); }, Code::file, "and 280 more");
  good(dir);
  dir.write("model-2.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  expect_refused([&] { (void)Checkpoint::open(dir.path()); }, Code::file, "model-2.safetensors: expected weights, found a git-LFS pointer");
}

TEST(Checkpoint, WrappingsAreTakenOffTheNames) {
  TempDir dir;
  shard(dir, "x", {"module.a", "module.b.c"});
  EXPECT_NE(Checkpoint::open(dir.path("x")).find("b.c"), nullptr);
  shard(dir, "x", {"module.a", "b"});  // not common to all
  EXPECT_NE(Checkpoint::open(dir.path("x")).find("module.a"), nullptr);
  shard(dir, "x", {"state_dict.module.a", "state_dict.module.b", "optimizer.0"});
  auto const checkpoint = Checkpoint::open(dir.path("x"));
  EXPECT_EQ(checkpoint.entries().size(), 2u);
  EXPECT_NE(checkpoint.find("a"), nullptr);
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_NE(checkpoint.notes()[0].find("1 tensors outside 'state_dict'"), std::string::npos);
}

TEST(LoadReport, ListsAllAndSuggestsTheNearest) {
  io::LoadReport report;
  EXPECT_TRUE(report.ok());
  report.add_unexpected("model.layers.0.self_attn.q_proj.wieght");
  report.add_unexpected("something.else");
  EXPECT_TRUE(report.ok());
  report.add_missing("model.layers.0.self_attn.q_proj.weight", {8, 8});
  report.add_missing("zzz", {});
  EXPECT_FALSE(report.check_shape("w", {2, 3}, {3, 2}));
  EXPECT_TRUE(report.check_shape("v", {2}, {2}));
  expect_refused([&] { report.require_ok("folder"); }, Code::file,
                 "folder: 2 tensors missing (model.layers.0.self_attn.q_proj.weight (8, 8), did you mean "
                 "model.layers.0.self_attn.q_proj.wieght?, zzz); "
                 "1 tensor misshaped (w: expected (2, 3), found (3, 2)); 2 tensors unexpected (model.layers.0.self_attn.q_proj.wieght, "
                 "something.else)");
  EXPECT_EQ(report.missing()[0].nearest, "model.layers.0.self_attn.q_proj.wieght");
  EXPECT_EQ(report.conversions(), "");
  io::LoadReport many;
  for (int i = 0; i < 1000; ++i) many.add_missing(text("tensor_", i), {1});
  expect_refused([&] { many.require_ok("folder"); }, Code::file, "1000 tensors missing");
  expect_refused([&] { many.require_ok("folder"); }, Code::file, "and 980 more)");
}

TEST(LoadReport, SaysOnceWhatIsConverted) {
  io::LoadReport report;
  for (int i = 0; i < 3; ++i) report.add_converted(Dtype::f32, Dtype::bf16);
  report.add_converted(Dtype::f16, Dtype::bf16);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.conversions(), "converted while loading: 3 tensors from F32 to BF16, 1 tensor from F16 to BF16");
}

}  // namespace checkpoint_test
