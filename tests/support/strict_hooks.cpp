/// What g++ and clang call at every access of a file compiled with -fsanitize=thread, without the sanitizer's runtime: accesses go to the Simt
/// machine if a kernel makes them, and atomics of the host are carried out. This file itself is compiled without that option; the program is
/// linked without it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include <mgm/mem/context.hpp>
#include <mgm/simt/launch.hpp>

namespace {
void seen(void const* p, std::size_t bytes, bool write, void const* code) {
  if (mgm::simt::host::Runner* const r = mgm::simt::host::Runner::current) [[unlikely]]
    r->seen(p, static_cast<int>(bytes), write, code);
}
}  // namespace

// clang-format off
// NOLINTBEGIN: the names are the compilers'
extern "C" {
extern char const __executable_start;

/// Finds the line by binutils' addr2line, where it is installed: the innermost that is not of the machine itself.
int mgm_simt_line_of(void const* place, char* out, int bytes) {
  static std::mutex mutex;
  static std::map<std::uintptr_t, std::string> known;
  std::lock_guard const lock(mutex);
  auto const offset = reinterpret_cast<std::uintptr_t>(place) - reinterpret_cast<std::uintptr_t>(&__executable_start) - 1;  // within the call
  auto const [it, fresh] = known.try_emplace(offset);
  if (fresh) {
    char command[128], line[1024];
    std::snprintf(command, sizeof command, "addr2line -i -e /proc/%d/exe 0x%zx 2>/dev/null", static_cast<int>(::getpid()), static_cast<std::size_t>(offset));
    if (std::FILE* const pipe = ::popen(command, "r")) {
      while (std::fgets(line, sizeof line, pipe) != nullptr) {
        std::string_view text(line);
        text = text.substr(0, text.find_first_of(" \n"));
        bool const ours = text.find("/simt/") != text.npos || text.find("core/view.hpp") != text.npos || text.find("??") != text.npos;
        if (it->second.empty() && !ours) it->second = text.substr(text.rfind('/') + 1);
      }
      (void)::pclose(pipe);
    }
  }
  if (it->second.empty()) return 0;
  std::snprintf(out, static_cast<std::size_t>(bytes), "%s", it->second.c_str());
  return 1;
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_ignore_thread_begin() {}
void __tsan_ignore_thread_end() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, unsigned long n) { seen(p, n, false, __builtin_return_address(0)); }
void __tsan_write_range(void* p, unsigned long n) { seen(p, n, true, __builtin_return_address(0)); }

#define MGM_HOOKS(bytes)                                                                                      \
  void __tsan_read##bytes(void* p) { seen(p, bytes, false, __builtin_return_address(0)); }                     \
  void __tsan_write##bytes(void* p) { seen(p, bytes, true, __builtin_return_address(0)); }                     \
  void __tsan_unaligned_read##bytes(void* p) { seen(p, bytes, false, __builtin_return_address(0)); }           \
  void __tsan_unaligned_write##bytes(void* p) { seen(p, bytes, true, __builtin_return_address(0)); }           \
  void __tsan_volatile_read##bytes(void* p) { seen(p, bytes, false, __builtin_return_address(0)); }            \
  void __tsan_volatile_write##bytes(void* p) { seen(p, bytes, true, __builtin_return_address(0)); }            \
  void __tsan_read_write##bytes(void* p) { seen(p, bytes, true, __builtin_return_address(0)); }                \
  void __tsan_unaligned_read_write##bytes(void* p) { seen(p, bytes, true, __builtin_return_address(0)); }
MGM_HOOKS(1)
MGM_HOOKS(2)
MGM_HOOKS(4)
MGM_HOOKS(8)
MGM_HOOKS(16)

// clang names the copies that it would inline elsewhere
void* __tsan_memcpy(void* to, void const* from, std::size_t n) {
  seen(from, n, false, __builtin_return_address(0)), seen(to, n, true, __builtin_return_address(0));
  return std::memcpy(to, from, n);
}
void* __tsan_memmove(void* to, void const* from, std::size_t n) {
  seen(from, n, false, __builtin_return_address(0)), seen(to, n, true, __builtin_return_address(0));
  return std::memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, std::size_t n) {
  seen(to, n, true, __builtin_return_address(0));
  return std::memset(to, value, n);
}

// The host's own atomics (kernels use mgm/simt/atomic.hpp, which tells the machine itself).
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
#define MGM_RMW(bits, T, operation) \
  T __tsan_atomic##bits##_fetch_##operation(T volatile* p, T value, int) { return __atomic_fetch_##operation(p, value, __ATOMIC_SEQ_CST); }
#define MGM_ATOMICS(bits, T)                                                                                                       \
  T __tsan_atomic##bits##_load(T const volatile* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }                           \
  void __tsan_atomic##bits##_store(T volatile* p, T value, int) { __atomic_store_n(p, value, __ATOMIC_SEQ_CST); }                   \
  T __tsan_atomic##bits##_exchange(T volatile* p, T value, int) { return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST); }         \
  int __tsan_atomic##bits##_compare_exchange_strong(T volatile* p, T* expected, T value, int, int) {                                \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                              \
  }                                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_weak(T volatile* p, T* expected, T value, int, int) {                                  \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                              \
  }                                                                                                                                 \
  T __tsan_atomic##bits##_compare_exchange_val(T volatile* p, T expected, T value, int, int) {                                      \
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                    \
    return expected;                                                                                                                \
  }                                                                                                                                 \
  MGM_RMW(bits, T, add) MGM_RMW(bits, T, sub) MGM_RMW(bits, T, and) MGM_RMW(bits, T, or) MGM_RMW(bits, T, xor) MGM_RMW(bits, T, nand)
MGM_ATOMICS(8, std::uint8_t)
MGM_ATOMICS(16, std::uint16_t)
MGM_ATOMICS(32, std::uint32_t)
MGM_ATOMICS(64, std::uint64_t)
}
// NOLINTEND
