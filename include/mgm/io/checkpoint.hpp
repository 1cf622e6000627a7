/// The weights of one model, in one file or in shards with an index, under one set of names.
#pragma once
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/json.hpp>
#include <mgm/io/tensor_file.hpp>

namespace mgm::inline v0::io {

/// The files that a folder of a language model may hold, in the order in which they are looked for.
[[nodiscard]] inline std::vector<std::string> model_files() {
  return {"model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin"};
}
/// The same for a folder of an OpenCLIP tower.
[[nodiscard]] inline std::vector<std::string> open_clip_files() {
  return {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"};
}

/// Names to tensors over all files of a model. Immutable and cheap to copy; tensors stay readable while a copy lives.
class Checkpoint {
 public:
  struct Entry {
    std::string_view name;  ///< without a wrapping `state_dict.` or a common `module.`
    TensorFile const* file;
    TensorInfo const* info;
  };

  /// Opens the first of `candidates` that is in the folder `path`, or the file `path` itself; a name that ends in .json is an index.
  /// Throws FileError: nothing found (and what was looked for), shards missing (all of them), shards that contradict the index, tensors
  /// that occur twice, paths that leave the folder; and what TensorFile::open throws.
  [[nodiscard]] static Checkpoint open(std::string const& path, std::vector<std::string> const& candidates = model_files(),
                                       FileOptions const& options = {}) {
    namespace fs = std::filesystem;
    auto data = std::make_shared<Data>();
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      data->open(path, options);
    } else {
      std::string looked;
      auto const found = std::find_if(candidates.begin(), candidates.end(), [&](std::string const& candidate) {
        looked += text(looked.empty() ? "" : ", ", candidate);
        return fs::symlink_status(fs::path(path) / candidate, error).type() >
               fs::file_type::not_found;  // a dangling link is there: its error says more
      });
      require<FileError>(found != candidates.end(), path, ": no weights: expected one of ", looked);
      data->open((fs::path(path) / *found).string(), options);
    }
    data->finish();
    Checkpoint out;
    out.data_ = std::move(data);
    return out;
  }

  /// A tensor of another checkpoint under a new name, all of it or a part that is told by shape, offset and strides.
  struct Part {
    std::string name;
    TensorFile const* file;
    TensorInfo info;
  };
  /// The same checkpoint with more names: parts of its tensors. Throws FileError for a name that is there already.
  [[nodiscard]] Checkpoint with(std::vector<Part> parts) const {
    auto data = std::make_shared<Data>();
    data->path = data_->path, data->files = data_->files, data->notes = data_->notes, data->entries = data_->entries;
    data->parts = std::move(parts);
    for (auto const& part : data->parts) data->entries.push_back({part.name, part.file, &part.info});
    data->make_index();
    Checkpoint out;
    out.data_ = std::move(data);
    return out;
  }

  /// The tensor of that name, or nullptr. Takes the same time however many there are.
  [[nodiscard]] Entry const* find(std::string_view tensor) const {
    auto const at = data_->index.find(tensor);
    return at == data_->index.end() ? nullptr : &data_->entries[at->second];
  }
  /// The tensor of that name. Throws FileError when there is none.
  [[nodiscard]] Entry const& at(std::string_view tensor) const {
    auto const* entry = find(tensor);
    require<FileError>(entry != nullptr, path(), ": tensor ", mgm::quoted(tensor), " is missing");
    return *entry;
  }
  /// File by file, in the order of the files.
  [[nodiscard]] std::vector<Entry> const& entries() const noexcept { return data_->entries; }
  [[nodiscard]] std::vector<std::shared_ptr<TensorFile const>> const& files() const noexcept { return data_->files; }
  /// "safetensors", "torch-zip" or "torch-legacy", of the first file.
  [[nodiscard]] std::string_view format() const noexcept { return data_->files.empty() ? std::string_view() : data_->files[0]->format(); }
  /// The file that was opened: the index where there is one.
  [[nodiscard]] std::string const& path() const noexcept { return data_->path; }
  /// What is odd but no reason to refuse, a line each.
  [[nodiscard]] std::vector<std::string> const& notes() const noexcept { return data_->notes; }
  /// Bytes of all tensors as stored.
  [[nodiscard]] Size bytes() const {
    Size sum = 0;
    for (auto const& entry : entries()) sum += entry.info->bytes;
    return sum;
  }

 private:
  struct Data {
    std::string path;
    std::vector<std::shared_ptr<TensorFile const>> files;
    std::vector<Entry> entries;
    std::vector<std::string> notes;
    std::vector<Part> parts;  // entries point into it
    NameIndex index;

    void open(std::string const& file, FileOptions const& options) {
      path = file;
      if (file.ends_with(".json")) return open_index(options);
      files.push_back(TensorFile::open(file, options));
      for (auto const& tensor : files[0]->tensors()) entries.push_back({tensor.name, files[0].get(), &tensor});
    }
    void open_index(FileOptions const& options);
    void note_strays(std::set<std::string> const& shards);
    /// Takes `state_dict.` and `module.` off the names, and indexes them.
    void finish() {
      auto const wrapped = [](Entry const& e) { return e.name.starts_with("state_dict."); };
      if (auto const n = std::count_if(entries.begin(), entries.end(), wrapped); n > 0) {
        if (auto const others = static_cast<Size>(entries.size()) - n; others > 0)
          notes.push_back(text(path, ": ", others, " tensors outside 'state_dict' were left out"));
        std::erase_if(entries, [&](Entry const& e) { return !wrapped(e); });
        for (auto& e : entries) e.name.remove_prefix(11);
      }
      auto const parallel = [](Entry const& e) { return e.name.starts_with("module."); };
      if (!entries.empty() && std::all_of(entries.begin(), entries.end(), parallel))
        for (auto& e : entries) e.name.remove_prefix(7);
      make_index();
    }
    void make_index() {
      index.reserve(entries.size());
      for (std::size_t i = 0; i < entries.size(); ++i) {
        auto const [at, added] = index.emplace(entries[i].name, static_cast<std::uint32_t>(i));
        require<FileError>(added, path, ": tensor ", mgm::quoted(entries[i].name), " is in two shards: ", entries[at->second].file->path(),
                           " and ", entries[i].file->path());
      }
    }
  };
  std::shared_ptr<Data const> data_;
};

namespace detail {
/// "a, b, c and 7 more": at most 20 of the names.
[[nodiscard]] inline std::string name_list(std::vector<std::string> const& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 20; ++i)
    out += text(i ? ", " : "", std::string_view(names[i]).substr(0, 200), names[i].size() > 200 ? "..." : "");
  return names.size() > 20 ? text(out, " and ", names.size() - 20, " more") : out;
}
}  // namespace detail

inline void Checkpoint::Data::open_index(FileOptions const& options) {
  namespace fs = std::filesystem;
  Json const json = read_json(path, {.unique_keys = true});
  require<FileError>(json.is_object(), path, ": expected an object with key 'weight_map', found ", detail::describe(json));
  auto const* const map = find_key(json, "weight_map", path);
  require<FileError>(map && map->is_object(), path, ": expected an object at key 'weight_map', found ",
                     map ? detail::describe(*map) : "nothing");
  fs::path const folder = fs::path(path).parent_path();
  std::set<std::string> shards;
  for (auto const& [tensor, file] : map->items()) {
    require<FileError>(file.is_string(), path, ": weight_map: tensor ", mgm::quoted(tensor), ": expected the name of a file, found ",
                       detail::describe(file));
    shards.insert(file.get_ref<std::string const&>());
  }
  std::vector<std::string> missing;
  for (auto const& shard : shards) {
    fs::path const relative(shard);
    bool inside = !shard.empty() && relative.is_relative() && shard.find('\\') == shard.npos && shard.find('\0') == shard.npos;
    for (auto const& part : relative) inside = inside && part != "..";
    require<FileError>(inside, path, ": weight_map: expected names of files inside the folder, found ", mgm::quoted(shard));
    std::error_code error;
    if (!fs::exists(folder / relative, error)) missing.push_back(shard);
  }
  require<FileError>(missing.empty(), path, ": ", missing.size(), " of ", shards.size(),
                     " shards are missing: ", detail::name_list(missing));
  std::vector<std::string> absent, unlisted;
  Size sum = 0;
  for (auto const& shard : shards) {
    files.push_back(TensorFile::open((folder / shard).string(), options));
    for (auto const& tensor : files.back()->tensors()) {
      auto const named = map->find(tensor.name);
      if (named == map->end()) {
        unlisted.push_back(tensor.name);
        continue;
      }
      auto const& home = named->get_ref<std::string const&>();
      require<FileError>(home == shard, path, ": tensor ", mgm::quoted(tensor.name), " is in two shards: the index says ", home,
                         ", found it in ", shard, " too");
      entries.push_back({tensor.name, files.back().get(), &tensor});
      sum += tensor.bytes;
    }
  }
  if (entries.size() != map->size()) {
    std::set<std::string_view> present;
    for (auto const& entry : entries) present.insert(entry.name);
    for (auto const& [tensor, file] : map->items())
      if (!present.contains(tensor)) absent.push_back(text(mgm::quoted(tensor), " (", file.get_ref<std::string const&>(), ")"));
    throw FileError(text(path, ": ", absent.size(), " tensors are not in the shard that the index names: ", detail::name_list(absent)));
  }
  if (!unlisted.empty())
    notes.push_back(text(path, ": ", unlisted.size(), " tensors of the shards are not in the index: ", detail::name_list(unlisted)));
  if (auto const* metadata = find_key(json, "metadata", path); metadata && metadata->is_object())
    if (auto const* total = find_key(*metadata, "total_size", path);
        total && total->is_number() && total->get<double>() != static_cast<double>(sum))
      notes.push_back(text(path, ": metadata says total_size ", detail::describe(*total), ", the tensors have ", sum, " bytes"));
  note_strays(shards);
}

/// Weight files of the folder that the index does not name: often the rest of another download.
inline void Checkpoint::Data::note_strays(std::set<std::string> const& shards) {
  namespace fs = std::filesystem;
  fs::path const here(path);
  std::string const suffix = path.ends_with(".safetensors.index.json") ? ".safetensors" : ".bin";
  std::string const stem = here.filename().string().substr(0, here.filename().string().find('.'));
  std::vector<std::string> strays;
  std::error_code error;
  fs::path const folder = here.parent_path().empty() ? fs::path(".") : here.parent_path();
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    auto const file = at->path().filename().string();
    if (file.starts_with(stem) && file.ends_with(suffix) && !shards.contains(file)) strays.push_back(file);
  }
  std::sort(strays.begin(), strays.end());
  if (!strays.empty()) notes.push_back(text(path, ": files that the index does not name: ", detail::name_list(strays)));
}

}  // namespace mgm::inline v0::io
