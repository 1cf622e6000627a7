/// A file of tensors, whatever its format: safetensors, or PyTorch's .bin/.pt/.pth in the zip and the older form. Content decides, not the
/// name.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/safetensors.hpp>
#include <mgm/io/sniff.hpp>
#include <mgm/io/tensor_info.hpp>
#include <mgm/io/torch_file.hpp>

namespace mgm::inline v0::io {

struct FileOptions {
  Access access = Access::map;
  Limits limits{};
};

/// Every tensor was proved to lie inside the file when it was opened. Immutable; threads may share it.
class TensorFile {
 public:
  /// Throws FileError, DtypeError or LimitError saying what the file claims, where, and what is there; files that are something else
  /// (a git-LFS pointer, an HTML page, an archive) are refused by name.
  [[nodiscard]] static std::shared_ptr<TensorFile const> open(std::string const& path, FileOptions const& options = {}) {
    return std::make_shared<TensorFile>(Private{}, MappedFile::open(path, options.access), options.limits);
  }

  [[nodiscard]] std::string const& path() const noexcept { return file_->path(); }
  /// "safetensors", "torch-zip" or "torch-legacy".
  [[nodiscard]] std::string_view format() const noexcept { return format_; }
  /// In the order of the file (safetensors: of the bytes; PyTorch: of the object).
  [[nodiscard]] std::vector<TensorInfo> const& tensors() const noexcept { return tensors_; }
  /// `__metadata__` of a safetensors file, sorted by key.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> const& metadata() const noexcept { return metadata_; }
  /// The tensor of that name, or nullptr. Takes the same time however many there are.
  [[nodiscard]] TensorInfo const* find(std::string_view tensor) const {
    auto const at = index_.find(tensor);
    return at == index_.end() ? nullptr : &tensors_[at->second];
  }
  [[nodiscard]] std::shared_ptr<MappedFile const> const& file() const noexcept { return file_; }

  /// True when `bytes` hands out the file's own bytes: row-major, mapped, and aligned for the element type.
  [[nodiscard]] bool direct(TensorInfo const& tensor) const noexcept {
    return file_->mapped() && tensor.strides.empty() && tensor.offset % size_of(tensor.dtype) == 0;
  }
  /// The elements of `tensor` (one of ours), row-major, little-endian, aligned for their type: the mapping itself where `direct`, else a
  /// copy. Throws FileError when the file has changed its size.
  [[nodiscard]] Bytes bytes(TensorInfo const& tensor) const {
    file_->check_size();
    if (tensor.strides.empty()) {
      Bytes const there = file_->view(tensor.offset, tensor.bytes);
      if (!file_->mapped() || direct(tensor)) return there;  // a copy of `view` is aligned
      auto copy = detail::allocate_bytes(tensor.bytes, path());
      std::memcpy(copy.get(), there.data, static_cast<std::size_t>(tensor.bytes));
      return own(std::move(copy), tensor.bytes);
    }
    auto copy = detail::allocate_bytes(tensor.bytes, path());
    Bytes const there = file_->view(tensor.offset, source_bytes(tensor));
    switch (size_of(tensor.dtype)) {
      case 1:
        gather<1>(tensor, there.data, copy.get());
        break;
      case 2:
        gather<2>(tensor, there.data, copy.get());
        break;
      case 4:
        gather<4>(tensor, there.data, copy.get());
        break;
      default:
        gather<8>(tensor, there.data, copy.get());
        break;
    }
    return own(std::move(copy), tensor.bytes);
  }
  /// Calls `visit(std::byte const*, Size)` with the bytes of `tensor` from first to last in blocks of whole elements, and gives the
  /// pages of the source back as it goes.
  template <class Visit>
  void visit_bytes(TensorInfo const& tensor, Visit&& visit) const {
    if (!tensor.strides.empty()) {
      Bytes const all = bytes(tensor);
      visit(all.data, all.size);
      return file_->release(tensor.offset, source_bytes(tensor));
    }
    file_->check_size();
    for (Size done = 0; done < tensor.bytes;) {
      Size const step = std::min(kBlock, tensor.bytes - done);
      visit(file_->view(tensor.offset + done, step).data, step);
      file_->release(tensor.offset + done, step);
      done += step;
    }
  }
  /// Gives the pages of `tensor` back to the system; it can still be read.
  void release(TensorInfo const& tensor) const noexcept { file_->release(tensor.offset, source_bytes(tensor)); }

 private:
  struct Private {};
  static constexpr Size kBlock = 4 << 20;

 public:
  TensorFile(Private, std::shared_ptr<MappedFile const> file, Limits const& limits) : file_(std::move(file)) {
    Bytes const head = file_->view(0, std::min<Size>(file_->size(), 512));
    auto const kind = sniff(head.text());
    switch (kind.kind) {
      case FileKind::zip:
        format_ = "torch-zip", tensors_ = read_torch_zip(*file_, limits);
        break;
      case FileKind::torch_legacy:
        format_ = "torch-legacy", tensors_ = read_torch_legacy(*file_, limits);
        break;
      case FileKind::foreign:
        throw FileError(text(path(), ": expected weights, found ", kind.what));
      case FileKind::unknown:
        require<FileError>(file_->size() < 9 || path().ends_with(".safetensors"), path(),
                           ": neither a safetensors nor a PyTorch file: first bytes ", hex_head(head.text()));
        [[fallthrough]];
      case FileKind::safetensors: {
        auto header = read_safetensors(*file_, limits);
        format_ = "safetensors", tensors_ = std::move(header.tensors), metadata_ = std::move(header.metadata);
      }
    }
    index_.reserve(tensors_.size());
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      require<FileError>(index_.emplace(tensors_[i].name, static_cast<std::uint32_t>(i)).second, path(), ": tensor ",
                         mgm::quoted(tensors_[i].name), " occurs twice");
  }
  TensorFile(TensorFile const&) = delete;
  TensorFile& operator=(TensorFile const&) = delete;

 private:
  [[nodiscard]] static Bytes own(std::shared_ptr<std::byte[]> buffer, Size size) {
    std::byte const* const data = buffer.get();
    return {data, size, std::move(buffer)};
  }
  /// Bytes from the first element to the end of the last in the file.
  [[nodiscard]] static Size source_bytes(TensorInfo const& tensor) noexcept {
    if (tensor.strides.empty() || tensor.bytes == 0) return tensor.bytes;
    Size last = 0;
    for (std::size_t a = 0; a < tensor.shape.size(); ++a) last += (tensor.shape[a] - 1) * tensor.strides[a];
    return (last + 1) * size_of(tensor.dtype);
  }
  template <int kBytes>
  static void gather(TensorInfo const& tensor, std::byte const* from, std::byte* to) {
    if (tensor.bytes == 0) return;
    std::size_t const rank = tensor.shape.size();  // at least 1: a scalar is row-major
    Size const inner = tensor.shape[rank - 1], step = tensor.strides[rank - 1] * kBytes;
    std::vector<Size> at(rank, 0);
    Size row = 0;  // in elements
    for (std::byte* const end = to + tensor.bytes; to != end;) {
      std::byte const* element = from + row * kBytes;
      for (Size i = 0; i < inner; ++i, element += step, to += kBytes) std::memcpy(to, element, kBytes);
      for (std::size_t a = rank - 1; a-- > 0;) {
        row += tensor.strides[a];
        if (++at[a] < tensor.shape[a]) break;
        row -= at[a] * tensor.strides[a], at[a] = 0;
      }
    }
  }

  std::shared_ptr<MappedFile const> file_;
  std::string_view format_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  NameIndex index_;
};

}  // namespace mgm::inline v0::io
