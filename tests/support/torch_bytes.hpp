/// Makers of the bytes that torch.save writes, opcode by opcode and record by record, so that tests can write them wrongly.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <support/files.hpp>

namespace support::torch {
using namespace std::string_literals;

// --- pickles, opcode by opcode ---
inline std::string global(std::string const& module, std::string const& member) { return "c" + module + "\n" + member + "\n"; }
inline std::string str(std::string const& s) { return "X" + le<std::uint32_t>(static_cast<std::uint32_t>(s.size())) + s; }
inline std::string integer(std::int64_t v) { return "\x8A\x08" + le(v); }
inline std::string tuple(std::vector<std::int64_t> const& values) {
  std::string out = "(";
  for (auto const v : values) out += integer(v);
  return out + "t";
}
inline std::string storage(std::string const& type, std::string const& key, std::int64_t count, std::string const& view = "") {
  return "(" + str("storage") + global("torch", type) + str(key) + str("cpu") + integer(count) + view + "tQ";
}
inline std::string rebuild(std::string const& storage_code, std::int64_t first, std::vector<std::int64_t> const& shape,
                           std::vector<std::int64_t> const& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage_code + integer(first) + tuple(shape) + tuple(strides) + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}
inline std::string pickle(std::string const& value) { return "\x80\x02" + value + "."; }
inline std::string dict(std::string const& key, std::string const& value) { return "}" + str(key) + value + "s"; }
/// {"w": float tensor of shape (2, 3) over storage "0" of 6}
inline std::string const kTensor = rebuild(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
inline std::string const kObject = pickle(dict("w", kTensor));

// --- zip archives ---
struct Entry {
  std::string name, data;
};
struct ZipOptions {
  bool zip64 = false;
  std::uint16_t flags = 0, method = 0, local_flags = 0;
};
inline std::string zip(std::vector<Entry> const& entries, ZipOptions const& o = {}) {
  std::string out, directory;
  for (auto const& e : entries) {
    auto const size = static_cast<std::uint32_t>(e.data.size());
    auto const at = static_cast<std::uint32_t>(out.size());
    auto const name = static_cast<std::uint16_t>(e.name.size());
    std::uint32_t const shown = o.zip64 ? 0xFFFFFFFFu : size;
    std::string const wide =
        o.zip64 ? le<std::uint16_t>(1) + le<std::uint16_t>(16) + le<std::uint64_t>(size) + le<std::uint64_t>(size) : "";
    std::string const wide_directory =
        o.zip64 ? le<std::uint16_t>(1) + le<std::uint16_t>(24) + le<std::uint64_t>(size) + le<std::uint64_t>(size) + le<std::uint64_t>(at)
                : "";
    bool const later = (o.local_flags & 8u) != 0;
    out += "PK\3\4" + le<std::uint16_t>(45) + le(o.local_flags) + le(o.method) + le<std::uint32_t>(0) + le<std::uint32_t>(0) +
           le<std::uint32_t>(later ? 0 : shown) + le<std::uint32_t>(later ? 0 : shown) + le(name) +
           le(static_cast<std::uint16_t>(wide.size())) + e.name + wide + e.data;
    directory += "PK\1\2" + le<std::uint16_t>(45) + le<std::uint16_t>(45) + le(o.flags) + le(o.method) + le<std::uint32_t>(0) +
                 le<std::uint32_t>(0) + le(shown) + le(shown) + le(name) + le(static_cast<std::uint16_t>(wide_directory.size())) +
                 le<std::uint16_t>(0) + le<std::uint16_t>(0) + le<std::uint16_t>(0) + le<std::uint32_t>(0) +
                 le(o.zip64 ? 0xFFFFFFFFu : at) + e.name + wide_directory;
  }
  auto const at = out.size();
  auto const count = static_cast<std::uint16_t>(entries.size());
  out += directory;
  if (o.zip64) {
    auto const record = out.size();
    out += "PK\6\6" + le<std::uint64_t>(44) + le<std::uint16_t>(45) + le<std::uint16_t>(45) + le<std::uint32_t>(0) + le<std::uint32_t>(0) +
           le<std::uint64_t>(count) + le<std::uint64_t>(count) + le<std::uint64_t>(directory.size()) + le<std::uint64_t>(at);
    out += "PK\6\7" + le<std::uint32_t>(0) + le<std::uint64_t>(record) + le<std::uint32_t>(1);
  }
  return out + "PK\5\6" + le<std::uint16_t>(0) + le<std::uint16_t>(0) + le(o.zip64 ? std::uint16_t{0xFFFF} : count) +
         le(o.zip64 ? std::uint16_t{0xFFFF} : count) + le(o.zip64 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(directory.size())) +
         le(o.zip64 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(at)) + le<std::uint16_t>(0);
}
inline std::string floats(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += le(static_cast<float>(i));
  return out;
}
inline std::vector<Entry> archive(std::string const& object = kObject) {
  return {{"a/data.pkl", object}, {"a/byteorder", "little"}, {"a/data/0", floats(6)}, {"a/version", "3\n"}};
}
/// `bytes` with the `n`-th `find` changed: `with` written `ahead` bytes after it.
inline std::string patched(std::string bytes, std::string const& find, std::size_t ahead, std::string const& with, int n = 0) {
  std::size_t at = bytes.find(find);
  for (; n > 0; --n) at = bytes.find(find, at + 1);
  return bytes.replace(at + ahead, with.size(), with);
}
inline std::string legacy(std::string const& object, std::string const& keys, std::string const& data) {
  std::string const system = pickle("}(" + str("protocol_version") + "M\xE9\x03" + str("little_endian") + "\x88" + "u");
  return "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19."s + pickle("M\xE9\x03") + system + object + pickle(keys) + data;
}
inline std::string const kLegacy = legacy(kObject, "]" + str("0") + "a", le<std::uint64_t>(6) + floats(6));

}  // namespace support::torch
