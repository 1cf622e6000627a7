/// The tensors of a file that torch.save wrote, as places in that file: the zip form (PyTorch 1.6 and later) and the form before it.
/// Names are the keys and positions on the way to a tensor, joined with '.'; values that are no tensors are skipped.
#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/pickle.hpp>
#include <mgm/io/tensor_info.hpp>
#include <mgm/io/zip.hpp>

namespace mgm::inline v0::io {

namespace detail {

/// True when `s` is UTF-8 (RFC 3629: shortest forms, no surrogates, at most U+10FFFF).
[[nodiscard]] inline bool is_utf8(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    auto const lead = static_cast<unsigned char>(s[i]);
    std::size_t const more = lead < 0x80                   ? 0
                             : lead >= 0xC2 && lead < 0xE0 ? 1
                             : lead >= 0xE0 && lead < 0xF0 ? 2
                             : lead >= 0xF0 && lead < 0xF5 ? 3
                                                           : 4;
    if (more == 4 || more >= s.size() - i) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      auto const byte = static_cast<unsigned char>(s[i + k]);
      if ((byte & 0xC0) != 0x80) return false;
      if (k == 1 && ((lead == 0xE0 && byte < 0xA0) || (lead == 0xED && byte >= 0xA0) || (lead == 0xF0 && byte < 0x90) ||
                     (lead == 0xF4 && byte >= 0x90)))
        return false;
    }
    i += more + 1;
  }
  return true;
}

/// Finds the tensors inside the value that a pickle made. Containers may be shared, and may even contain themselves, so depth and steps
/// are bounded, and nothing recurses.
class TensorWalk {
 public:
  TensorWalk(PickleReader const& pickle, std::string_view where, Limits const& limits) : pickle_(pickle), where_(where), limits_(limits) {}

  struct Found {
    std::string name;
    std::size_t tensor;
  };
  [[nodiscard]] std::vector<Found> run(PickleValue root) {
    visit(root);
    while (!open_.empty()) {
      Frame& frame = open_.back();
      bool const keyed = frame.container.kind == PickleValue::dict || frame.container.kind == PickleValue::ordered_dict;
      auto const& items = pickle_.items(frame.container);
      std::size_t const step = keyed ? 2 : 1;
      name_.resize(frame.name_bytes);
      if (frame.next + step > items.size()) {
        open_.pop_back();
        continue;
      }
      std::size_t const i = frame.next;
      frame.next += step;
      if (++steps_ > limits_.steps) throw LimitError(text(where_, ": more than ", limits_.steps, " values to search for tensors"));
      PickleValue const value = items[i + step - 1];
      if (value.kind != PickleValue::tensor && !container(value)) continue;
      if (open_.size() > 1) name_ += '.';
      if (keyed)
        append_key(items[i]);
      else
        name_ += text(i);
      visit(value);
    }
    return std::move(found_);
  }

 private:
  struct Frame {
    PickleValue container;
    std::size_t next, name_bytes;
  };
  [[nodiscard]] static bool container(PickleValue v) {
    return v.kind == PickleValue::tuple || v.kind == PickleValue::list || v.kind == PickleValue::dict ||
           v.kind == PickleValue::ordered_dict;
  }
  void visit(PickleValue value) {
    if (value.kind == PickleValue::tensor) {
      name_bytes_ += static_cast<Size>(name_.size());
      if (name_bytes_ > limits_.name_bytes)
        throw LimitError(text(where_, ": names of tensors take more than ", limits_.name_bytes, " bytes"));
      if (static_cast<Size>(found_.size()) >= limits_.tensors) throw LimitError(text(where_, ": more than ", limits_.tensors, " tensors"));
      require<FileError>(is_utf8(name_), where_, ": tensor name ", mgm::quoted(name_), " is not UTF-8");
      found_.push_back({name_, static_cast<std::size_t>(value.payload)});
    } else if (container(value)) {
      if (static_cast<int>(open_.size()) >= limits_.depth)
        throw LimitError(text(where_, ": containers are nested deeper than ", limits_.depth, " levels, or contain themselves"));
      open_.push_back({value, 0, name_.size()});
    }
  }
  /// As Python's str() of the key.
  void append_key(PickleValue key) {
    switch (key.kind) {
      case PickleValue::text:
        name_ += pickle_.text_of(key);
        break;
      case PickleValue::integer:
        name_ += text(key.payload);
        break;
      case PickleValue::boolean:
        name_ += key.payload ? "True" : "False";
        break;
      case PickleValue::none:
        name_ += "None";
        break;
      case PickleValue::real:
        name_ += text(std::bit_cast<double>(key.payload));
        break;
      default:
        name_ += '?';
    }
    require<LimitError>(static_cast<Size>(name_.size()) <= 65536, where_, ": a tensor name is longer than 65536 bytes");
  }

  PickleReader const& pickle_;
  std::string_view where_;
  Limits const& limits_;
  std::vector<Frame> open_;
  std::string name_;
  Size steps_ = 0, name_bytes_ = 0;
  std::vector<Found> found_;
};

/// Tensors with places in the file; `storage_at[i]` is where storage i begins.
[[nodiscard]] inline std::vector<TensorInfo> place_tensors(PickleReader const& pickle, PickleValue root,
                                                           std::vector<Size> const& storage_at, std::string_view where,
                                                           Limits const& limits) {
  std::vector<TensorInfo> out;
  for (auto& found : TensorWalk(pickle, where, limits).run(root)) {
    PickleTensor const& from = pickle.tensors()[found.tensor];
    TensorInfo info;
    info.name = std::move(found.name), info.dtype = from.dtype, info.shape = from.shape;
    info.bytes = *tensor_bytes(from.shape, from.dtype);  // was checked when the tensor was read, as was its reach
    info.offset = storage_at[from.storage] + (info.bytes > 0 ? from.first * size_of(from.dtype) : 0);
    bool row_major = true;
    if (Size step = 1; info.bytes > 0)  // with an extent of 0 the product of the others may be anything
      for (std::size_t a = from.shape.size(); a-- > 0; step *= from.shape[a])
        row_major = row_major && (from.shape[a] == 1 || from.strides[a] == step);
    if (!row_major) info.strides = from.strides;
    out.push_back(std::move(info));
  }
  return out;
}

}  // namespace detail

/// The tensors of a zip archive that torch.save wrote, in the order of the saved object. Throws FileError or LimitError: the archive is
/// damaged, the object holds anything but plain data and tensors, or a tensor does not fit its storage.
[[nodiscard]] inline std::vector<TensorInfo> read_torch_zip(MappedFile const& file, Limits const& limits = {}) {
  std::string const& where = file.path();
  auto const entries = read_zip(file, limits);
  NameIndex index;
  index.reserve(entries.size());
  ZipEntry const* object = nullptr;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    index.emplace(entries[i].name, static_cast<std::uint32_t>(i));
    std::string_view const name = entries[i].name;
    if (!name.ends_with("/data.pkl") || std::count(name.begin(), name.end(), '/') != 1) continue;
    require<FileError>(object == nullptr, where, ": zip: two objects, ", mgm::quoted(object ? object->name : ""), " and ",
                       mgm::quoted(name));
    object = &entries[i];
  }
  require<FileError>(object != nullptr, where, ": a zip archive without <folder>/data.pkl: torch.save did not write it");
  std::string const folder = object->name.substr(0, object->name.size() - 8);  // with its '/'
  auto const entry = [&](std::string const& name) -> ZipEntry const* {
    auto const at = index.find(folder + name);
    return at == index.end() ? nullptr : &entries[at->second];
  };
  require<FileError>(entry("constants.pkl") == nullptr, where, ": a TorchScript program: expected a state dict that torch.save wrote");
  if (auto const* order = entry("byteorder")) {
    Bytes const bytes = file.view(order->offset, std::min<Size>(order->bytes, 16));
    require<FileError>(bytes.text() == "little", where, ": byteorder: expected 'little', found ", mgm::quoted(bytes.text()));
  }
  require<LimitError>(object->bytes <= limits.pickle_bytes, where, ": data.pkl: expected at most ", limits.pickle_bytes, " bytes, found ",
                      object->bytes);
  Bytes const stream = file.view(object->offset, object->bytes);
  detail::PickleReader pickle(stream.text(), where, object->offset, limits);
  auto const root = pickle.run();
  require<FileError>(pickle.end() == object->bytes, where, ": data.pkl: ", object->bytes - pickle.end(), " bytes after its end");
  std::vector<Size> storage_at;
  for (auto const& storage : pickle.storages()) {
    require<FileError>(storage.root.empty(), where, ": storage ", mgm::quoted(storage.key),
                       " is a part of another, which only the older form knows");
    auto const* data = entry("data/" + std::string(storage.key));
    require<FileError>(data != nullptr, where, ": storage ", mgm::quoted(storage.key), ": entry 'data/", storage.key.substr(0, 80),
                       "' is missing");
    require<FileError>(data->bytes == storage.bytes(), where, ": storage ", mgm::quoted(storage.key), ": expected ", storage.bytes(),
                       " bytes, entry has ", data->bytes);
    storage_at.push_back(data->offset);
  }
  auto out = detail::place_tensors(pickle, root, storage_at, where, limits);
  file.check_size();
  return out;
}

/// The same for the older form: five pickles (magic, protocol 1001, system, object, keys of the storages), then each storage as its
/// number of elements (8 bytes) and the elements.
[[nodiscard]] inline std::vector<TensorInfo> read_torch_legacy(MappedFile const& file, Limits const& limits = {}) {
  using detail::PickleReader, detail::PickleValue;
  std::string const& where = file.path();
  Bytes const head = file.view(0, std::min(file.size(), limits.pickle_bytes));
  Size at = 0;
  auto const next = [&](auto&& use) {
    PickleReader pickle(head.text().substr(static_cast<std::size_t>(at)), where, at, limits);
    auto const value = pickle.run();
    at += pickle.end();
    use(pickle, value);
  };
  next([](auto const&, auto) {});  // the magic number, compared when the kind of file was found
  next([&](auto const&, PickleValue v) {
    require<FileError>(v.kind == PickleValue::integer && v.payload == 1001, where,
                       ": protocol of the older torch.save: expected 1001, found ",
                       v.kind == PickleValue::integer ? text(v.payload) : std::string("no number"));
  });
  next([&](PickleReader const& pickle, PickleValue v) {
    require<FileError>(v.kind == PickleValue::dict, where, ": expected a dictionary that describes the system");
    auto const& items = pickle.items(v);
    for (std::size_t i = 0; i + 1 < items.size(); i += 2)
      if (items[i].kind == PickleValue::text && pickle.text_of(items[i]) == "little_endian")
        require<FileError>(items[i + 1].kind == PickleValue::boolean && items[i + 1].payload == 1, where,
                           ": written on a big-endian machine, which is not supported");
  });
  PickleReader object(head.text().substr(static_cast<std::size_t>(at)), where, at, limits);
  auto const root = object.run();
  at += object.end();
  auto const& storages = object.storages();
  NameIndex index;
  for (std::size_t i = 0; i < storages.size(); ++i) index.emplace(storages[i].key, static_cast<std::uint32_t>(i));
  std::vector<Size> storage_at(storages.size(), -1);
  next([&](PickleReader const& pickle, PickleValue v) {
    require<FileError>(v.kind == PickleValue::list, where, ": expected the list of storages");
    Size data = at;
    for (auto const key : pickle.items(v)) {
      require<FileError>(key.kind == PickleValue::text, where, ": list of storages: expected texts");
      auto const name = pickle.text_of(key);
      auto const found = index.find(name);
      require<FileError>(found != index.end() && storages[found->second].root.empty(), where, ": storage ", mgm::quoted(name),
                         " is listed but not used");
      auto const& storage = storages[found->second];
      require<FileError>(storage_at[found->second] < 0, where, ": storage ", mgm::quoted(name), " is listed twice");
      require<FileError>(file.size() - data >= 8, where, ": storage ", mgm::quoted(name), ": its length at byte ", data,
                         " is past the end at ", file.size());
      std::uint64_t count;
      std::memcpy(&count, file.view(data, 8).data, 8);
      require<FileError>(count == static_cast<std::uint64_t>(storage.count), where, ": storage ", mgm::quoted(name), ": expected ",
                         storage.count, " elements, the file says ", count);
      data += 8;
      require<FileError>(storage.bytes() <= file.size() - data, where, ": storage ", mgm::quoted(name), " of ", storage.bytes(),
                         " bytes at byte ", data, " runs past the end at ", file.size(), " (a download cut short?)");
      storage_at[found->second] = data;
      data += storage.bytes();
    }
    require<FileError>(data == file.size(), where, ": ", file.size() - data, " bytes after the last storage");
  });
  for (std::size_t i = 0; i < storages.size(); ++i) {
    auto const& storage = storages[i];
    if (!storage.root.empty())
      if (Size const whole = storage_at[index.at(storage.root)]; whole >= 0) storage_at[i] = whole + storage.first * storage.element();
    require<FileError>(storage_at[i] >= 0, where, ": storage ", mgm::quoted(storage.key), " is used but not listed");
  }
  auto out = detail::place_tensors(object, root, storage_at, where, limits);
  file.check_size();
  return out;
}

}  // namespace mgm::inline v0::io
