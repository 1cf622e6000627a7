/// Output files that appear whole or not at all: written under another name in the same folder, flushed to the disk, then renamed.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>

namespace mgm::inline v0::io {

/// Write, then commit. Without commit, or when anything fails, the old file stays as it was and nothing new is left behind.
/// A symbolic link keeps pointing where it did: its target is replaced. Devices and pipes are written directly.
class AtomicFile {
 public:
  /// Throws FileError with the system's words when no file can be made in the folder, or `path` is a directory.
  explicit AtomicFile(std::string const& path) : path_(path) {
    require<FileError>(!path.empty(), "cannot write a file: the path is empty");
    require<FileError>(path.find('\0') == path.npos, "cannot write ", mgm::quoted(path), ": the path holds a NUL character");
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) {
      require<FileError>(!S_ISDIR(status.st_mode), "cannot write ", path, ": ", detail::errno_text(EISDIR));
      direct_ = !S_ISREG(status.st_mode);
      mode_ = status.st_mode & 07777u;
      if (std::unique_ptr<char, void (*)(void*)> const real(::realpath(path.c_str(), nullptr), std::free); real) target_ = real.get();
    } else {
      check(errno == ENOENT, errno);  // a name that is too long, a folder that may not be entered, …
      require<FileError>(::lstat(path.c_str(), &status) != 0, "cannot write ", path, ": it is a symbolic link to nothing");
    }
    if (target_.empty()) target_ = path;
    if (direct_) {
      fd_ = open_retrying(target_, O_WRONLY | O_CLOEXEC);
      check(fd_ >= 0, errno);
      return;
    }
    std::string const name = target_.substr(target_.rfind('/') + 1);
    folder_ = target_.substr(0, target_.size() - name.size());
    require<FileError>(!name.empty(), "cannot write ", path, ": it names a folder");
    // A name too long for the file system must fail now, not after the work, and the temporary name is short.
    require<FileError>(name.size() <= NAME_MAX, "cannot write ", path, ": ", detail::errno_text(ENAMETOOLONG));
    auto const now = std::chrono::steady_clock::now().time_since_epoch().count();  // a likely name; O_EXCL decides
    for (int tries = 0; tries < 100 && fd_ < 0; ++tries) {
      temporary_ = text(folder_, ".mgm-", ::getpid(), "-", now + tries, ".tmp");
      fd_ = open_retrying(temporary_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
      if (fd_ < 0 && errno != EEXIST) break;
    }
    if (fd_ < 0) temporary_.clear();
    check(fd_ >= 0, errno);
  }
  AtomicFile(AtomicFile const&) = delete;
  AtomicFile& operator=(AtomicFile const&) = delete;
  ~AtomicFile() { discard(); }

  /// Appends. Throws FileError saying how much is missing.
  void write(std::byte const* data, Size size) {
    for (Size done = 0; done < size;) {
      ssize_t const n = ::write(fd_, data + done, static_cast<std::size_t>(std::min<Size>(size - done, Size{1} << 30)));
      if (n < 0 && errno == EINTR) continue;
      if (int const error = errno; n <= 0) {
        discard();
        throw FileError(text("cannot write ", path_, ": ", n < 0 ? detail::errno_text(error) : "no progress", ": ", size - done,
                             " bytes missing after ", written_, " were written; the old file was not touched"));
      }
      done += n, written_ += n;
    }
  }
  void write(std::string_view s) { write(reinterpret_cast<std::byte const*>(s.data()), static_cast<Size>(s.size())); }

  /// Makes the file appear under its name. Throws FileError; the old file is then still there.
  void commit() {
    if (direct_) {
      int const fd = fd_;
      fd_ = -1;
      return check(::close(fd) == 0, errno);
    }
    if (mode_ != 0) ::fchmod(fd_, mode_);  // as the file that it replaces; where that is not allowed the default stays
    check(::fsync(fd_) == 0, errno);
    int const fd = fd_;
    fd_ = -1;
    check(::close(fd) == 0, errno);
    check(::rename(temporary_.c_str(), target_.c_str()) == 0, errno);
    temporary_.clear();
    int const folder = open_retrying(folder_.empty() ? "." : folder_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) ::fsync(folder), ::close(folder);  // the new name is on the disk too; where that is not possible, later
  }

 private:
  void check(bool ok, int error) {
    if (ok) return;
    discard();
    throw FileError(text("cannot write ", path_, ": ", detail::errno_text(error)));
  }
  void discard() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }
  [[nodiscard]] static int open_retrying(std::string const& path, int flags) {
    int fd;
    do fd = ::open(path.c_str(), flags, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
  }

  std::string path_, target_, folder_, temporary_;
  bool direct_ = false;
  mode_t mode_ = 0;
  int fd_ = -1;
  Size written_ = 0;
};

/// Writes `contents` to `path`, whole or not at all.
inline void write_file(std::string const& path, std::string_view contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

}  // namespace mgm::inline v0::io
