// From options to a Context, and what all commands check before they work.
#pragma once
#include <charconv>

#include <mgm/io/atomic_file.hpp>
#include <mgm/mem/context.hpp>

#include "options.hpp"

namespace tool {

/// What the options ask of a device: `--isa` of cpu, `simt` alone for general kernels, `simt:80` for those of an architecture, `cuda:1` for
/// the second GPU.
template <class Dev>
typename mgm::Context<Dev>::Config context_config(Options const& o, Terminal& terminal) {
  typename mgm::Context<Dev>::Config c{.threads = o.threads};
  c.monitor = &terminal;
  mgm::require<mgm::ArgumentError>(o.isa.empty() || std::same_as<Dev, mgm::Cpu>, "--isa chooses among the paths of cpu; the device is ",
                                   Dev::kName);
  if constexpr (std::same_as<Dev, mgm::Cpu>) {
    if (o.isa.empty()) return c;
    for (auto const isa : {mgm::Isa::portable, mgm::Isa::avx2, mgm::Isa::avx512, mgm::Isa::avx512_bf16})
      if (mgm::name(isa) == o.isa) c.isa = isa;
    mgm::require<mgm::ArgumentError>(c.isa.has_value(), "--isa ", mgm::quoted(o.isa),
                                     " is not known; there are portable, avx2, avx512, avx512_bf16");
  }
  if (auto const colon = o.device.find(':'); colon != std::string::npos) {
    std::string_view const said = std::string_view(o.device).substr(colon + 1);
    int number = 0;
    auto const [end, error] = std::from_chars(said.data(), said.data() + said.size(), number);
    mgm::require<mgm::ArgumentError>(
        error == std::errc() && end == said.data() + said.size(), "--device ", mgm::quoted(o.device), ": ", Dev::kName, ": is followed by ",
        std::same_as<Dev, mgm::Cuda> ? "a GPU's number, such as cuda:1" : "a compute capability times ten, such as simt:80");
    if constexpr (std::same_as<Dev, mgm::Simt>) c.machine.arch = number, c.machine.tuned = true;
    if constexpr (std::same_as<Dev, mgm::Cuda>) c.device = number;
  }
  return c;
}
/// A result that cannot be written must be refused before the work, not after it.
inline void check_writable(std::string const& path) { mgm::io::AtomicFile const tried(path); }

}  // namespace tool
