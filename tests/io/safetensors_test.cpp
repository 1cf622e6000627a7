#include <mgm/io/safetensors.hpp>

#include <gtest/gtest.h>

#include <numeric>

#include <mgm/io/safetensors_writer.hpp>
#include <mgm/io/tensor_file.hpp>
#include <support/files.hpp>

namespace safetensors_test {
using namespace mgm;
using support::expect_refused, support::le, support::TempDir;

/// A file of that header and so many bytes 0, 1, 2, … of data.
std::string safetensors(std::string const& header, int data, std::uint64_t stated = ~std::uint64_t{0}) {
  std::string out = le<std::uint64_t>(stated == ~std::uint64_t{0} ? header.size() : stated) + header;
  for (int i = 0; i < data; ++i) out += static_cast<char>(i);
  return out;
}
std::string entry(std::string const& dtype, std::string const& shape, std::string const& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
std::string const kGood = R"({"a":)" + entry("F32", "[2]", "[0,8]") + "}";

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  TempDir dir;
  auto const open = [&](std::string const& bytes) { return io::TensorFile::open(dir.write("x.safetensors", bytes)); };
  EXPECT_EQ(open(safetensors("{}", 0))->tensors().size(), 0u);
  EXPECT_EQ(open(safetensors(kGood + "     ", 8))->tensors().size(), 1u);  // padding
  EXPECT_EQ(open(safetensors(R"({"s":)" + entry("F64", "[]", "[0,8]") + "}", 8))->find("s")->shape.size(), 0u);
  auto const zero = open(safetensors(R"({"z":)" + entry("F32", "[3,0]", "[8,8]") + R"(,"a":)" + entry("F32", "[2]", "[0,8]") + "}", 8));
  EXPECT_EQ(zero->tensors()[0].name, "a");  // by bytes, not by text
  EXPECT_EQ(zero->find("z")->bytes, 0);
  EXPECT_EQ(zero->bytes(*zero->find("z")).size, 0);
  EXPECT_EQ(zero->find("b"), nullptr);
  auto const meta = open(safetensors(R"({"__metadata__":{"format":"pt","e":""},"a":)" + entry("F32", "[2]", "[0,8]") + "}", 8));
  EXPECT_EQ(meta->metadata().at(1), (std::pair<std::string, std::string>("format", "pt")));
  // Keys that nobody knows, nested and with the words of the format inside, are passed over.
  auto const extra = open(safetensors(
      R"({"a":{"x":{"shape":[-1,{"dtype":0}],"y":[[1.5]]},"dtype":"F32","z":null,"shape":[2],"w":[{}],"data_offsets":[0,8],"q":-1e3}})",
      8));
  EXPECT_EQ(extra->find("a")->shape, std::vector<Size>{2});
  EXPECT_EQ(extra->format(), "safetensors");
  EXPECT_EQ(open(safetensors(R"({"\u00e4\n":)" + entry("U8", "[1]", "[0,1]") + "}", 1))->tensors()[0].name, "\xC3\xA4\n");
}

TEST(Safetensors, RefusesByNameAndPlace) {
  TempDir dir;
  std::string const huge = R"({"a":)" + entry("F32", "[18446744073709551615]", "[0,8]") + "}";
  auto const one = [](std::string const& e) { return safetensors(R"({"a":)" + e + "}", 8); };
  auto const two = [](std::string const& a, std::string const& b) { return safetensors(R"({"a":)" + a + R"(,"b":)" + b + "}", 8); };
  struct Case {
    char const* name;
    std::string bytes;
    char const* fragment;
    Code code = Code::file;
  } const cases[] = {
      {"empty", "", "file has 0 bytes, header length needs 8"},
      {"seven bytes", "abcdefg", "file has 7 bytes, header length needs 8"},
      {"length 0", safetensors("", 8, 0), "header length 0 is too short"},
      {"length 1", safetensors("{", 8, 1), "header length 1 is too short"},
      {"length 2^63", safetensors(kGood, 8, std::uint64_t{1} << 63), "over the limit of 100000000", Code::limit},
      {"length 2^64-1", safetensors(kGood, 8, ~std::uint64_t{0} - 1), "over the limit", Code::limit},
      {"length over the limit", safetensors(kGood, 8, 100'000'001), "header length 100000001 is over the limit of 100000000", Code::limit},
      {"length beyond the file", safetensors(kGood, 8, 90'000'000), "header ends at byte 90000008, file at"},
      {"length by one", safetensors(kGood, 0, kGood.size() + 1), "header ends at"},
      {"not UTF-8", safetensors("{\"a\xFF\":1}", 0), "byte 3: not JSON"},
      {"overlong UTF-8", safetensors("{\"\xC0\xAF\":1}", 0), "ill-formed UTF-8"},
      {"not JSON", safetensors("{\"a\" 1}", 0), "byte 5: not JSON"},
      {"trailing garbage", safetensors(kGood + "}", 8), "not JSON"},
      {"trailing newline", safetensors(kGood + "\n", 8), "expected '}' and spaces"},
      {"leading space", safetensors(" " + kGood, 8), "header begins with byte 20"},
      {"an array", safetensors("[]", 0), "header begins with byte 5b"},
      {"NUL inside", safetensors(kGood + std::string("\0}", 2), 8), "NUL character"},
      {"comment", safetensors("{/*x*/}", 0), "not JSON"},
      {"single quotes", safetensors("{'a':{}}", 0), "not JSON"},
      {"cut short", safetensors("{\"__metadata__\":{}", 0), "not JSON"},
      {"NaN", safetensors(R"({"a":NaN})", 0), "not JSON"},
      {"depth", safetensors(R"({"a":{"x":)" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}}", 0),
       "nested deeper than 100", Code::limit},
      {"name twice", safetensors(R"({"a":)" + entry("F32", "[1]", "[0,4]") + R"(,"a":)" + entry("F32", "[1]", "[4,8]") + "}", 8),
       "tensor 'a' occurs twice: its name ends at byte 4 and again at byte 57"},
      {"entry is a number", safetensors(R"({"a":1})", 0), "entry 'a': expected an object"},
      {"entry is an array", safetensors(R"({"a":[]})", 0), "entry 'a': expected an object"},
      {"no dtype", one(R"({"shape":[2],"data_offsets":[0,8]})"), "'a': key 'dtype' is missing"},
      {"no shape", one(R"({"dtype":"F32","data_offsets":[0,8]})"), "key 'shape' is missing"},
      {"no offsets", one(R"({"dtype":"F32","shape":[2]})"), "key 'data_offsets' is missing"},
      {"dtype number", one(R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})"), "dtype: expected a text"},
      {"dtype array", one(R"({"dtype":["F32"],"shape":[2],"data_offsets":[0,8]})"), "dtype: expected a text"},
      {"shape text", one(entry("F32", "\"2\"", "[0,8]")), "shape: expected an array"},
      {"shape object", one(entry("F32", "{}", "[0,8]")), "shape: expected an array"},
      {"shape nested", one(entry("F32", "[[2]]", "[0,8]")), "shape: expected integers"},
      {"dtype twice", one(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "key 'dtype' occurs twice"},
      {"unknown dtype", one(entry("F12", "[2]", "[0,8]")), "dtype 'F12' is not supported; supported are F64, F32", Code::dtype},
      {"dtype of half bytes", one(entry("F4", "[16]", "[0,8]")), "'F4'", Code::dtype},
      {"dtype in lower case", one(entry("f32", "[2]", "[0,8]")), "'f32'", Code::dtype},
      {"negative extent", one(entry("F32", "[-2]", "[0,8]")), "a negative number"},
      {"minus zero", one(entry("F32", "[-0]", "[0,8]")), "a negative number"},
      {"fraction", one(entry("F32", "[2.0]", "[0,8]")), "not an integer"},
      {"exponent", one(entry("F32", "[2e0]", "[0,8]")), "not an integer"},
      {"1e300", one(entry("F32", "[1e300]", "[0,8]")), "not an integer"},
      {"text for a number", one(entry("F32", "[\"2\"]", "[0,8]")), "shape: expected integers, found a text"},
      {"null for a number", one(entry("F32", "[2]", "[null,8]")), "data_offsets: expected integers"},
      {"over 2^53", one(entry("F32", "[9007199254740993]", "[0,8]")), "more than 9007199254740992"},
      {"over 2^64", safetensors(huge, 8), "more than"},
      {"begin after end", one(entry("F32", "[2]", "[8,0]")), "begin at 8, after their end 0"},
      {"end beyond the data", one(entry("F32", "[4]", "[0,16]")), "end at 16, but the file holds 8"},
      {"one offset", one(entry("F32", "[2]", "[8]")), "expected 2 numbers, found 1"},
      {"three offsets", one(entry("F32", "[2]", "[0,8,8]")), "expected 2 numbers, found 3"},
      {"overlap", two(entry("F32", "[2]", "[0,8]"), entry("F32", "[1]", "[4,8]")), "inside the tensor before it"},
      {"same range", two(entry("F32", "[2]", "[0,8]"), entry("F32", "[2]", "[0,8]")), "inside the tensor before it"},
      {"hole", two(entry("F32", "[1]", "[0,4]"), entry("U8", "[2]", "[6,8]")), "hole of 2 bytes before tensor 'b'"},
      {"hole in front", one(entry("F32", "[1]", "[4,8]")), "hole of 4 bytes"},
      {"bytes after the last", one(entry("F32", "[1]", "[0,4]")), "expected no bytes after it"},
      {"product overflows", one(entry("F32", "[4294967296,4294967296]", "[0,8]")), "overflows 64 bits"},
      {"product overflows before 0", one(entry("F32", "[4294967296,4294967296,0]", "[8,8]")), "overflows 64 bits"},
      {"bytes overflow", one(entry("F64", "[2147483648,1073741824]", "[0,8]")), "overflows 64 bits"},
      {"shape against length", one(entry("F32", "[3]", "[0,8]")), "needs 12 bytes, data_offsets hold 8"},
      {"rank",
       one(entry(
           "F32",
           "[1" +
               [] {
                 std::string s;
                 for (int i = 0; i < 70; ++i) s += ",1";
                 return s;
               }() +
               "]",
           "[0,4]")),
       "more than 64 dimensions", Code::limit},
      {"metadata number", safetensors(R"({"__metadata__":{"a":1}})", 0), "__metadata__: key 'a': expected a text"},
      {"metadata nested", safetensors(R"({"__metadata__":{"a":{}}})", 0), "__metadata__: key 'a': expected a text"},
      {"metadata text", safetensors(R"({"__metadata__":"a"})", 0), "expected an object"},
      {"metadata twice", safetensors(R"({"__metadata__":{},"__metadata__":{}})", 0), "occurs twice"},
      {"metadata key twice", safetensors(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "key 'k' occurs twice"},
  };
  for (auto const& c : cases) {
    expect_refused([&] { (void)io::TensorFile::open(dir.write("x.safetensors", c.bytes)); }, c.code, c.fragment, c.name);
  }
  EXPECT_EQ(io::TensorFile::open(dir.write("x.safetensors", safetensors(kGood, 8)))->tensors().size(), 1u);  // the twin of all
}

TEST(Safetensors, ManyTensorsAreFoundAndTheLimitIsNamed) {
  TempDir dir;
  std::string header = "{";
  constexpr int kCount = 50'000;
  for (int i = 0; i < kCount; ++i)
    header += text(i ? "," : "", "\"t", i, "\":", R"({"dtype":"U8","shape":[],"data_offsets":[)", i, ",", i + 1, "]}");
  auto const path = dir.write("many.safetensors", safetensors(header + "}", kCount));
  auto const file = io::TensorFile::open(path);
  ASSERT_EQ(file->tensors().size(), std::size_t{kCount});
  EXPECT_EQ(file->find("t12345")->offset - file->find("t0")->offset, 12345);
  expect_refused([&] { (void)io::TensorFile::open(path, {.limits = {.tensors = kCount - 1}}); }, Code::limit, "more than 49999 tensors");
  // Growth is counted by the slots of the index: no name waits behind many others.
  io::NameIndex index;
  for (auto const& tensor : file->tensors()) index.emplace(tensor.name, 0u);
  std::size_t longest = 0;
  for (std::size_t b = 0; b < index.bucket_count(); ++b) longest = std::max(longest, index.bucket_size(b));
  EXPECT_LE(longest, 16u);
}

TEST(Safetensors, MisalignedDataIsCopiedAndReadModeCannotFault) {
  TempDir dir;
  auto const path = dir.write("odd.safetensors", safetensors(kGood + " ", 8));  // 8 + an odd number of bytes
  for (auto const access : {io::Access::map, io::Access::read}) {
    auto const file = io::TensorFile::open(path, {.access = access});
    auto const& tensor = *file->find("a");
    ASSERT_NE(tensor.offset % 4, 0);
    EXPECT_FALSE(file->direct(tensor));
    auto const bytes = file->bytes(tensor);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data) % 4, 0u);
    EXPECT_EQ(bytes.text(), std::string("\0\1\2\3\4\5\6\7", 8));
    std::filesystem::resize_file(path, static_cast<std::uintmax_t>(tensor.offset) + 3);
    expect_refused([&] { (void)file->bytes(tensor); }, Code::file, "changed while open");
    dir.write("odd.safetensors", safetensors(kGood + " ", 8));
  }
  auto const aligned = io::TensorFile::open(dir.write("even.safetensors", safetensors(kGood + std::string(8 - kGood.size() % 8, ' '), 8)));
  EXPECT_TRUE(aligned->direct(aligned->tensors()[0]));
  EXPECT_EQ(aligned->bytes(aligned->tensors()[0]).owner, aligned->file());  // the mapping itself, kept alive
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  TempDir dir;
  std::vector<float> const floats{1, -2.5f, 3, 4, 5, 6};
  std::vector<std::int64_t> const integers{-200, 7};
  std::vector<bf16> const small{bf16(1.f), bf16(2.f), bf16(3.f)};
  auto const path = dir.path("out.safetensors");
  io::write_safetensors(path,
                        {{"half \"quoted\"\n", View<bf16 const, 1, Cpu>(small.data(), Extents{3})},
                         {"w", View<float const, 2, Cpu>(floats.data(), Extents{2, 3})},
                         {"ids", Dtype::i64, {2}, integers.data()},
                         {"none", Dtype::f32, {0, 4}, nullptr}},
                        {{"made", "here"}});
  auto const file = io::TensorFile::open(path);
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->tensors()[0].name, "ids");
  EXPECT_EQ(file->find("w")->shape, (std::vector<Size>{2, 3}));
  EXPECT_EQ(0, std::memcmp(file->bytes(*file->find("w")).data, floats.data(), 24));
  EXPECT_EQ(0, std::memcmp(file->bytes(*file->find("ids")).data, integers.data(), 16));
  EXPECT_EQ(0, std::memcmp(file->bytes(*file->find("half \"quoted\"\n")).data, small.data(), 6));
  for (auto const& tensor : file->tensors()) EXPECT_EQ(tensor.offset % size_of(tensor.dtype), 0);
  EXPECT_EQ(file->metadata().at(0).second, "here");
  EXPECT_EQ(dir.count(), 1u);
  expect_refused(
      [&] {
        io::write_safetensors(path, {{"a", Dtype::f32, {1}, floats.data()}, {"a", Dtype::f32, {1}, floats.data()}});
      },
      Code::argument, "twice");
  expect_refused([&] { io::write_safetensors(path, {{"a", Dtype::f32, {-1}, floats.data()}}); }, Code::argument, "cannot be");
  expect_refused([&] { io::write_safetensors(path, {{"\xFF", Dtype::f32, {1}, floats.data()}}); }, Code::argument, "not UTF-8");
  EXPECT_EQ(io::TensorFile::open(path)->tensors().size(), 4u);  // the old file is whole
}

TEST(Safetensors, OtherThingsSavedAsWeightsAreNamed) {
  TempDir dir;
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  struct Case {
    std::string bytes;
    char const* fragment;
  } const cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a git-LFS pointer"},
      {"<!DOCTYPE html><html></html>", "an HTML or XML page"},
      {"\n\n  <HTML><body>404", "an HTML or XML page"},
      {"7z\xBC\xAF\x27\x1C and more", "a 7z archive"},
      {tar, "a tar archive"},
      {"\x1F\x8B\x08 and more", "a gzip file"},
      {"GGUF\3\0\0\0 and more", "a GGUF file"},
      {std::string("\x80\4\x95\0\0\0\0\0\0\0\0}.", 13), "a Python pickle, but not one that torch.save wrote"},
      {"some text that nobody meant to save here", "first bytes 73 6f 6d 65"},
  };
  for (auto const& c : cases)
    expect_refused([&] { (void)io::TensorFile::open(dir.write("model.bin", c.bytes)); }, Code::file, c.fragment, c.fragment);
  EXPECT_EQ(io::TensorFile::open(dir.write("model.bin", safetensors(kGood, 8)))->format(), "safetensors");  // content decides
}

}  // namespace safetensors_test
