#include <mgm/io/torch_file.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include <mgm/io/sha256.hpp>
#include <mgm/io/tensor_file.hpp>
#include <support/files.hpp>
#include <support/torch_bytes.hpp>

namespace torch_file_test {
using namespace mgm;
using support::expect_refused, support::le, support::TempDir;
using namespace std::string_literals;
using namespace support::torch;

std::shared_ptr<io::TensorFile const> open(TempDir const& dir, std::string const& bytes, io::FileOptions const& options = {}) {
  return io::TensorFile::open(dir.write("x.pt", bytes), options);
}

TEST(TorchFile, GoodTwinsAreAccepted) {
  TempDir dir;
  for (auto const& bytes : {zip(archive()), zip(archive(), {.zip64 = true}), zip(archive(), {.flags = 8, .local_flags = 8}), kLegacy})
    for (auto const access : {io::Access::map, io::Access::read}) {
      auto const file = open(dir, bytes, {.access = access});
      ASSERT_EQ(file->tensors().size(), 1u);
      auto const& w = *file->find("w");
      EXPECT_EQ(w.shape, (std::vector<Size>{2, 3}));
      EXPECT_EQ(file->bytes(w).text(), floats(6));
    }
}

TEST(TorchFile, NestedValuesAreNamedByKeysAndPositions) {
  TempDir dir;
  auto const one = [](int key) { return rebuild(storage("FloatStorage", std::to_string(key), 6), 0, {6}, {1}); };
  std::string const object = pickle(
      "}(" + str("a") + "](" + "K\x05" + "(" + one(0) + dict("k", one(0)) + "t" + "e" +  // list [5, (t, {k: t})]
      integer(-7) + one(0) + "\x88" + one(0) + "N" + one(0) + str("text") + str("x") +   // other keys, a text
      str("p") + global("torch._utils", "_rebuild_parameter") + "(" + one(0) + "\x88" + global("collections", "OrderedDict") + ")RtR" +
      str("big") + "\x8A\x0A" + std::string(10, 'x') + str("f") + "G" + std::string(8, '@') + str("size") + global("torch", "Size") + "(" +
      tuple({2, 3}) + "tR" + str("device") + global("torch", "device") + "(" + str("cpu") + "tR" + "u");
  auto const file = open(dir, zip(archive(object)));
  std::vector<std::string> names;
  for (auto const& t : file->tensors()) names.push_back(t.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.1.0", "a.1.1.k", "-7", "True", "None", "p"}));
  // An OrderedDict with attributes, as state_dict() makes, and one built from pairs, as Python 2 did.
  std::string const ordered = global("collections", "OrderedDict") + ")R(" + str("w") + kTensor + "u" + dict("_metadata", "}") + "b";
  EXPECT_NE(open(dir, zip(archive(pickle(ordered))))->find("w"), nullptr);
  std::string const pairs = global("collections", "OrderedDict") + "(](](" + str("w") + kTensor + "eetR";
  EXPECT_NE(open(dir, zip(archive(pickle(pairs))))->find("w"), nullptr);
  EXPECT_EQ(open(dir, zip(archive(pickle(kTensor))))->tensors().at(0).name, "");  // the object itself
}

TEST(TorchFile, WhatTrainersLeaveBesideTheWeightsIsSkipped) {
  TempDir dir;
  std::string const dtype = global("numpy", "dtype") + "(" + str("f8") + integer(0) + integer(1) + "tR(" + integer(3) + str("<") + "NNN" + integer(-1) +
                            integer(-1) + integer(0) + "tb";
  std::string const number = global("numpy.core.multiarray", "scalar") + "(" + dtype + global("_codecs", "encode") + "(" + str("12345678") + str("latin1") + "tRtR";
  std::string const object = "}(" + str("epoch") + integer(3) + str("state_dict") + dict("w", kTensor) + str("callbacks") + "}" +
                             global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") + dict("best", number) + "su";
  auto const file = open(dir, zip(archive(pickle(object))));
  ASSERT_EQ(file->tensors().size(), 1u);
  EXPECT_EQ(file->tensors()[0].name, "state_dict.w");
}

TEST(TorchFile, StridesOffsetsAndSharingFollowTheStorage) {
  TempDir dir;
  auto const shown = [&](std::int64_t first, std::vector<std::int64_t> const& shape, std::vector<std::int64_t> const& strides) {
    auto const file = open(dir, zip(archive(pickle(dict("w", rebuild(storage("FloatStorage", "0", 6), first, shape, strides))))));
    auto const bytes = file->bytes(file->tensors()[0]);
    std::vector<float> out(static_cast<std::size_t>(bytes.size) / 4);
    if (!out.empty()) std::memcpy(out.data(), bytes.data, out.size() * 4);
    return out;
  };
  EXPECT_EQ(shown(0, {3, 2}, {1, 3}), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(shown(1, {2, 2}, {3, 1}), (std::vector<float>{1, 2, 4, 5}));
  EXPECT_EQ(shown(5, {}, {}), std::vector<float>{5});
  EXPECT_EQ(shown(0, {2, 1, 3}, {3, 999, 1}), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(shown(0, {3}, {2}), (std::vector<float>{0, 2, 4}));
  EXPECT_EQ(shown(99, {0, 4}, {4, 1}), std::vector<float>{});
  std::string const shared = storage("FloatStorage", "0", 6);
  auto const file =
      open(dir, zip(archive(pickle("}(" + str("a") + rebuild(shared, 0, {3}, {1}) + str("b") + rebuild(shared, 3, {3}, {1}) + "u"))));
  EXPECT_EQ(file->find("b")->offset - file->find("a")->offset, 12);
  // A part of another storage, as the older form may have it.
  std::string const view = "(" + str("v") + integer(2) + integer(3) + "t";
  auto const old = open(dir, legacy(pickle(dict("w", rebuild(storage("FloatStorage", "0", 6, view), 1, {2}, {1}))), "]" + str("0") + "a",
                                    le<std::uint64_t>(6) + floats(6)));
  EXPECT_EQ(old->bytes(old->tensors()[0]).text(), floats(5).substr(12));
}

TEST(TorchFile, BadArchivesAreRefused) {
  TempDir dir;
  std::string const good = zip(archive()), wide = zip(archive(), {.zip64 = true});
  std::string const central = "PK\1\2", local = "PK\3\4", end = "PK\5\6", end64 = "PK\6\6", locator = "PK\6\7";
  auto twice = archive();
  twice.push_back({"a/data/0", floats(6)});
  auto two_objects = archive();
  two_objects.push_back({"b/data.pkl", kObject});
  auto script = archive();
  script.push_back({"a/constants.pkl", ""});
  auto big_endian = archive();
  big_endian[1].data = "big";
  auto no_storage = archive();
  no_storage[2].name = "a/data/1";
  auto short_storage = archive();
  short_storage[2].data.pop_back();
  auto after_stop = archive(kObject + "N");
  struct Case {
    char const* name;
    std::string bytes;
    char const* fragment;
  } const cases[] = {
      {"cut in the data", good.substr(0, good.size() / 2), "no end of central directory"},
      {"cut by one", good.substr(0, good.size() - 1), "no end of central directory"},
      {"21 bytes", good.substr(0, 21), "an end of central directory needs 22"},
      {"bytes after the end", good + "x", "no end of central directory"},
      {"bytes before", "PK\3\4" + good, "does not end where the end record begins"},
      {"deflate", zip(archive(), {.method = 8}), "'a/data.pkl' is compressed (method 8, deflate)"},
      {"encrypted", zip(archive(), {.flags = 1}), "'a/data.pkl' is encrypted"},
      {"strong encryption", zip(archive(), {.flags = 0x40}), "is encrypted"},
      {"encrypted in the header", zip(archive(), {.local_flags = 1}), "is encrypted"},
      {"several disks", patched(good, end, 4, le<std::uint16_t>(1)), "several disks"},
      {"two counts", patched(good, end, 8, le<std::uint16_t>(3)), "two counts of entries: 3 and 4"},
      {"count too small", patched(good, end, 8, le<std::uint16_t>(3) + le<std::uint16_t>(3)), "before its stated end"},
      {"count too large", patched(good, end, 8, le<std::uint16_t>(60000) + le<std::uint16_t>(60000)), "cannot hold 60000 entries"},
      {"directory beyond the file", patched(good, end, 16, le<std::uint32_t>(0x7FFFFFFF)), "past the end of the file"},
      {"directory size", patched(good, end, 12, le<std::uint32_t>(46)), "does not end where the end record begins"},
      {"directory signature", patched(good, central, 0, "PK\1\3"), "directory entry 0 has a wrong signature"},
      {"name runs out", patched(good, central, 28, le<std::uint16_t>(60000)), "runs past the directory's end"},
      {"stored and full size", patched(good, central, 20, le<std::uint32_t>(1)), "is stored in 1 bytes but says"},
      {"size in the directory", patched(good, central, 20, le<std::uint32_t>(7) + le<std::uint32_t>(7)),
       "directory says 7 bytes, its header"},
      {"size in the header", patched(good, local, 18, le<std::uint32_t>(7) + le<std::uint32_t>(7)), "its header 7"},
      {"size past the file", patched(good, central, 20, le<std::uint32_t>(0x70000000) + le<std::uint32_t>(0x70000000)),
       "past the end of the file"},
      {"header elsewhere", patched(good, central, 42, le<std::uint32_t>(1)), "no entry at byte 1"},
      {"header behind the directory", patched(good, central, 42, le<std::uint32_t>(static_cast<std::uint32_t>(good.size()) - 4)),
       "behind the directory"},
      {"two entries, one header", patched(good, central, 42, le<std::uint32_t>(0), 1), "its header holds another name"},
      {"other name in the header", patched(good, local, 30, "b"), "its header holds another name"},
      {"other method in the header", patched(good, local, 8, le<std::uint16_t>(8)), "disagree about its compression"},
      {"entry twice", zip(twice), "'a/data/0' occurs twice"},
      {"zip64 record missing", patched(wide, locator, 0, "PK\6\0"s), "zip64 end record is missing"},
      {"zip64 record elsewhere", patched(wide, locator, 8, le<std::uint64_t>(3)), "wrong signature"},
      {"zip64 record far away", patched(wide, locator, 8, le<std::uint64_t>(~std::uint64_t{0})), "past the end of the file"},
      {"zip64 count", patched(wide, end64, 32, le<std::uint64_t>(std::uint64_t{1} << 60)), "two counts"},
      {"zip64 size", patched(wide, end64, 40, le<std::uint64_t>(~std::uint64_t{0})), "past the end of the file"},
      {"zip64 field missing", patched(wide, central, 46 + 10, le<std::uint16_t>(2)), "zip64 field is missing"},
      {"zip64 field short", patched(wide, central, 46 + 12, le<std::uint16_t>(4)), "zip64 field is too short"},
      {"zip64 field runs out", patched(wide, central, 46 + 12, le<std::uint16_t>(60)), "extra field runs past its end"},
      {"zip64 size in the field", patched(wide, central, 46 + 14, le<std::uint64_t>(std::uint64_t{1} << 63)), "but says that it has"},
      {"no object", zip({{"a/data/0", floats(6)}}), "a zip archive without <folder>/data.pkl"},
      {"an empty archive", zip({}), "a zip archive without"},
      {"two objects", zip(two_objects), "two objects"},
      {"a TorchScript program", zip(script), "a TorchScript program"},
      {"big endian", zip(big_endian), "byteorder: expected 'little', found 'big'"},
      {"storage missing", zip(no_storage), "entry 'data/0' is missing"},
      {"storage short", zip(short_storage), "storage '0': expected 24 bytes, entry has 23"},
      {"bytes after STOP", zip(after_stop), "1 bytes after its end"},
  };
  for (auto const& c : cases) expect_refused([&] { (void)open(dir, c.bytes); }, Code::file, c.fragment, c.name);
}

TEST(TorchFile, OverlappingEntriesAreRefused) {
  TempDir dir;
  std::string const inner = zip({{"a/data/1", "12345678"}});
  std::string const nested = inner.substr(0, inner.find("PK\1\2"));  // a whole entry inside another's data
  std::string bytes = zip({{"a/data/0", nested}, {"a/data/1", "12345678"}});
  auto const second = bytes.rfind("PK\1\2");
  auto const inside = static_cast<std::uint32_t>(bytes.find("PK\3\4", 1));
  expect_refused([&] { (void)open(dir, bytes.replace(second + 42, 4, le(inside))); }, Code::file, "'a/data/1' overlaps entry 'a/data/0'");
}

TEST(TorchFile, BadPicklesAreRefusedByOpcodeAndGlobal) {
  TempDir dir;
  std::string const s6 = storage("FloatStorage", "0", 6);
  auto const tensor = [&](std::int64_t first, std::vector<std::int64_t> const& shape, std::vector<std::int64_t> const& strides) {
    return dict("w", rebuild(s6, first, shape, strides));
  };
  std::string const reduce_args = "(" + str("id") + "tR";
  struct Case {
    char const* name;
    std::string object;
    char const* fragment;
    Code code = Code::file;
  } const cases[] = {
      {"os.system", pickle(global("os", "system") + reduce_args), "global 'os.system' is not allowed"},
      {"posix.system", pickle(global("posix", "system") + reduce_args), "'posix.system'"},
      {"eval", pickle(global("__builtin__", "eval") + reduce_args), "'__builtin__.eval'"},
      {"getattr", pickle(global("builtins", "getattr") + reduce_args), "'builtins.getattr'"},
      {"torch.load", pickle(global("torch", "load") + reduce_args), "'torch.load' is not supported"},
      {"dotted", pickle(global("torch._utils", "_rebuild_tensor_v2.__globals__")), "is not allowed"},
      {"a module", pickle(global("torch.nn.modules.linear", "Linear")), "'torch.nn.modules.linear.Linear' is not allowed"},
      {"complex numbers", pickle(dict("w", storage("ComplexFloatStorage", "0", 3))),
       "'torch.ComplexFloatStorage' is not supported; tensors of F64"},
      {"quantised", pickle(global("torch._utils", "_rebuild_qtensor")), "'torch._utils._rebuild_qtensor'"},
      {"INST", pickle("(ios\nsystem\n"), "opcode INST is not allowed"},
      {"OBJ", pickle("(" + global("collections", "OrderedDict") + "o"), "opcode OBJ"},
      {"NEWOBJ", pickle(global("collections", "OrderedDict") + ")\x81"), "opcode NEWOBJ"},
      {"EXT1", pickle("\x82\x01"), "opcode EXT1"},
      {"EXT4", pickle("\x84"s + le<std::uint32_t>(1)), "opcode EXT4"},
      {"STACK_GLOBAL", pickle(str("os") + str("system") + "\x93"), "opcode STACK_GLOBAL"},
      {"unknown", pickle("\xFE"), "opcode 0xfe"},
      {"protocol 4", "\x80\x04}.", "pickle protocol 4 is not supported"},
      {"BUILD on a list", pickle("]}b"), "BUILD: allowed only for an OrderedDict"},
      {"BUILD on a dict", pickle("}}b"), "BUILD: allowed only"},
      {"BUILD on a tensor", pickle(kTensor + "}b"), "BUILD: allowed only"},
      {"BUILD with a tuple", pickle(global("collections", "OrderedDict") + ")R)b"), "BUILD: allowed only"},
      {"REDUCE of a text", pickle(str("x") + ")R"), "REDUCE: expected an allowed global and a tuple"},
      {"REDUCE without a tuple", pickle(global("collections", "OrderedDict") + "]R"), "REDUCE: expected"},
      {"REDUCE of a type", pickle(global("torch", "FloatStorage") + ")R"), "not a function"},
      {"arguments", pickle(global("torch._utils", "_rebuild_tensor_v2") + ")R"), "wrong arguments for _rebuild_tensor_v2"},
      {"a parameter of nothing", pickle(global("torch._utils", "_rebuild_parameter") + "(NNNtR"), "wrong arguments for _rebuild_parameter"},
      {"wrapped function",
       pickle(global("torch._tensor", "_rebuild_from_type_v2") + "(" + global("collections", "OrderedDict") + global("torch", "Tensor") +
              ")}tR"),
       "wrong arguments for _rebuild_from_type_v2"},
      {"memo", pickle("h\x05"), "memo slot 5 is empty"},
      {"long memo", pickle("j" + le<std::uint32_t>(0xFFFFFFFF)), "memo slot 4294967295 is empty"},
      {"stack underflow", pickle("0"), "opcode POP is not allowed"},
      {"APPEND on nothing", pickle("a"), "stack underflow in opcode APPEND"},
      {"TUPLE3 of two", pickle("NN\x87"), "stack underflow in opcode TUPLE3"},
      {"below the mark", pickle("]N(a"), "stack underflow"},
      {"no mark", pickle("Nt"), "without a MARK"},
      {"10^6 MARKs", pickle(std::string(1'000'000, '(')), "more than 1000 open MARKs"},
      {"a mark left", pickle("(N"), "left on the stack"},
      {"two values left", pickle("NN"), "left on the stack"},
      {"nothing at STOP", pickle(""), "stack underflow in opcode STOP"},
      {"no STOP", "\x80\x02}", "expected 1 more bytes, found 0"},
      {"empty", "", "expected 1 more bytes"},
      {"text past the end", "\x80\x02X" + le<std::uint32_t>(0xFFFFFFFF) + "ab", "expected 4294967295 more bytes"},
      {"global without end",
       "\x80\x02"
       "ctorch",
       "a name without end"},
      {"odd items", pickle("}(Nu"), "a key but no value"},
      {"items of a list", pickle("](NNu"), "no dictionary"},
      {"append to a dictionary", pickle("}Na"), "no list"},
      {"persistent text", pickle(str("storage") + "Q"), "BINPERSID: expected a tuple"},
      {"persistent module", pickle("(" + str("module") + global("torch", "FloatStorage") + str("0") + str("cpu") + integer(6) + "tQ"),
       "BINPERSID: expected ('storage'"},
      {"no storage type", pickle("(" + str("storage") + global("torch", "float32") + str("0") + str("cpu") + integer(6) + "tQ"),
       "a type of storage"},
      {"negative count", pickle(dict("w", storage("FloatStorage", "0", -6))), "count: expected an integer"},
      {"storage in two ways", pickle("](" + s6 + storage("HalfStorage", "0", 12) + "e"), "described in two ways"},
      {"past the storage", pickle(tensor(0, {7}, {1})), "reaches past the 6 elements of storage '0'"},
      {"offset past the storage", pickle(tensor(1, {2, 3}, {3, 1})), "reaches past"},
      {"stride past the storage", pickle(tensor(0, {2, 3}, {4, 1})), "reaches past"},
      {"negative offset", pickle(tensor(-1, {2}, {1})), "first element: expected an integer from 0"},
      {"negative stride", pickle(tensor(5, {6}, {-1})), "strides: expected an integer from 0"},
      {"negative extent", pickle(tensor(0, {-6}, {1})), "shape: expected an integer from 0"},
      {"stride 0", pickle(tensor(0, {1 << 30, 6}, {0, 1})), "uses elements more than once"},
      {"overlap", pickle(tensor(0, {3, 3}, {1, 1})), "uses elements more than once"},
      {"ranks", pickle(tensor(0, {6}, {1, 1})), "1 extents but 2 strides"},
      {"shape overflows", pickle(tensor(0, {std::int64_t{1} << 40, std::int64_t{1} << 40}, {1, 1})), "overflows 64 bits"},
      {"stride overflows", pickle(tensor(0, {2, 2}, {std::int64_t{1} << 53, std::int64_t{1} << 53})), "reaches past"},
      {"extent over 2^53", pickle(tensor(0, {std::int64_t{1} << 60}, {1})), "shape: expected an integer"},
      {"a tensor of no storage", pickle(rebuild("N", 0, {1}, {1})), "expected a storage"},
      {"name not UTF-8", pickle(dict("\xFF", kTensor)), "is not UTF-8"},
      {"name twice", pickle("}(" + str("a.b") + kTensor + str("a") + dict("b", kTensor) + "u"), "tensor 'a.b' occurs twice"},
      {"contains itself", pickle(s6 + "]q\0h\0a\x86"s), "nested deeper than 100 levels, or contain themselves", Code::limit},
      {"nested too deep", pickle(s6 + std::string(200, ']') + std::string(199, 'a') + "\x86"), "nested deeper than 100", Code::limit},
  };
  for (auto const& c : cases) {
    expect_refused([&] { (void)open(dir, zip(archive(c.object))); }, c.code, c.fragment, c.name);
    expect_refused([&] { (void)open(dir, legacy(c.object, "]" + str("0") + "a", le<std::uint64_t>(6) + floats(6))); }, c.code,
                   c.name == "no STOP"s || c.name == "empty"s || c.name == "text past the end"s || c.name == "global without end"s
                       ? "pickle: byte"
                       : c.fragment,
                   c.name + " (older form)"s);
  }
}

TEST(TorchFile, BadOlderFilesAreRefused) {
  TempDir dir;
  std::string const keys = "]" + str("0") + "a", data = le<std::uint64_t>(6) + floats(6);
  struct Case {
    char const* name;
    std::string bytes;
    char const* fragment;
  } const cases[] = {
      {"protocol", patched(kLegacy, "M\xE9\x03", 1, "\xE8"), "expected 1001, found 1000"},
      {"big endian", patched(kLegacy, "little_endian\x88", 13, "\x89"), "big-endian machine"},
      {"cut in the storage", kLegacy.substr(0, kLegacy.size() - 1), "runs past the end"},
      {"cut before the storage", kLegacy.substr(0, kLegacy.size() - 26), "is past the end"},
      {"cut in the object", kLegacy.substr(0, kLegacy.size() / 2), "more bytes"},
      {"only the magic", kLegacy.substr(0, 15), "expected 1 more bytes"},
      {"bytes after", kLegacy + "x", "1 bytes after the last storage"},
      {"count", legacy(kObject, keys, le<std::uint64_t>(5) + floats(6)), "expected 6 elements, the file says 5"},
      {"count 2^64-1", legacy(kObject, keys, le<std::uint64_t>(~std::uint64_t{0}) + floats(6)), "expected 6 elements"},
      {"listed twice", legacy(kObject, "](" + str("0") + str("0") + "e", data + data), "listed twice"},
      {"listed, not used", legacy(kObject, "](" + str("0") + str("1") + "e", data + data), "storage '1' is listed but not used"},
      {"used, not listed", legacy(kObject, "]", ""), "storage '0' is used but not listed"},
      {"keys are no list", legacy(kObject, "}", data), "expected the list of storages"},
      {"keys are numbers", legacy(kObject, "]K\1a", data), "expected texts"},
      {"system is no dictionary", patched(kLegacy, "\x80\x02}(", 2, "]"), "no dictionary"},
      {"part outside",
       legacy(pickle(dict("w", rebuild(storage("FloatStorage", "0", 6, "(" + str("v") + integer(4) + integer(3) + "t"), 0, {3}, {1}))),
              keys, data),
       "lie outside the 6 of storage '0'"},
      {"part of a part",
       legacy(pickle("](" + storage("FloatStorage", "0", 6, "(" + str("v") + integer(0) + integer(3) + "t") +
                     storage("FloatStorage", "v", 3, "(" + str("u") + integer(0) + integer(3) + "t") + "e"),
              keys, data),
       "described in two ways"},
      {"part is no tuple", legacy(pickle(dict("w", storage("FloatStorage", "0", 6, "K\1"))), keys, data), "a part of another storage"},
      {"part is listed",
       legacy(pickle(dict("w", rebuild(storage("FloatStorage", "0", 6, "(" + str("v") + integer(0) + integer(3) + "t"), 0, {3}, {1}))),
              "]" + str("v") + "a", le<std::uint64_t>(3) + floats(3)),
       "storage 'v' is listed but not used"},
      {"magic alone is wrong", "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x1A." + kLegacy.substr(15),
       "not one that torch.save wrote"},
  };
  for (auto const& c : cases) expect_refused([&] { (void)open(dir, c.bytes); }, Code::file, c.fragment, c.name);
}

TEST(TorchFile, LimitsAreNamedAndWorkIsCounted) {
  TempDir dir;
  // Lists that hold the one before them twice: 2^n tensors from 8·n bytes. The walk stops at its limit of steps.
  std::string nested = "](" + kTensor + "q\0"s;
  for (char i = 0; i < 60; ++i) nested += "](h"s + i + "h" + i + "eq" + static_cast<char>(i + 1);
  auto const bytes = zip(archive(pickle(nested + "e")));
  expect_refused([&] { (void)open(dir, bytes, {.limits = {.steps = 100'000}}); }, Code::limit, "more than 100000 values to search");
  expect_refused([&] { (void)open(dir, bytes, {.limits = {.tensors = 1000}}); }, Code::limit, "more than 1000 tensors");
  expect_refused([&] { (void)open(dir, bytes, {.limits = {.name_bytes = 5000}}); }, Code::limit,
                 "names of tensors take more than 5000 bytes");
  expect_refused([&] { (void)open(dir, zip(archive(pickle("](" + std::string(5000, 'N') + "e"))), {.limits = {.pickle_values = 4000}}); },
                 Code::limit, "more than 4000 values");
  expect_refused([&] { (void)open(dir, zip(archive()), {.limits = {.pickle_bytes = 100}}); }, Code::limit,
                 "data.pkl: expected at most 100 bytes");
  expect_refused([&] { (void)open(dir, zip(archive()), {.limits = {.entries = 3}}); }, Code::limit, "more than 3 entries");
  // Twice the tensors make twice the values: nothing is made more than once.
  auto const made = [](int n) {
    std::string object = "}(";
    for (int i = 0; i < n; ++i) object += str(std::to_string(i)) + kTensor;
    object = pickle(object + "u");
    io::Limits const limits;
    io::detail::PickleReader reader(object, "x", 0, limits);
    (void)reader.run();
    return reader.made();
  };
  EXPECT_EQ(made(300) - made(200), made(200) - made(100));
}

TEST(TorchFile, FilesOfPyTorchReadAsTorchReadsThem) {
  std::string const folder = std::string(MGM_TEST_DATA) + "/torch/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  auto const mine = io::TensorFile::open(folder + "mnist.pt"), theirs = io::TensorFile::open(folder + "mnist.safetensors");
  ASSERT_EQ(mine->tensors().size(), 20u);
  ASSERT_EQ(theirs->tensors().size(), 20u);
  for (auto const& tensor : theirs->tensors()) {
    auto const* same = mine->find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape);
    EXPECT_EQ(same->dtype, tensor.dtype);
    EXPECT_EQ(mine->bytes(*same).size, theirs->bytes(tensor).size);
  }
  auto const fortran = io::TensorFile::open(folder + "fortran_tensor_3d.pth");
  EXPECT_EQ(fortran->tensors()[0].shape, (std::vector<Size>{2, 3, 4}));
  EXPECT_EQ(fortran->tensors()[0].strides, (std::vector<Size>{1, 2, 6}));
  // Digests of what torch.load gives, as contiguous bytes.
  EXPECT_EQ(io::Sha256{}.update(mine->bytes(*mine->find("conv2.weight")).text()).hex(),
            "144398d591ae323c8722d3fc95cf17cdd80216ea207e2f7f249e41e0cf2378a0");
  EXPECT_EQ(io::Sha256{}.update(fortran->bytes(fortran->tensors()[0]).text()).hex(),
            "14b5dc85158d39234127755043714b1b463ae17b83031d51af4133d2ac9ab61d");
  std::size_t read = 0, refused = 0;
  std::set<std::string_view> formats;
  for (auto const& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (!file.is_regular_file()) continue;
    try {
      auto const opened = io::TensorFile::open(file.path().string());
      for (auto const& tensor : opened->tensors()) EXPECT_EQ(opened->bytes(tensor).size, tensor.bytes);
      formats.insert(opened->format());
      ++read;
    } catch (Error const& error) {
      EXPECT_EQ(file.path().filename(), "broken.pt") << error.what();
      ++refused;
    }
  }
  EXPECT_EQ(read, 34u);  // and broken.pt, and what is no file of tensors
  EXPECT_EQ(refused, 1u);
  EXPECT_EQ(formats.size(), 3u);
}

}  // namespace torch_file_test
