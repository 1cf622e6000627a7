/// The directory of a zip archive whose entries are stored, as torch.save writes them (APPNOTE 6.3.10, sections 4.3 to 4.5).
/// Every entry is checked against its own header: what two readers could read differently is refused.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/tensor_info.hpp>

namespace mgm::inline v0::io {

struct ZipEntry {
  std::string name;
  Size offset = 0;  ///< of the data, from the start of the file
  Size bytes = 0;
};

namespace detail {

/// A little-endian integer of `bytes` at `at`, which the caller has checked to be there.
template <class T>
[[nodiscard]] T little(std::string_view bytes, Size at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

class ZipReader {
 public:
  ZipReader(MappedFile const& file, Limits const& limits) : file_(file), limits_(limits) {}

  [[nodiscard]] std::vector<ZipEntry> read() {
    find_end();
    Bytes const directory = file_.view(directory_at_, directory_bytes_);
    std::string_view const all = directory.text();
    std::vector<ZipEntry> entries;
    std::vector<Size> headers;  // where each local header begins
    Size at = 0;
    for (Size i = 0; i < count_; ++i) entries.push_back(entry(all, at, headers));
    check(at == directory_bytes_, "directory of ", count_, " entries ends ", directory_bytes_ - at, " bytes before its stated end");
    check_order(entries, headers);
    return entries;
  }

 private:
  template <class... Parts>
  void check(bool ok, Parts const&... parts) const {
    require<FileError>(ok, file_.path(), ": zip: ", parts...);
  }
  [[nodiscard]] Size as_size(std::uint64_t value, std::string_view what) const {
    check(value <= static_cast<std::uint64_t>(file_.size()), what, " ", value, " is past the end of the file at ", file_.size());
    return static_cast<Size>(value);
  }

  /// Finds the end record, whose comment must reach exactly to the end of the file, and the zip64 record where one belongs to it.
  void find_end() {
    Size const size = file_.size(), tail = std::min<Size>(size, 22 + 65535);
    Bytes const bytes = file_.view(size - tail, tail);
    std::string_view const t = bytes.text();
    Size end = -1;
    for (Size at = tail - 22; at >= 0 && end < 0; --at)
      if (little<std::uint32_t>(t, at) == 0x06054B50u && at + 22 + little<std::uint16_t>(t, at + 20) == tail) end = at;
    check(end >= 0, "no end of central directory in ", size, " bytes (a download cut short?)");
    Size const end_at = size - tail + end;
    std::uint64_t count = little<std::uint16_t>(t, end + 10), bytes_of = little<std::uint32_t>(t, end + 12),
                  at = little<std::uint32_t>(t, end + 16);
    std::uint64_t const here = little<std::uint16_t>(t, end + 8);
    std::uint32_t const disks = little<std::uint16_t>(t, end + 4) | std::uint32_t{little<std::uint16_t>(t, end + 6)} << 16;
    bool const saturated = count == 0xFFFF || here == 0xFFFF || bytes_of == 0xFFFFFFFFu || at == 0xFFFFFFFFu;
    check(disks == 0 || (saturated && (disks == 0xFFFFFFFFu)), "archives of several disks are not supported");
    check(here == count, "end record holds two counts of entries: ", here, " and ", count);
    Size directory_end = end_at;
    if (end_at >= 20) {
      Bytes const locator_bytes = file_.view(end_at - 20, 20);
      std::string_view const locator = locator_bytes.text();
      bool const present = little<std::uint32_t>(locator, 0) == 0x07064B50u;
      check(present || !saturated, "zip64 end record is missing");
      if (present) {
        Size const record_at = as_size(little<std::uint64_t>(locator, 8), "zip64 end record at");
        check(record_at <= end_at - 20 - 56, "zip64 end record at ", record_at, " does not fit before its locator at ", end_at - 20);
        Bytes const record_bytes = file_.view(record_at, 56);
        std::string_view const record = record_bytes.text();
        check(little<std::uint32_t>(record, 0) == 0x06064B50u, "zip64 end record at ", record_at, " has a wrong signature");
        check(little<std::uint64_t>(record, 4) == static_cast<std::uint64_t>(end_at - 20 - record_at - 12),
              "zip64 end record does not end at its locator");
        check(little<std::uint64_t>(record, 16) == 0, "archives of several disks are not supported");
        auto const agree = [&](std::uint64_t& small, std::uint64_t most, std::uint64_t large, std::string_view what) {
          check(small == most || small == large, "end record and zip64 record disagree about ", what, ": ", small, " and ", large);
          small = large;
        };
        agree(count, 0xFFFF, little<std::uint64_t>(record, 32), "the number of entries");
        agree(bytes_of, 0xFFFFFFFFu, little<std::uint64_t>(record, 40), "the size of the directory");
        agree(at, 0xFFFFFFFFu, little<std::uint64_t>(record, 48), "the place of the directory");
        check(little<std::uint64_t>(record, 24) == count, "zip64 record holds two counts of entries");
        directory_end = record_at;
      }
    } else {
      check(!saturated, "zip64 end record is missing");
    }
    directory_at_ = as_size(at, "directory at byte");
    directory_bytes_ = as_size(bytes_of, "directory size");
    check(directory_bytes_ == directory_end - directory_at_, "directory at ", directory_at_, " of ", directory_bytes_,
          " bytes does not end where the end record begins, at ", directory_end);
    check(count <= static_cast<std::uint64_t>(directory_bytes_) / 46, "directory of ", directory_bytes_, " bytes cannot hold ", count,
          " entries");
    count_ = static_cast<Size>(count);
    require<LimitError>(count_ <= limits_.entries, file_.path(), ": zip: more than ", limits_.entries, " entries");
  }

  /// The 64-bit values that the fields at their 32-bit maximum stand for, from extra field 1.
  void widen(std::string_view extra, std::initializer_list<std::uint64_t*> fields, std::string_view entry_name) const {
    bool const needed = std::any_of(fields.begin(), fields.end(), [](auto const* f) { return *f == 0xFFFFFFFFu; });
    if (!needed) return;
    for (Size at = 0, size = static_cast<Size>(extra.size()); size - at >= 4;) {
      Size const bytes = little<std::uint16_t>(extra, at + 2);
      check(bytes <= size - at - 4, "entry ", mgm::quoted(entry_name), ": extra field runs past its end");
      if (little<std::uint16_t>(extra, at) == 1) {
        Size from = at + 4;
        for (auto* field : fields) {
          if (*field != 0xFFFFFFFFu) continue;
          check(from + 8 <= at + 4 + bytes, "entry ", mgm::quoted(entry_name), ": zip64 field is too short");
          *field = little<std::uint64_t>(extra, from);
          from += 8;
        }
        return;
      }
      at += 4 + bytes;
    }
    check(false, "entry ", mgm::quoted(entry_name), ": zip64 field is missing");
  }

  [[nodiscard]] ZipEntry entry(std::string_view all, Size& at, std::vector<Size>& headers) const {
    Size const left = static_cast<Size>(all.size()) - at;
    check(left >= 46 && little<std::uint32_t>(all, at) == 0x02014B50u, "directory entry ", headers.size(), " has a wrong signature");
    auto const flags = little<std::uint16_t>(all, at + 8), method = little<std::uint16_t>(all, at + 10);
    std::uint64_t stored = little<std::uint32_t>(all, at + 20), full = little<std::uint32_t>(all, at + 24),
                  header = little<std::uint32_t>(all, at + 42);
    Size const name_bytes = little<std::uint16_t>(all, at + 28), extra_bytes = little<std::uint16_t>(all, at + 30),
               comment_bytes = little<std::uint16_t>(all, at + 32);
    check(46 + name_bytes + extra_bytes + comment_bytes <= left, "directory entry ", headers.size(), " runs past the directory's end");
    ZipEntry out;
    out.name = all.substr(static_cast<std::size_t>(at + 46), static_cast<std::size_t>(name_bytes));
    auto const named = [&] { return text("entry ", mgm::quoted(out.name)); };
    widen(all.substr(static_cast<std::size_t>(at + 46 + name_bytes), static_cast<std::size_t>(extra_bytes)), {&full, &stored, &header},
          out.name);
    check((flags & 0x2041u) == 0, named(), " is encrypted");
    check(method == 0, named(), " is compressed (method ", method, method == 8 ? ", deflate" : "", "); only stored entries are read");
    check(stored == full, named(), " is stored in ", stored, " bytes but says that it has ", full);
    out.bytes = as_size(full, "size of an entry");
    at += 46 + name_bytes + extra_bytes + comment_bytes;

    Size const local = as_size(header, "header of an entry at");
    check(local <= directory_at_ - 30, named(), ": its header at ", local, " lies behind the directory at ", directory_at_);
    Bytes const fixed = file_.view(local, 30);
    std::string_view const h = fixed.text();
    check(little<std::uint32_t>(h, 0) == 0x04034B50u, named(), ": no entry at byte ", local);
    auto const local_flags = little<std::uint16_t>(h, 6);
    check((local_flags & 0x2041u) == 0, named(), " is encrypted");
    check(little<std::uint16_t>(h, 8) == method, named(), ": directory and header disagree about its compression");
    Size const local_name = little<std::uint16_t>(h, 26), local_extra = little<std::uint16_t>(h, 28);
    out.offset = local + 30 + local_name + local_extra;
    check(out.offset <= directory_at_ && out.bytes <= directory_at_ - out.offset, named(), ": ", out.bytes, " bytes at ", out.offset,
          " run into the directory at ", directory_at_);
    Bytes const rest = file_.view(local + 30, local_name + local_extra);
    check(rest.text().substr(0, static_cast<std::size_t>(local_name)) == out.name, named(), ": its header holds another name");
    std::uint64_t local_stored = little<std::uint32_t>(h, 18), local_full = little<std::uint32_t>(h, 22);
    if (!(local_flags & 8u)) {  // with bit 3 the sizes follow the data, and the directory's are all there is
      widen(rest.text().substr(static_cast<std::size_t>(local_name)), {&local_full, &local_stored}, out.name);
      check(local_stored == stored && local_full == full, named(), ": directory says ", full, " bytes, its header ", local_full);
    }
    headers.push_back(local);
    return out;
  }

  /// No two entries share bytes or a name.
  void check_order(std::vector<ZipEntry> const& entries, std::vector<Size> const& headers) const {
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return headers[a] < headers[b]; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      auto const& before = entries[order[i - 1]];
      check(before.offset + before.bytes <= headers[order[i]], "entry ", mgm::quoted(entries[order[i]].name), " overlaps entry ",
            mgm::quoted(before.name));
    }
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return entries[a].name < entries[b].name; });
    for (std::size_t i = 1; i < order.size(); ++i)
      check(entries[order[i - 1]].name != entries[order[i]].name, "entry ", mgm::quoted(entries[order[i]].name), " occurs twice");
  }

  MappedFile const& file_;
  Limits const& limits_;
  Size directory_at_ = 0, directory_bytes_ = 0, count_ = 0;
};

}  // namespace detail

/// The entries of the zip archive `file`, in the directory's order, each proved to lie inside the file. Throws FileError naming the
/// entry: truncated, encrypted, compressed, overlapping, or a directory that contradicts the headers. Sums (CRC-32) are not checked, as
/// torch.load does not either: torch.save can be told to write none.
[[nodiscard]] inline std::vector<ZipEntry> read_zip(MappedFile const& file, Limits const& limits = {}) {
  require<FileError>(file.size() >= 22, file.path(), ": zip: file has ", file.size(), " bytes, an end of central directory needs 22");
  return detail::ZipReader(file, limits).read();
}

}  // namespace mgm::inline v0::io
