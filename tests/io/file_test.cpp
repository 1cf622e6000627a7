#include <mgm/io/file.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include <mgm/io/atomic_file.hpp>
#include <mgm/io/sha256.hpp>
#include <support/files.hpp>

namespace file_test {
using namespace mgm;
using support::expect_refused, support::slurp, support::TempDir;

TEST(MappedFile, OpensOnlyRegularFiles) {
  TempDir dir;
  expect_refused([] { (void)io::MappedFile::open(""); }, Code::file, "the path is empty");
  expect_refused([&] { (void)io::MappedFile::open(dir.path("none")); }, Code::file, "No such file or directory");
  expect_refused([&] { (void)io::MappedFile::open(dir.path()); }, Code::file, "found a directory");
  expect_refused([&] { (void)io::MappedFile::open(dir.path(std::string(300, 'a'))); }, Code::file, "File name too long");
  expect_refused([&] { (void)io::MappedFile::open(std::string("a\0b", 3)); }, Code::file, "NUL character");
  expect_refused([] { (void)io::MappedFile::open("/dev/zero"); }, Code::file, "a device, pipe or socket");
  ASSERT_EQ(::mkfifo(dir.path("pipe").c_str(), 0600), 0);
  expect_refused([&] { (void)io::MappedFile::open(dir.path("pipe")); }, Code::file, "a device, pipe or socket");  // and does not wait
  expect_refused([&] { (void)io::MappedFile::open(dir.write("f", "x") + "/g"); }, Code::file, "Not a directory");
  if (::geteuid() != 0) {
    std::filesystem::permissions(dir.path("f"), std::filesystem::perms::none);
    expect_refused([&] { (void)io::MappedFile::open(dir.path("f")); }, Code::file, "Permission denied");
  }
  std::filesystem::create_symlink("g", dir.path("link"));
  dir.write("g", "hello");
  EXPECT_EQ(io::MappedFile::open(dir.path("link"))->size(), 5);
  EXPECT_EQ(io::MappedFile::open(dir.write("empty", ""))->size(), 0);
}

TEST(MappedFile, ViewsOutliveTheHandleAndStayInside) {
  TempDir dir;
  auto const path = dir.write("f", "0123456789");
  for (auto const access : {io::Access::map, io::Access::read}) {
    io::Bytes bytes;
    {
      auto const file = io::MappedFile::open(path, access);
      bytes = file->view(3, 4);
      EXPECT_EQ(file->view(10, 0).size, 0);
      expect_refused([&] { (void)file->view(3, 8); }, Code::file, "expected bytes 3 to 3 + 8, found 10");
      expect_refused([&] { (void)file->view(-1, 1); }, Code::file, "found 10 bytes");
      expect_refused([&] { (void)file->view(0, -1); }, Code::file, "found 10 bytes");
      expect_refused([&] { (void)file->view(1, std::numeric_limits<Size>::max()); }, Code::file, "found 10 bytes");
      file->release(0, 10);
      file->release(-5, 1 << 20);  // nonsense does nothing
    }
    EXPECT_EQ(bytes.text(), "3456");
  }
  auto const file = io::MappedFile::open(path, io::Access::read);
  std::filesystem::resize_file(path, 5);
  expect_refused([&] { (void)file->view(0, 10); }, Code::file, "the file was shortened while open");
  expect_refused([&] { file->check_size(); }, Code::file, "expected 10 bytes, found 5");
}

TEST(MappedFile, ReleasedPagesAreReadAgain) {
  TempDir dir;
  std::string bytes(1 << 20, 'x');
  bytes[500'000] = 'y';
  auto const file = io::MappedFile::open(dir.write("f", bytes));
  auto const all = file->view(0, file->size());
  EXPECT_EQ(all.text(), bytes);
  auto const resident = [&] {
    std::vector<unsigned char> pages(static_cast<std::size_t>(all.size / ::sysconf(_SC_PAGESIZE)) + 1);
    std::ifstream map("/proc/self/smaps");
    long kib = -1;
    for (std::string line; std::getline(map, line);) {
      if (line.find(file->path()) != line.npos) kib = 0;
      if (kib == 0 && line.starts_with("Rss:")) return std::stol(line.substr(4));
    }
    return kib;
  };
  long const before = resident();
  file->release(0, file->size());
  EXPECT_LT(resident(), before);
  EXPECT_EQ(all.text(), bytes);
}

TEST(ReadText, IsLimited) {
  TempDir dir;
  auto const path = dir.write("f", "hello");
  EXPECT_EQ(io::read_text(path, 5), "hello");
  expect_refused([&] { (void)io::read_text(path, 4); }, Code::limit, "expected at most 4 bytes, found 5");
}

TEST(AtomicFile, AppearsWholeOrNotAtAll) {
  TempDir dir;
  auto const path = dir.path("out");
  io::write_file(path, "old");
  {
    io::AtomicFile file(path);
    file.write("half");
    EXPECT_EQ(slurp(path), "old");
  }  // never committed
  EXPECT_EQ(slurp(path), "old");
  EXPECT_EQ(dir.count(), 1u);
  std::filesystem::permissions(path, std::filesystem::perms(0640));
  io::write_file(path, "brand new");
  EXPECT_EQ(slurp(path), "brand new");
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0640));
  EXPECT_EQ(dir.count(), 1u);
  std::filesystem::create_symlink("out", dir.path("link"));
  io::write_file(dir.path("link"), "through the link");
  EXPECT_TRUE(std::filesystem::is_symlink(dir.path("link")));
  EXPECT_EQ(slurp(path), "through the link");
  io::write_file("/dev/null", "a device is written, not replaced");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  io::write_file(dir.path(std::string(255, 'n')), "the longest name");
}

TEST(AtomicFile, FailuresLeaveTheOldFile) {
  TempDir dir;
  expect_refused([] { io::write_file("", "x"); }, Code::file, "the path is empty");
  expect_refused([&] { io::write_file(dir.path(), "x"); }, Code::file, "Is a directory");
  expect_refused([&] { io::write_file(dir.path("new/"), "x"); }, Code::file, "cannot write");
  expect_refused([&] { io::write_file(dir.path("none/f"), "x"); }, Code::file, "No such file or directory");
  expect_refused([&] { io::write_file(dir.path(std::string(256, 'n')), "x"); }, Code::file, "File name too long");
  std::filesystem::create_symlink("nowhere", dir.path("link"));
  expect_refused([&] { io::write_file(dir.path("link"), "x"); }, Code::file, "a symbolic link to nothing");
  auto const path = dir.write("out", "old");
  // A full disk, played by a limit on file sizes.
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  rlimit const small{1000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  expect_refused([&] { io::write_file(path, std::string(5000, 'x')); }, Code::file,
                 "File too large: 4000 bytes missing after 1000 were written");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(slurp(path), "old");
  EXPECT_EQ(dir.count(), 2u);  // the link and the old file
  if (::geteuid() != 0) {
    std::filesystem::permissions(dir.path(), std::filesystem::perms(0500));
    expect_refused([&] { io::write_file(path, "x"); }, Code::file, "Permission denied");
    std::filesystem::permissions(dir.path(), std::filesystem::perms(0700));
  }
}

TEST(Sha256, KnownDigests) {  // FIPS 180-4's examples, and the lengths around a block
  EXPECT_EQ(io::Sha256{}.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(io::Sha256{}.update("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(io::Sha256{}.update("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(io::Sha256{}.update(std::string(1'000'000, 'a')).hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  for (std::size_t const n : {55u, 56u, 57u, 63u, 64u, 65u, 119u, 120u, 128u}) {
    std::string const all(n, 'q');
    io::Sha256 pieces;
    for (std::size_t i = 0; i < n; ++i) pieces.update(std::string_view(all).substr(i, 1));
    EXPECT_EQ(pieces.hex(), io::Sha256{}.update(all).hex()) << n;
  }
}

}  // namespace file_test
