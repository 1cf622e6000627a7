/// Files that are read. A mapping costs no memory of its own and pages come in as they are touched; a file that another program shortens
/// while it is mapped ends the process with SIGBUS, so sizes are checked again before use, and Access::read is there for who cannot trust
/// that.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io {

/// How the bytes of a file reach us: `map` shares the page cache; `read` copies on demand and can never fault.
enum class Access { map, read };

/// Bytes, and what keeps them alive: a mapping or a buffer.
struct Bytes {
  std::byte const* data = nullptr;
  Size size = 0;
  std::shared_ptr<void const> owner{};
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<char const*>(data), static_cast<std::size_t>(size)}; }
};

namespace detail {
/// The system's words for `error`, an errno.
[[nodiscard]] inline std::string errno_text(int error) { return std::error_code(error, std::generic_category()).message(); }

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

[[nodiscard]] inline std::shared_ptr<std::byte[]> allocate_bytes(Size count, std::string_view where) {
  try {
    return std::make_shared_for_overwrite<std::byte[]>(static_cast<std::size_t>(std::max<Size>(count, 1)));
  } catch (std::bad_alloc const&) {
    throw MemoryError(text(where, ": no memory for ", count, " bytes"));
  }
}
}  // namespace detail

/// A regular file, opened for reading; symbolic links are followed. Shared, so that whatever points into it keeps it.
class MappedFile : public std::enable_shared_from_this<MappedFile> {
 public:
  /// Throws FileError with the system's words when `path` is missing, unreadable, a directory or not a regular file.
  [[nodiscard]] static std::shared_ptr<MappedFile const> open(std::string const& path, Access access = Access::map) {
    require<FileError>(!path.empty(), "cannot open a file: the path is empty");
    require<FileError>(path.find('\0') == path.npos, "cannot open ", mgm::quoted(path), ": the path holds a NUL character");
    int fd;
    do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // NONBLOCK: a pipe must be refused, not waited for
    while (fd < 0 && errno == EINTR);
    require<FileError>(fd >= 0, "cannot open ", path, ": ", fd < 0 ? detail::errno_text(errno) : std::string());
    detail::Descriptor descriptor(fd);
    struct stat status {};
    require<FileError>(::fstat(fd, &status) == 0, "cannot open ", path, ": ", detail::errno_text(errno));
    require<FileError>(!S_ISDIR(status.st_mode), "cannot read ", path, ": expected a file, found a directory");
    require<FileError>(S_ISREG(status.st_mode), "cannot read ", path, ": expected a regular file, found a device, pipe or socket");
    std::byte const* data = nullptr;
    if (access == Access::map && status.st_size > 0) {
      void* const at = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
      require<FileError>(at != MAP_FAILED, "cannot map ", path, ": ", detail::errno_text(errno));
      data = static_cast<std::byte const*>(at);
    }
    struct Undo {  // the mapping is ours until the object holds it
      std::byte const* data;
      Size size;
      ~Undo() {
        if (data) ::munmap(const_cast<std::byte*>(data), static_cast<std::size_t>(size));
      }
    } undo{data, status.st_size};
    auto file = std::make_shared<MappedFile>(Private{}, path, std::move(descriptor), data, static_cast<Size>(status.st_size));
    undo.data = nullptr;
    return file;
  }

  MappedFile(MappedFile const&) = delete;
  MappedFile& operator=(MappedFile const&) = delete;
  ~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
  }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] Size size() const noexcept { return size_; }
  [[nodiscard]] bool mapped() const noexcept { return data_ != nullptr; }

  /// Bytes [offset, offset + count): the mapping itself, or a copy under Access::read. Throws FileError outside the file, or when the
  /// file has become shorter.
  [[nodiscard]] Bytes view(Size offset, Size count) const {
    require<FileError>(offset >= 0 && count >= 0 && offset <= size_ && count <= size_ - offset, path_, ": expected bytes ", offset, " to ",
                       count >= 0 && offset <= size_ ? text(offset, " + ", count) : std::string("?"), ", found ", size_,
                       " bytes in the file");
    if (data_) return {data_ + offset, count, shared_from_this()};
    auto buffer = detail::allocate_bytes(count, path_);
    for (Size done = 0; done < count;) {
      ssize_t const got =
          ::pread(fd_.get(), buffer.get() + done, static_cast<std::size_t>(count - done), static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      require<FileError>(got >= 0, "cannot read ", path_, " at byte ", offset + done, ": ",
                         got < 0 ? detail::errno_text(errno) : std::string());
      require<FileError>(got > 0, path_, ": expected ", size_, " bytes, found only ", offset + done, ": the file was shortened while open");
      done += got;
    }
    std::byte const* const at = buffer.get();
    return {at, count, std::move(buffer)};
  }

  /// Throws FileError unless the file still has the size it had when it was opened.
  void check_size() const {
    struct stat status {};
    require<FileError>(::fstat(fd_.get(), &status) == 0, "cannot examine ", path_, ": ", detail::errno_text(errno));
    require<FileError>(status.st_size == size_, path_, ": expected ", size_, " bytes, found ", Size{status.st_size},
                       ": the file was changed while open");
  }

  /// Gives the pages that lie wholly inside [offset, offset + count) back to the system; they are read again when touched again.
  void release(Size offset, Size count) const noexcept {
    if (!data_ || count <= 0 || offset < 0 || offset > size_ || count > size_ - offset) return;
    Size const page = static_cast<Size>(::sysconf(_SC_PAGESIZE));
    if (page <= 0) return;
    Size const first = (offset + page - 1) / page * page;
    Size const last = offset + count == size_ ? size_ : (offset + count) / page * page;  // the file's last page is ours alone
    if (first < last) ::madvise(const_cast<std::byte*>(data_) + first, static_cast<std::size_t>(last - first), MADV_DONTNEED);
  }

 private:
  struct Private {};

 public:
  MappedFile(Private, std::string path, detail::Descriptor fd, std::byte const* data, Size size)
      : path_(std::move(path)), fd_(std::move(fd)), data_(data), size_(size) {}

 private:
  std::string path_;
  detail::Descriptor fd_;
  std::byte const* data_;
  Size size_;
};

/// The whole of a small file. Throws FileError when it cannot be read, LimitError when it has more than `limit` bytes.
[[nodiscard]] inline std::string read_text(std::string const& path, Size limit) {
  auto const file = MappedFile::open(path, Access::read);
  require<LimitError>(file->size() <= limit, path, ": expected at most ", limit, " bytes, found ", file->size());
  return std::string(file->view(0, file->size()).text());
}

}  // namespace mgm::inline v0::io
