/// What a Machine was told to launch while it recorded.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::simt::host {

struct Recording {
  struct Launch {
    LaunchShape shape;
    void (*body)(void const*);
    std::shared_ptr<std::byte const[]> arguments;  ///< what `body` is called with, by value
    Size argument_bytes;
  };
  std::vector<Launch> launches;

  /// Arguments of kernels travel as bytes.
  void add(LaunchShape const& shape, void (*body)(void const*), void const* arguments, Size bytes) {
    std::shared_ptr<std::byte[]> copy(new std::byte[static_cast<std::size_t>(bytes)]);
    std::memcpy(copy.get(), arguments, static_cast<std::size_t>(bytes));
    launches.push_back({shape, body, std::move(copy), bytes});
  }
};

}  // namespace mgm::inline v0::simt::host
